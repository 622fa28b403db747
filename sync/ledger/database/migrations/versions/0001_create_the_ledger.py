"""Create the ledger"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from sync.ledger.database.tables import Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "arrivals",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("native_id", sa.Text(), nullable=True),
        sa.Column("serial_index", sa.Text(), nullable=True),
        sa.Column("serial_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("last_chars", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.Column("sold_here", sa.Boolean(), nullable=False),
        sa.Column(
            "details",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("contact_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("arrived_at", Instant(), nullable=False),
        sa.Column("due_at", Instant(), nullable=True),
        sa.Column("left_out", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "native_id IS NOT NULL OR serial_index IS NOT NULL",
            name=op.f("ck_arrivals_an_arrival_names_a_card"),
        ),
        sa.CheckConstraint(
            "(due_at IS NULL) = (left_out IS NOT NULL)",
            name=op.f("ck_arrivals_an_arrival_waits_or_is_left_out"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrivals")),
        sa.UniqueConstraint("side", "native_id", name=op.f("uq_arrivals_one_arrival_per_native_card")),
        sa.UniqueConstraint("side", "serial_index", name=op.f("uq_arrivals_one_arrival_per_serial")),
    )
    with op.batch_alter_table("arrivals", schema=None) as batch_op:
        batch_op.create_index("ix_arrivals_due", ["due_at", "id"], unique=False)

    op.create_table(
        "cards",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("balance_minor", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("fencing", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("due_at", Instant(), nullable=True),
        sa.Column("due_for", sa.Text(), nullable=True),
        sa.Column("chain_seq", sa.BigInteger(), nullable=False),
        sa.Column("chain_head", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.CheckConstraint(
            "status IN ('inactive','active','suspended','closed')", name=op.f("ck_cards_status_is_known")
        ),
        sa.CheckConstraint(
            "(lease_owner IS NULL) = (lease_until IS NULL)", name=op.f("ck_cards_a_lease_has_owner_and_end")
        ),
        sa.CheckConstraint("balance_minor >= 0", name=op.f("ck_cards_balance_is_never_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cards")),
    )
    with op.batch_alter_table("cards", schema=None) as batch_op:
        batch_op.create_index(
            "ix_cards_due",
            ["due_at", "id"],
            unique=False,
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_cards_lease",
            ["lease_until"],
            unique=False,
            sqlite_where=sa.text("lease_until IS NOT NULL"),
            postgresql_where=sa.text("lease_until IS NOT NULL"),
        )

    op.create_table(
        "deliveries",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("due_at", Instant(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("side", "key", name=op.f("uq_deliveries_a_delivery_is_heard_once")),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index(
            "ix_deliveries_due",
            ["due_at", "id"],
            unique=False,
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )
        batch_op.create_index("ix_deliveries_received", ["received_at"], unique=False)

    op.create_table(
        "feed_cursors",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("read_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("side", "feed", name=op.f("pk_feed_cursors")),
    )
    op.create_table(
        "hints_seen",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("side", "key", name=op.f("pk_hints_seen")),
    )
    with op.batch_alter_table("hints_seen", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_hints_seen_seen_at"), ["seen_at"], unique=False)

    op.create_table(
        "imports",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column(
            "sources",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "before",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("first_row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("begun_at", Instant(), nullable=True),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.CheckConstraint(
            "state IN ('planning','planned','begun','done')", name=op.f("ck_imports_state_is_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    op.create_table(
        "probes",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column(
            "notes",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("side", name=op.f("pk_probes")),
    )
    op.create_table(
        "runs",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column(
            "counts",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_table(
        "sides",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("first_seen_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sides")),
    )
    op.create_table(
        "tokens",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("given_to", sa.Text(), nullable=False),
        sa.Column("access_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("refresh_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("obtained_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("refresh_expires_at", Instant(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("side", name=op.f("pk_tokens")),
    )
    op.create_table(
        "verdicts",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("point", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column(
            "evidence",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("at", Instant(), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('ok','warning','missing','unknown')", name=op.f("ck_verdicts_verdict_is_known")
        ),
        sa.PrimaryKeyConstraint("side", "point", name=op.f("pk_verdicts")),
    )
    op.create_table(
        "conflicts",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("proposal", sa.Text(), nullable=False),
        sa.Column(
            "evidence",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("opened_at", Instant(), nullable=False),
        sa.Column("last_seen_at", Instant(), nullable=False),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("resolved_why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_conflicts_card_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conflicts")),
    )
    with op.batch_alter_table("conflicts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_conflicts_card_id"), ["card_id"], unique=False)
        batch_op.create_index(
            "uq_conflicts_one_open_per_card_and_cause",
            ["card_id", "cause"],
            unique=True,
            sqlite_where=sa.text("closed_at IS NULL AND card_id IS NOT NULL"),
            postgresql_where=sa.text("closed_at IS NULL AND card_id IS NOT NULL"),
        )
        batch_op.create_index(
            "uq_conflicts_one_open_per_side_and_cause",
            ["cause"],
            unique=True,
            sqlite_where=sa.text("closed_at IS NULL AND card_id IS NULL"),
            postgresql_where=sa.text("closed_at IS NULL AND card_id IS NULL"),
        )

    op.create_table(
        "import_batches",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("import_id", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=True),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("made_at", Instant(), nullable=False),
        sa.Column("called_at", Instant(), nullable=True),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name=op.f("fk_import_batches_import_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_batches")),
    )
    op.create_table(
        "intents",
        sa.Column("marker", sa.Text(), nullable=False),
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("status_before", sa.Text(), nullable=True),
        sa.Column("expires_before", sa.Date(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "progress",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("doubted", sa.Boolean(), nullable=False),
        sa.Column("landings", sa.Integer(), nullable=False),
        sa.Column("not_before", Instant(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("unclear_reads", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.CheckConstraint(
            "(kind = 'debit' AND amount_minor < 0) OR (kind IN ('create','credit') AND amount_minor > 0) OR (kind IN ('set_status','set_expiry','notify') AND amount_minor = 0)",
            name=op.f("ck_intents_amount_has_the_sign_of_its_kind"),
        ),
        sa.CheckConstraint(
            "state IN ('planned','sent','in_doubt','applied','refused','withdrawn')",
            name=op.f("ck_intents_state_is_known"),
        ),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_intents_card_id")),
        sa.PrimaryKeyConstraint("marker", name=op.f("pk_intents")),
        sa.UniqueConstraint("card_id", "sequence", name=op.f("uq_intents_order_within_a_card_is_total")),
    )
    with op.batch_alter_table("intents", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_intents_card_id"), ["card_id"], unique=False)
        batch_op.create_index(
            "ix_intents_open",
            ["card_id"],
            unique=False,
            sqlite_where=sa.text("state IN ('planned','sent','in_doubt')"),
            postgresql_where=sa.text("state IN ('planned','sent','in_doubt')"),
        )

    op.create_table(
        "movements",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("shadow_delta_minor", sa.BigInteger(), nullable=False),
        sa.Column("balance_after_minor", sa.BigInteger(), nullable=False),
        sa.Column(
            "evidence",
            sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql"),
            nullable=False,
        ),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("chain_seq", sa.BigInteger(), nullable=False),
        sa.Column("chain_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_movements_card_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_movements_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movements")),
        sa.UniqueConstraint("card_id", "chain_seq", name=op.f("uq_movements_chain_position_is_taken_once")),
    )
    with op.batch_alter_table("movements", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_movements_card_id"), ["card_id"], unique=False)

    op.create_table(
        "pool_numbers",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("serial_index", sa.Text(), nullable=False),
        sa.Column("serial_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("last_chars", sa.Text(), nullable=False),
        sa.Column("allotted_to", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("allotted_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["allotted_to"], ["cards.id"], name=op.f("fk_pool_numbers_allotted_to")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool_numbers")),
        sa.UniqueConstraint("side", "serial_index", name=op.f("uq_pool_numbers_a_number_is_in_a_pool_once")),
    )
    with op.batch_alter_table("pool_numbers", schema=None) as batch_op:
        batch_op.create_index(
            "ix_pool_numbers_free",
            ["side", "brand", "id"],
            unique=False,
            sqlite_where=sa.text("allotted_at IS NULL"),
            postgresql_where=sa.text("allotted_at IS NULL"),
        )

    op.create_table(
        "presences",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("native_id", sa.Text(), nullable=True),
        sa.Column("serial_index", sa.Text(), nullable=True),
        sa.Column("serial_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("last_chars", sa.Text(), nullable=False),
        sa.Column("shadow_minor", sa.BigInteger(), nullable=False),
        sa.Column("shadow_status", sa.Text(), nullable=False),
        sa.Column("shadow_expires_on", sa.Date(), nullable=True),
        sa.Column("born", sa.Boolean(), nullable=False),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.Column("hold", sa.Text(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("refusals", sa.Integer(), nullable=False),
        sa.Column("book_cursor", sa.Text(), nullable=True),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("watched", sa.Boolean(), nullable=False),
        sa.Column("contact_sealed", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_presences_card_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_presences")),
        sa.UniqueConstraint("card_id", "side", name=op.f("uq_presences_one_presence_per_card_and_side")),
        sa.UniqueConstraint("side", "native_id", name=op.f("uq_presences_a_native_card_belongs_to_one_card")),
        sa.UniqueConstraint(
            "side", "serial_index", name=op.f("uq_presences_a_serial_belongs_to_one_card_per_side")
        ),
    )
    with op.batch_alter_table("presences", schema=None) as batch_op:
        batch_op.create_index("ix_presences_serial_index", ["serial_index"], unique=False)
        batch_op.create_index("ix_presences_side", ["side", "id"], unique=False)
        batch_op.create_index(
            "ix_presences_unwatched",
            ["side", "id"],
            unique=False,
            sqlite_where=sa.text("born AND NOT watched"),
            postgresql_where=sa.text("born AND NOT watched"),
        )

    op.create_table(
        "poll_populations",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("population", sa.Text(), nullable=False),
        sa.Column("paid_until", Instant(), nullable=False),
        sa.Column("taken_until", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("side", name=op.f("pk_poll_populations")),
    )
    op.create_table(
        "polls",
        sa.Column(
            "presence_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("polled_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("issued", sa.Boolean(), nullable=False),
        sa.Column("exposure", sa.Double(), nullable=False),
        sa.Column("changes", sa.Double(), nullable=False),
        sa.Column("balance_minor", sa.BigInteger(), nullable=False),
        sa.Column("peak_minor", sa.BigInteger(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("turn", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["presence_id"], ["presences.id"], name=op.f("fk_polls_presence_id")),
        sa.PrimaryKeyConstraint("presence_id", name=op.f("pk_polls")),
    )
    with op.batch_alter_table("polls", schema=None) as batch_op:
        batch_op.create_index("ix_polls_asked_at", ["side", "asked_at"], unique=False)
        batch_op.create_index("ix_polls_turn", ["side", "turn"], unique=False)

    op.create_table(
        "import_rows",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("import_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("serial_index", sa.Text(), nullable=True),
        sa.Column("serial_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("last_chars", sa.Text(), nullable=False),
        sa.Column("online_id", sa.Text(), nullable=True),
        sa.Column("pos_minor", sa.BigInteger(), nullable=True),
        sa.Column("online_minor", sa.BigInteger(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("brand", sa.Text(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("source", sa.Integer(), nullable=True),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("batch_line", sa.Integer(), nullable=True),
        sa.CheckConstraint("state IN ('planned','met','done')", name=op.f("ck_import_rows_state_is_known")),
        sa.ForeignKeyConstraint(["batch_id"], ["import_batches.id"], name=op.f("fk_import_rows_batch_id")),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_import_rows_card_id")),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name=op.f("fk_import_rows_import_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_rows")),
    )
    with op.batch_alter_table("import_rows", schema=None) as batch_op:
        batch_op.create_index(
            "ix_import_rows_batch",
            ["batch_id", "batch_line"],
            unique=False,
            sqlite_where=sa.text("batch_id IS NOT NULL"),
            postgresql_where=sa.text("batch_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_import_rows_card",
            ["card_id"],
            unique=False,
            sqlite_where=sa.text("card_id IS NOT NULL"),
            postgresql_where=sa.text("card_id IS NOT NULL"),
        )

    op.create_table(
        "intent_states",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("marker", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fencing", sa.BigInteger(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("chain_seq", sa.BigInteger(), nullable=False),
        sa.Column("chain_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_intent_states_card_id")),
        sa.ForeignKeyConstraint(["marker"], ["intents.marker"], name=op.f("fk_intent_states_marker")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intent_states")),
        sa.UniqueConstraint(
            "card_id", "chain_seq", name=op.f("uq_intent_states_chain_position_is_taken_once")
        ),
    )
    with op.batch_alter_table("intent_states", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_intent_states_marker"), ["marker"], unique=False)

    op.create_table(
        "marks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_marks")),
    )
    op.create_table(
        "privacy_requests",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("cards", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("answered_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_privacy_requests")),
        sa.UniqueConstraint("side", "key", name=op.f("uq_privacy_requests_a_request_is_answered_once")),
    )
    op.create_table(
        "origins",
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("order_name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("erased_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["card_id"], ["cards.id"], name=op.f("fk_origins_card_id")),
        sa.PrimaryKeyConstraint("card_id", name=op.f("pk_origins")),
    )
    with op.batch_alter_table("origins", schema=None) as batch_op:
        batch_op.create_index("ix_origins_order_id", ["order_id"], unique=False)
        batch_op.create_index("ix_origins_order_name", ["order_name"], unique=False)

    op.create_table(
        "assignments",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("from_card", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("to_card", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("serial_index", sa.Text(), nullable=False),
        sa.Column("serial_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("last_chars", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("closes_old", sa.Boolean(), nullable=False),
        sa.Column("written_off_before", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.CheckConstraint("state IN ('taking','done')", name=op.f("ck_assignments_state_is_known")),
        sa.ForeignKeyConstraint(["from_card"], ["cards.id"], name=op.f("fk_assignments_from_card")),
        sa.ForeignKeyConstraint(["to_card"], ["cards.id"], name=op.f("fk_assignments_to_card")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sa.UniqueConstraint("from_card", name=op.f("uq_assignments_a_card_is_assigned_once")),
        sa.UniqueConstraint("serial_index", name=op.f("uq_assignments_a_physical_card_is_assigned_once")),
    )


def downgrade() -> None:
    op.drop_table("assignments")
    with op.batch_alter_table("origins", schema=None) as batch_op:
        batch_op.drop_index("ix_origins_order_name")
        batch_op.drop_index("ix_origins_order_id")

    op.drop_table("origins")
    op.drop_table("privacy_requests")
    op.drop_table("marks")
    with op.batch_alter_table("intent_states", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_intent_states_marker"))

    op.drop_table("intent_states")
    with op.batch_alter_table("import_rows", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_import_rows_card",
            sqlite_where=sa.text("card_id IS NOT NULL"),
            postgresql_where=sa.text("card_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_import_rows_batch",
            sqlite_where=sa.text("batch_id IS NOT NULL"),
            postgresql_where=sa.text("batch_id IS NOT NULL"),
        )

    op.drop_table("import_rows")
    with op.batch_alter_table("polls", schema=None) as batch_op:
        batch_op.drop_index("ix_polls_turn")
        batch_op.drop_index("ix_polls_asked_at")

    op.drop_table("polls")
    op.drop_table("poll_populations")
    with op.batch_alter_table("presences", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_presences_unwatched",
            sqlite_where=sa.text("born AND NOT watched"),
            postgresql_where=sa.text("born AND NOT watched"),
        )
        batch_op.drop_index("ix_presences_side")
        batch_op.drop_index("ix_presences_serial_index")

    op.drop_table("presences")
    with op.batch_alter_table("pool_numbers", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_pool_numbers_free",
            sqlite_where=sa.text("allotted_at IS NULL"),
            postgresql_where=sa.text("allotted_at IS NULL"),
        )

    op.drop_table("pool_numbers")
    with op.batch_alter_table("movements", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_movements_card_id"))

    op.drop_table("movements")
    with op.batch_alter_table("intents", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_intents_open",
            sqlite_where=sa.text("state IN ('planned','sent','in_doubt')"),
            postgresql_where=sa.text("state IN ('planned','sent','in_doubt')"),
        )
        batch_op.drop_index(batch_op.f("ix_intents_card_id"))

    op.drop_table("intents")
    op.drop_table("import_batches")
    with op.batch_alter_table("conflicts", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_conflicts_one_open_per_side_and_cause",
            sqlite_where=sa.text("closed_at IS NULL AND card_id IS NULL"),
            postgresql_where=sa.text("closed_at IS NULL AND card_id IS NULL"),
        )
        batch_op.drop_index(
            "uq_conflicts_one_open_per_card_and_cause",
            sqlite_where=sa.text("closed_at IS NULL AND card_id IS NOT NULL"),
            postgresql_where=sa.text("closed_at IS NULL AND card_id IS NOT NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_conflicts_card_id"))

    op.drop_table("conflicts")
    op.drop_table("verdicts")
    op.drop_table("tokens")
    op.drop_table("sides")
    op.drop_table("runs")
    op.drop_table("probes")
    op.drop_table("imports")
    with op.batch_alter_table("hints_seen", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_hints_seen_seen_at"))

    op.drop_table("hints_seen")
    op.drop_table("feed_cursors")
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_index("ix_deliveries_received")
        batch_op.drop_index(
            "ix_deliveries_due",
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )

    op.drop_table("deliveries")
    with op.batch_alter_table("cards", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_cards_lease",
            sqlite_where=sa.text("lease_until IS NOT NULL"),
            postgresql_where=sa.text("lease_until IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_cards_due",
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )

    op.drop_table("cards")
    with op.batch_alter_table("arrivals", schema=None) as batch_op:
        batch_op.drop_index("ix_arrivals_due")

    op.drop_table("arrivals")
