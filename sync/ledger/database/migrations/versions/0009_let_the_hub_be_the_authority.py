"""Let the hub be the authority: redemptions, tokens and requests of the API"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from sync.ledger.database.tables import Instant

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_requests",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("made", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column(
            "answer",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=True,
        ),
        sa.Column("began_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "key", name=op.f("pk_api_requests")),
    )
    op.create_index("ix_api_requests_began_at", "api_requests", ["began_at"], unique=False)
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column(
            "scopes",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "locations",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("calls_per_minute", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("last_used_at", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_tokens_a_secret_opens_one_token")),
    )
    op.create_table(
        "cvc_guesses",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_cvc_guesses")),
    )
    op.create_table(
        "redemptions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("unconfirmed", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("asked_minor", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("balance_after_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("made_at", Instant(), nullable=False),
        sa.Column("ends_at", Instant(), nullable=True),
        sa.Column("capture_until", Instant(), nullable=True),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.CheckConstraint(
            "(ends_at IS NULL) = (state NOT IN ('pending','authorized'))",
            name=op.f("ck_redemptions_an_open_one_ends"),
        ),
        sa.CheckConstraint(
            "state IN ('pending','authorized','completed','refused','voided','expired','reversed')",
            name=op.f("ck_redemptions_state_is_known"),
        ),
        sa.CheckConstraint(
            "amount_minor >= 0 AND amount_minor <= asked_minor",
            name=op.f("ck_redemptions_no_more_is_taken_than_asked"),
        ),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_redemptions_card_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redemptions")),
    )
    op.create_index(op.f("ix_redemptions_card_id"), "redemptions", ["card_id"], unique=False)
    op.create_index(
        "ix_redemptions_open",
        "redemptions",
        ["card_id"],
        unique=False,
        sqlite_where=sa.text("ends_at IS NOT NULL"),
        postgresql_where=sa.text("ends_at IS NOT NULL"),
    )
    op.create_table(
        "hub_entries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("redemption_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("balance_after_minor", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("with_cvc", sa.Boolean(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_hub_entries_card_id")),
        sa.ForeignKeyConstraint(
            ["redemption_id"], ["redemptions.id"], name=op.f("fk_hub_entries_redemption_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hub_entries")),
    )
    op.create_index(op.f("ix_hub_entries_card_id"), "hub_entries", ["card_id"], unique=False)
    op.create_index(op.f("ix_hub_entries_redemption_id"), "hub_entries", ["redemption_id"], unique=False)
    op.add_column(
        "cards", sa.Column("open_redemptions", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("cards", "open_redemptions")
    op.drop_index(op.f("ix_hub_entries_redemption_id"), table_name="hub_entries")
    op.drop_index(op.f("ix_hub_entries_card_id"), table_name="hub_entries")
    op.drop_table("hub_entries")
    op.drop_index(
        "ix_redemptions_open",
        table_name="redemptions",
        sqlite_where=sa.text("ends_at IS NOT NULL"),
        postgresql_where=sa.text("ends_at IS NOT NULL"),
    )
    op.drop_index(op.f("ix_redemptions_card_id"), table_name="redemptions")
    op.drop_table("redemptions")
    op.drop_table("cvc_guesses")
    op.drop_table("api_tokens")
    op.drop_index("ix_api_requests_began_at", table_name="api_requests")
    op.drop_table("api_requests")
