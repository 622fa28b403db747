"""Count answers that cannot be believed, and tell what no single pass waits for"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("presences", sa.Column("unreadable", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("cards", sa.Column("awaits_side", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column(
        "arrivals", sa.Column("awaits_side", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    for table, column in (("arrivals", "awaits_side"), ("cards", "awaits_side"), ("presences", "unreadable")):
        op.drop_column(table, column)
