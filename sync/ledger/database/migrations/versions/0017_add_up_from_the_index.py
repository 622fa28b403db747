"""Add up from the index"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_COLUMNS = ["card_id", "chain_seq", "at", "kind", "side", "amount_minor"]


def upgrade() -> None:
    # SQLite's indexes have each row's id; PostgreSQL's only when told, and without it every row is read.
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_movements_books", "movements")
        op.create_index("ix_movements_books", "movements", _COLUMNS, postgresql_include=["id"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_movements_books", "movements")
        op.create_index("ix_movements_books", "movements", _COLUMNS)
