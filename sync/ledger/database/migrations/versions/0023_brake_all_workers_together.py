"""Brake all workers of a link together"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import Instant, _Id

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "brake_window",
        sa.Column("id", _Id, primary_key=True, autoincrement=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("money_minor", sa.BigInteger(), nullable=False),
        sa.Column("cards", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "brake_cards",
        sa.Column(
            "card_id",
            _Id,
            sa.ForeignKey("cards.id", name="fk_brake_cards_card_id"),
            primary_key=True,
            autoincrement=False,
        ),
    )


def downgrade() -> None:
    op.drop_table("brake_cards")
    op.drop_table("brake_window")
