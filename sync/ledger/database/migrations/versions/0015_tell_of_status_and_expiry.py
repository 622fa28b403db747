"""Tell receivers of a card's status and expiry, too"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import Instant, _Id

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "card_changes",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("card_id", _Id, nullable=False),
        sa.Column("status_before", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("expires_before", sa.Date(), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("balance_minor", sa.BigInteger(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_card_changes_card_id_cards")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card_changes")),
    )
    op.create_index(op.f("ix_card_changes_at"), "card_changes", ["at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_card_changes_at"), "card_changes")
    op.drop_table("card_changes")
