"""Find a card by its buyer's mail address, of which only a keyed hash is kept"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("receipt_lines", sa.Column("buyer_index", sa.Text(), nullable=True))
    op.create_index("ix_receipt_lines_buyer_index", "receipt_lines", ["buyer_index"])


def downgrade() -> None:
    op.drop_index("ix_receipt_lines_buyer_index", "receipt_lines")
    op.drop_column("receipt_lines", "buyer_index")
