"""Prove a card when it is loaded: which card a presence is, chained, and a digest on the card's row"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    id_type = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "identities",
        sa.Column("id", id_type, autoincrement=True, nullable=False),
        sa.Column("card_id", id_type, nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("native_id", sa.Text(), nullable=True),
        sa.Column("serial_index", sa.Text(), nullable=True),
        sa.Column("last_chars", sa.Text(), nullable=False),
        sa.Column("born", sa.Boolean(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("chain_seq", sa.BigInteger(), nullable=False),
        sa.Column("chain_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_identities_card_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identities")),
        sa.UniqueConstraint("card_id", "chain_seq", name=op.f("uq_identities_chain_position_is_taken_once")),
    )
    op.add_column("cards", sa.Column("chain_lost", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("cards", sa.Column("digest", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("cards", "digest")
    op.drop_column("cards", "chain_lost")
    op.drop_table("identities")
