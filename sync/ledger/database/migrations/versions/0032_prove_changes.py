"""Prove changes of cards and what may be created, and know a side's book again"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_TABLES = ("card_changes", "marks")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("proof", sa.Text(), nullable=True))
    op.add_column("presences", sa.Column("book_digest", sa.Text(), nullable=True))
    op.create_index("ix_card_changes_card_id", "card_changes", ["card_id"])


def downgrade() -> None:
    op.drop_column("presences", "book_digest")
    op.drop_index("ix_card_changes_card_id", "card_changes")
    for table in _TABLES:
        op.drop_column(table, "proof")
