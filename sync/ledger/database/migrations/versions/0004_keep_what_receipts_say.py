"""Keep what orders and receipts say of a card; find cards by their last characters"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "receipt_lines",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("native_id", sa.Text(), nullable=True),
        sa.Column("serial_index", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("order_name", sa.Text(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("till", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "native_id IS NOT NULL OR serial_index IS NOT NULL",
            name=op.f("ck_receipt_lines_a_line_names_a_card"),
        ),
        sa.PrimaryKeyConstraint("side", "key", name=op.f("pk_receipt_lines")),
    )
    for column in ("native_id", "serial_index", "order_name", "receipt"):
        op.create_index(f"ix_receipt_lines_{column}", "receipt_lines", [column])
    op.create_index("ix_presences_last_chars", "presences", ["last_chars"])


def downgrade() -> None:
    op.drop_index("ix_presences_last_chars", "presences")
    op.drop_table("receipt_lines")
