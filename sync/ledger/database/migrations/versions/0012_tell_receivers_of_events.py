"""Tell receivers of events"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from sync.ledger.database.tables import Instant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "body",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_events")),
    )
    op.create_index(op.f("ix_api_events_at"), "api_events", ["at"], unique=False)
    op.create_table(
        "api_webhooks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column(
            "events",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_webhooks")),
    )
    op.create_table(
        "api_tellings",
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("due_at", Instant(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("told_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["api_events.id"], name=op.f("fk_api_tellings_event_id")),
        sa.ForeignKeyConstraint(["webhook_id"], ["api_webhooks.id"], name=op.f("fk_api_tellings_webhook_id")),
        sa.PrimaryKeyConstraint("webhook_id", "event_id", name=op.f("pk_api_tellings")),
    )
    op.create_index(
        "ix_api_tellings_due",
        "api_tellings",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("ix_redemptions_changed_at", "redemptions", ["changed_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_redemptions_changed_at", table_name="redemptions")
    op.drop_index(
        "ix_api_tellings_due",
        table_name="api_tellings",
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_table("api_tellings")
    op.drop_table("api_webhooks")
    op.drop_index(op.f("ix_api_events_at"), table_name="api_events")
    op.drop_table("api_events")
