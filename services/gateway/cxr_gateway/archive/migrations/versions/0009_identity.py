"""Patient, accession, DICOM study and its date become columns, so that they can be looked for.

studies   gains patient_id, accession_number, study_instance_uid, study_date, from its result
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from cxr_gateway.archive.migrations.filling import fill_from_results

revision = "0009"
down_revision = "0008"

_COLUMNS = ("patient_id", "accession_number", "study_instance_uid", "study_date")
_INDEXED = ("patient_id", "accession_number", "study_instance_uid")


def upgrade() -> None:
    """Add the columns, and fill them."""
    for name in _COLUMNS:
        op.add_column("studies", sa.Column(name, sa.String(10 if name == "study_date" else 512)))
    fill_from_results(_COLUMNS, _identity)
    for name in _INDEXED:
        op.create_index(f"studies_by_{name}", "studies", [name, "id"])


def downgrade() -> None:
    """Take them away; results say the same."""
    for name in _INDEXED:
        op.drop_index(f"studies_by_{name}", "studies")
    for name in reversed(_COLUMNS):
        op.drop_column("studies", name)


def _identity(text: str) -> dict[str, Any]:
    patient = json.loads(text)["patient"]
    return {name: patient.get(name) for name in _COLUMNS}
