"""Answer a redemption of mode `record` while a worker has its card"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("redemptions", sa.Column("entered", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("redemptions", sa.Column("proof", sa.Text(), nullable=True))
    op.create_index(
        "ix_redemptions_recorded",
        "redemptions",
        ["card_id"],
        unique=False,
        sqlite_where=sa.text("NOT entered"),
        postgresql_where=sa.text("NOT entered"),
    )


def downgrade() -> None:
    op.drop_index("ix_redemptions_recorded", table_name="redemptions")
    op.drop_column("redemptions", "proof")
    op.drop_column("redemptions", "entered")
