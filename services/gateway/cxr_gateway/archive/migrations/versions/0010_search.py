"""What studies are looked for by becomes two columns, so that the database can look.

studies   gains searched (text in lower case) and levels, from its result
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from cxr_gateway.archive.migrations.filling import fill_from_results

revision = "0010"
down_revision = "0009"

_COLUMNS = ("searched", "levels")


def upgrade() -> None:
    """Add the columns, and fill them."""
    for name in _COLUMNS:
        op.add_column("studies", sa.Column(name, sa.Text, nullable=False, server_default=""))
    fill_from_results(_COLUMNS, _searched)


def downgrade() -> None:
    """Take them away; results say the same."""
    for name in reversed(_COLUMNS):
        op.drop_column("studies", name)


def _searched(text: str) -> dict[str, Any]:
    study = json.loads(text)
    patient, image, triage = study["patient"], study["image"], study["triage"]
    raised = [item for item in study["findings"] if item["level"] != "unlikely"]
    parts = (
        study["id"],
        study["file_name"],
        *(
            patient[key]
            for key in ("name", "patient_id", "accession_number", "birth_date", "study_date")
        ),
        study["received_at"][:10],
        image["view"],
        image["source"],
        triage["priority"] if triage else None,
        *(item["finding"].replace("_", " ") for item in raised),
    )
    levels = "".join(f"{item['finding']}={item['level']}|" for item in raised)
    return {
        "searched": " ".join(filter(None, parts)).casefold(),
        "levels": f"|{levels}",
    }
