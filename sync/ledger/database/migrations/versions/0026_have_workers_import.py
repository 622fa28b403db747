"""Have workers carry imports out in their turns"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import Instant

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("imports", sa.Column("queued_at", Instant(), nullable=True))
    op.add_column("imports", sa.Column("in_bulk", sa.Boolean(), nullable=True))
    op.add_column("imports", sa.Column("money_left_minor", sa.BigInteger(), nullable=True))
    op.add_column("imports", sa.Column("rows_left", sa.Integer(), nullable=True))
    op.add_column("imports", sa.Column("trouble", sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ("trouble", "rows_left", "money_left_minor", "in_bulk", "queued_at"):
        op.drop_column("imports", name)
