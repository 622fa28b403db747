"""Let people in by OIDC"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import Instant, _Id

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "oidc_identities",
        sa.Column("issuer", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("person_id", _Id, sa.ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
        sa.Column("follows_role", sa.Boolean(), nullable=False),
        sa.Column("bound_at", Instant(), nullable=False),
    )
    op.create_index("ix_oidc_identities_person_id", "oidc_identities", ["person_id"])


def downgrade() -> None:
    op.drop_table("oidc_identities")
