"""Keep what each close took as expired"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "expiries",
        sa.Column("number", _Id, autoincrement=False, nullable=False),
        sa.Column("card_id", _Id, autoincrement=False, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_expiries_card_id_cards")),
        sa.ForeignKeyConstraint(["number"], ["closes.number"], name=op.f("fk_expiries_number_closes")),
        sa.PrimaryKeyConstraint("number", "card_id", name=op.f("pk_expiries")),
    )
    op.create_index("ix_expiries_card_id", "expiries", ["card_id"])


def downgrade() -> None:
    op.drop_index("ix_expiries_card_id", "expiries")
    op.drop_table("expiries")
