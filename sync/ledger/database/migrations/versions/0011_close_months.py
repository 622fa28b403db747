"""Keep the statements of closed months; read movements in order from an index alone"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import Instant

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "closes",
        sa.Column("number", _Id, autoincrement=False, nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("from_at", Instant(), nullable=False),
        sa.Column("until_at", Instant(), nullable=False),
        sa.Column("last_movement", _Id, nullable=False),
        sa.Column("closed_at", Instant(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_closes_statements_are_numbered_from_one")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_closes")),
        sa.UniqueConstraint("period", name=op.f("uq_closes_a_month_is_closed_once")),
    )
    op.add_column("origins", sa.Column("bought_at", Instant(), nullable=True))
    op.create_index(
        "ix_movements_books",
        "movements",
        ["card_id", "chain_seq", "at", "kind", "side", "amount_minor"],
    )
    # Its first column, and that of the unique constraint, find a card's movements as well.
    op.drop_index("ix_movements_card_id", "movements")


def downgrade() -> None:
    op.create_index("ix_movements_card_id", "movements", ["card_id"])
    op.drop_index("ix_movements_books", "movements")
    op.drop_column("origins", "bought_at")
    op.drop_table("closes")
