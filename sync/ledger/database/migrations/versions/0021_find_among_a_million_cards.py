"""Find among a million cards"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    still_open, closed = sa.text("closed_at IS NULL"), sa.text("closed_at IS NOT NULL")
    op.create_index(
        "ix_conflicts_open",
        "conflicts",
        ["kind", "amount_minor", "opened_at", "id"],
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_index(
        "ix_conflicts_closed", "conflicts", ["kind"], sqlite_where=closed, postgresql_where=closed
    )
    card_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "origin_names",
        sa.Column("word", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column(
            "card_id",
            card_id,
            sa.ForeignKey("cards.id", name="fk_origin_names_card_id"),
            primary_key=True,
            autoincrement=False,
        ),
    )
    op.create_index("ix_origin_names_card_id", "origin_names", ["card_id"])


def downgrade() -> None:
    op.drop_table("origin_names")
    op.drop_index("ix_conflicts_closed", "conflicts")
    op.drop_index("ix_conflicts_open", "conflicts")
