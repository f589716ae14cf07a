"""Who gave the patient's ID: the same number of another issuer is another patient.

studies   gains issuer_of_patient_id; null of a study from before, until it is analysed again
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add what is null."""
    op.add_column("studies", sa.Column("issuer_of_patient_id", sa.String(512)))


def downgrade() -> None:
    """Take it away."""
    with op.batch_alter_table("studies") as studies:
        studies.drop_column("issuer_of_patient_id")
