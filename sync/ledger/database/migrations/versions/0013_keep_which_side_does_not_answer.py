"""Keep which side does not answer, and count the attempts of an effect that were not sent"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import Instant

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outages",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('silent','throttled','closed')", name=op.f("ck_outages_kind_is_known")),
        sa.PrimaryKeyConstraint("side", "task", name=op.f("pk_outages")),
    )
    op.add_column("intents", sa.Column("postponed", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("intents", "postponed")
    op.drop_table("outages")
