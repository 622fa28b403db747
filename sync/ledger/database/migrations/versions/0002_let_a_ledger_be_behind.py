"""Let a ledger be behind"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.ledger.database.tables import Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cards", sa.Column("behind", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "traces",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("serial_index", sa.Text(), nullable=True),
        sa.Column("native_id", sa.Text(), nullable=True),
        sa.Column("marker", sa.Text(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=True),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_traces")),
        sa.UniqueConstraint("side", "reference", name=op.f("uq_traces_a_trace_is_kept_once")),
    )
    op.create_index("ix_traces_serial_index", "traces", ["side", "serial_index"])
    op.create_index("ix_traces_native_id", "traces", ["side", "native_id"])


def downgrade() -> None:
    op.drop_table("traces")
    op.drop_column("cards", "behind")
