"""The ledger's tables. Each constraint is named for the sentence that it defends.

Money is in integer minor units. Instants are UTC. Rows of `movements` and `intent_states` are only added,
and chained per card by a keyed hash whose head is on the card row.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(constraint_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives rowids (and so autoincrement) to INTEGER keys only.
_Id = BigInteger().with_variant(Integer, "sqlite")
_Json = JSON().with_variant(JSONB, "postgresql")


class Instant(TypeDecorator[datetime]):
    """A zone-aware instant, stored as UTC; SQLite would otherwise drop the zone without a word."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return value.astimezone(UTC).replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        stored: datetime = value
        return stored.replace(tzinfo=UTC) if stored.tzinfo is None else stored.astimezone(UTC)


sides = Table(
    "sides",
    metadata,
    Column("name", Text, primary_key=True),
    Column("identity", Text, nullable=False, doc="the shop's domain, the tenant and store; a change stops"),
    Column("currency", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("first_seen_at", Instant, nullable=False),
)

cards = Table(
    "cards",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("currency", Text, nullable=False),
    Column("balance_minor", BigInteger, nullable=False, doc="H, the hub's balance"),
    Column("status", Text, nullable=False),
    Column("expires_on", Date),
    Column("held", Boolean, nullable=False, default=False, doc="first contact waits for a person"),
    Column(
        "behind",
        Boolean,
        nullable=False,
        default=False,
        server_default=false(),
        doc="a newer ledger may have done more with it; the sides' books are read before anything is decided",
    ),
    Column("version", BigInteger, nullable=False, default=0, doc="raised by every commit"),
    Column("fencing", BigInteger, nullable=False, default=0, doc="raised by every claim"),
    Column("lease_owner", Text),
    Column("lease_until", Instant),
    Column("due_at", Instant, doc="when it is to be worked on; null: nothing waits"),
    Column("due_for", Text, doc="the one side that is to be looked at; null: all"),
    Column("awaits_side", Boolean, nullable=False, default=False, doc="no single pass waits for it"),
    Column("chain_seq", BigInteger, nullable=False, default=0),
    Column("chain_head", Text, nullable=False, default=""),
    Column("created_at", Instant, nullable=False),
    CheckConstraint("balance_minor >= 0", name="balance_is_never_negative"),
    CheckConstraint("(lease_owner IS NULL) = (lease_until IS NULL)", name="a_lease_has_owner_and_end"),
    CheckConstraint("status IN ('inactive','active','suspended','closed')", name="status_is_known"),
    Index(
        "ix_cards_lease",
        "lease_until",
        sqlite_where=text("lease_until IS NOT NULL"),
        postgresql_where=text("lease_until IS NOT NULL"),
    ),
    Index(
        "ix_cards_due",
        "due_at",
        "id",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
)

presences = Table(
    "presences",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("card_id", _Id, ForeignKey("cards.id"), nullable=False),
    Column("side", Text, nullable=False),
    Column("native_id", Text, doc="null until the card exists there"),
    Column("serial_index", Text, doc="keyed hash of the serial; null where only the owner knows it"),
    Column("serial_sealed", LargeBinary),
    Column("last_chars", Text, nullable=False, default=""),
    Column("shadow_minor", BigInteger, nullable=False, default=0, doc="S(p)"),
    Column("shadow_status", Text, nullable=False),
    Column("shadow_expires_on", Date),
    Column("born", Boolean, nullable=False),
    Column("stale", Boolean, nullable=False, default=False),
    Column("hold", Text),
    Column("refusal", Text),
    Column("refusals", Integer, nullable=False, default=0),
    Column("unreadable", Integer, nullable=False, default=0, doc="unbelievable answers in a row"),
    Column("book_cursor", Text, doc="newest entry of the side's own book that was taken in"),
    Column("brand", Text),
    Column("note", Text, nullable=False, default=""),
    Column("watched", Boolean, nullable=False, default=False, doc="has, or had, its row in polls"),
    Column("contact_sealed", LargeBinary, doc="how the buyer is reached, until they were told; personal"),
    UniqueConstraint("card_id", "side", name="one_presence_per_card_and_side"),
    UniqueConstraint("side", "native_id", name="a_native_card_belongs_to_one_card"),
    UniqueConstraint("side", "serial_index", name="a_serial_belongs_to_one_card_per_side"),
    Index("ix_presences_serial_index", "serial_index"),
    Index("ix_presences_last_chars", "last_chars"),
    # A sweep reads every presence of a side in order, a page at a time.
    Index("ix_presences_side", "side", "id"),
    Index(
        "ix_presences_unwatched",
        "side",
        "id",
        sqlite_where=text("born AND NOT watched"),
        postgresql_where=text("born AND NOT watched"),
    ),
)

# When each presence was looked at, and its place among those to look at next, on a side that is read card by
# card. Estimates only (see `sync.decisions.poll_order`): a row that is wrong costs time, never money.
polls = Table(
    "polls",
    metadata,
    Column("presence_id", _Id, ForeignKey("presences.id"), primary_key=True, autoincrement=False),
    Column("side", Text, nullable=False),
    Column("asked_at", Instant, nullable=False, doc="when the side was asked last"),
    Column("polled_at", Instant, nullable=False, doc="when it answered last"),
    Column("changed_at", Instant, nullable=False),
    Column("issued", Boolean, nullable=False),
    Column("exposure", Double, nullable=False, doc="seconds"),
    Column("changes", Double, nullable=False),
    Column("balance_minor", BigInteger, nullable=False, doc="what it showed last"),
    Column("peak_minor", BigInteger, nullable=False),
    Column("rate", Double, nullable=False, doc="changes per second"),
    Column("weight", Double, nullable=False),
    Column("turn", Double, nullable=False, doc="virtual time: the lowest is next"),
    Index("ix_polls_turn", "side", "turn"),
    Index("ix_polls_asked_at", "side", "asked_at"),
)

poll_populations = Table(
    "poll_populations",
    metadata,
    Column("side", Text, primary_key=True),
    Column("population", Text, nullable=False, doc="as `PollPopulation.to_json` writes it"),
    Column("paid_until", Instant, nullable=False, doc="up to when the budget has been used"),
    Column("taken_until", Instant, doc="a worker is looking at cards of the side; null: none is"),
)

movements = Table(
    "movements",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("card_id", _Id, ForeignKey("cards.id"), nullable=False, index=True),
    Column("side", Text, doc="null for write-offs and resolutions"),
    Column("kind", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False, doc="signed change of the hub balance"),
    Column("shadow_delta_minor", BigInteger, nullable=False, doc="signed change of the side's shadow"),
    Column("balance_after_minor", BigInteger, nullable=False),
    Column("evidence", _Json, nullable=False),
    Column("at", Instant, nullable=False),
    Column("run_id", _Id, ForeignKey("runs.id")),
    Column("chain_seq", BigInteger, nullable=False),
    Column("chain_hash", Text, nullable=False),
    UniqueConstraint("card_id", "chain_seq", name="chain_position_is_taken_once"),
)

intents = Table(
    "intents",
    metadata,
    Column("marker", Text, primary_key=True, doc="unique; written where the side can be searched for it"),
    Column("card_id", _Id, ForeignKey("cards.id"), nullable=False, index=True),
    Column("side", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False, doc="order within the card"),
    Column("kind", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False, doc="signed change of the shadow"),
    Column("status", Text),
    Column("expires_on", Date),
    Column("status_before", Text),
    Column("expires_before", Date),
    Column("note", Text, nullable=False, default=""),
    Column("brand", Text),
    Column("state", Text, nullable=False, doc="the newest of its intent_states"),
    Column("progress", _Json, nullable=False, doc="what a multi-call effect must remember"),
    Column("doubted", Boolean, nullable=False, default=False),
    Column("landings", Integer, nullable=False, default=0),
    Column("not_before", Instant, doc="not sent, and not taken for absent, before then"),
    Column("look_at", Instant, doc="in doubt: when it is looked for next"),
    Column("refusal", Text),
    Column("unclear_reads", Integer, nullable=False, default=0),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    UniqueConstraint("card_id", "sequence", name="order_within_a_card_is_total"),
    CheckConstraint(
        "state IN ('planned','sent','in_doubt','applied','refused','withdrawn')", name="state_is_known"
    ),
    CheckConstraint(
        "(kind = 'debit' AND amount_minor < 0) OR (kind IN ('create','credit') AND amount_minor > 0)"
        " OR (kind IN ('set_status','set_expiry','notify') AND amount_minor = 0)",
        name="amount_has_the_sign_of_its_kind",
    ),
    Index(
        "ix_intents_open",
        "card_id",
        sqlite_where=text("state IN ('planned','sent','in_doubt')"),
        postgresql_where=text("state IN ('planned','sent','in_doubt')"),
    ),
)

intent_states = Table(
    "intent_states",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("card_id", _Id, ForeignKey("cards.id"), nullable=False),
    Column("marker", Text, ForeignKey("intents.marker"), nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("fencing", BigInteger, nullable=False, doc="which claim of the card wrote it"),
    Column("at", Instant, nullable=False),
    Column("chain_seq", BigInteger, nullable=False),
    Column("chain_hash", Text, nullable=False),
    UniqueConstraint("card_id", "chain_seq", name="chain_position_is_taken_once"),
)

# What feeds told, while the ledger was behind, of cards on sides that list no entries.
traces = Table(
    "traces",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("side", Text, nullable=False),
    Column("serial_index", Text),
    Column("native_id", Text),
    Column("marker", Text, doc="null: a customer moved the card"),
    Column("amount_minor", BigInteger, doc="signed; null: the side does not show how much"),
    Column("reference", Text, nullable=False, doc="the side's own id of what shows it"),
    Column("at", Instant, doc="when it happened, by the side's clock"),
    Column("seen_at", Instant, nullable=False),
    UniqueConstraint("side", "reference", name="a_trace_is_kept_once"),
    Index("ix_traces_serial_index", "side", "serial_index"),
    Index("ix_traces_native_id", "side", "native_id"),
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("card_id", _Id, ForeignKey("cards.id"), index=True, doc="null: concerns a whole side"),
    Column("side", Text),
    Column("kind", Text, nullable=False),
    Column("cause", Text, nullable=False, doc="one open conflict per card and cause"),
    Column("summary", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False, doc="money at stake, positive"),
    Column("currency", Text),
    Column("proposal", Text, nullable=False, default=""),
    Column("evidence", _Json, nullable=False),
    Column("seen", Integer, nullable=False, default=1),
    Column("opened_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("resolution", Text, doc="what was chosen; `cause gone` when it closed by itself"),
    Column("resolved_by", Text),
    Column("resolved_why", Text),
    Column("decided", _Json, doc="what a person decided, what it planned, and how to take it back"),
    Index(
        "uq_conflicts_one_open_per_card_and_cause",
        "card_id",
        "cause",
        unique=True,
        sqlite_where=text("closed_at IS NULL AND card_id IS NOT NULL"),
        postgresql_where=text("closed_at IS NULL AND card_id IS NOT NULL"),
    ),
    Index(
        "uq_conflicts_one_open_per_side_and_cause",
        "cause",
        unique=True,
        sqlite_where=text("closed_at IS NULL AND card_id IS NULL"),
        postgresql_where=text("closed_at IS NULL AND card_id IS NULL"),
    ),
)

runs = Table(
    "runs",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", Text),
    Column("counts", _Json, nullable=False),
)

feed_cursors = Table(
    "feed_cursors",
    metadata,
    Column("side", Text, primary_key=True),
    Column("feed", Text, primary_key=True),
    Column("cursor", Text, nullable=False),
    Column("read_at", Instant, nullable=False),
)

arrivals = Table(
    "arrivals",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("side", Text, nullable=False),
    Column("native_id", Text),
    Column("serial_index", Text),
    Column("serial_sealed", LargeBinary),
    Column("last_chars", Text, nullable=False, default=""),
    Column("created_by", Text, doc="the marker in its note, if one of ours made it"),
    Column("sold_here", Boolean, nullable=False, default=False),
    Column("details", _Json, nullable=False),
    Column("contact_sealed", LargeBinary, doc="how the buyer is reached; personal"),
    Column("arrived_at", Instant, nullable=False),
    Column("due_at", Instant, doc="null: it is left out"),
    Column("left_out", Text, doc="the excluded brand for which it is left out"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("awaits_side", Boolean, nullable=False, default=False, doc="no single pass waits for it"),
    UniqueConstraint("side", "native_id", name="one_arrival_per_native_card"),
    UniqueConstraint("side", "serial_index", name="one_arrival_per_serial"),
    CheckConstraint("native_id IS NOT NULL OR serial_index IS NOT NULL", name="an_arrival_names_a_card"),
    CheckConstraint("(due_at IS NULL) = (left_out IS NOT NULL)", name="an_arrival_waits_or_is_left_out"),
    Index("ix_arrivals_due", "due_at", "id"),
)

hints_seen = Table(
    "hints_seen",
    metadata,
    Column("side", Text, primary_key=True),
    Column("key", Text, primary_key=True, doc="feed, card and moment of the hint; never a serial"),
    Column("looks", Integer, nullable=False),
    Column("seen_at", Instant, nullable=False, index=True),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("side", Text, nullable=False),
    Column("key", Text, nullable=False, doc="the same on retries"),
    Column("topic", Text, nullable=False),
    Column("subject", Text, nullable=False, default=""),
    Column("received_at", Instant, nullable=False),
    Column("due_at", Instant, doc="null: it was heard"),
    Column("attempts", Integer, nullable=False, default=0),
    UniqueConstraint("side", "key", name="a_delivery_is_heard_once"),
    Index(
        "ix_deliveries_due",
        "due_at",
        "id",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    Index("ix_deliveries_received", "received_at"),
)

pool_numbers = Table(
    "pool_numbers",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("side", Text, nullable=False),
    Column("brand", Text),
    Column("serial_index", Text, nullable=False),
    Column("serial_sealed", LargeBinary, nullable=False),
    Column("last_chars", Text, nullable=False),
    Column("allotted_to", _Id, ForeignKey("cards.id")),
    Column("allotted_at", Instant),
    UniqueConstraint("side", "serial_index", name="a_number_is_in_a_pool_once"),
    Index(
        "ix_pool_numbers_free",
        "side",
        "brand",
        "id",
        sqlite_where=text("allotted_at IS NULL"),
        postgresql_where=text("allotted_at IS NULL"),
    ),
)

tokens = Table(
    "tokens",
    metadata,
    Column("side", Text, primary_key=True),
    Column("kind", Text, nullable=False, doc="how it was had: client_credentials, install"),
    Column("given_to", Text, nullable=False, doc="the shop and app; a token is never sent to another"),
    Column("access_sealed", LargeBinary, nullable=False),
    Column("refresh_sealed", LargeBinary),
    Column("scopes", Text, nullable=False, doc="as granted, with commas"),
    Column("obtained_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("refresh_expires_at", Instant),
    Column("version", BigInteger, nullable=False, doc="raised by every save"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("side", Text, primary_key=True),
    Column("point", Text, primary_key=True, doc="what was tried, such as api_settlement_debits"),
    Column("identity", Text, nullable=False, doc="the shop, or tenant and store, of which it is known"),
    Column("verdict", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("evidence", _Json, nullable=False),
    Column("at", Instant, nullable=False),
    CheckConstraint("verdict IN ('ok','warning','missing','unknown')", name="verdict_is_known"),
)

probes = Table(
    "probes",
    metadata,
    Column("side", Text, primary_key=True),
    Column("identity", Text, nullable=False),
    Column("notes", _Json, nullable=False, doc="what is needed to put the test card back as it was"),
    Column("at", Instant, nullable=False),
)

imports = Table(
    "imports",
    metadata,
    Column("id", Text, primary_key=True, doc="stands in every line of the plan file"),
    Column("state", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("sources", _Json, nullable=False, doc="the files that were read: name, layout, rows, rejects"),
    Column("before", _Json, nullable=False, doc="cards and money on each side when it was planned"),
    Column("first_row", _Id, nullable=False, default=0, doc="its rows have higher ids"),
    Column("lease_owner", Text),
    Column("lease_until", Instant),
    Column("created_at", Instant, nullable=False),
    Column("begun_at", Instant),
    Column("ended_at", Instant),
    CheckConstraint("state IN ('planning','planned','begun','done')", name="state_is_known"),
)

import_batches = Table(
    "import_batches",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("import_id", Text, ForeignKey("imports.id"), nullable=False),
    Column("side", Text, nullable=False),
    Column("tag", Text, nullable=False, doc="by which the side is asked whether it was started"),
    Column("operation", Text, doc="the side's own id of it; null until the side told"),
    Column("lines", Integer, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("called_at", Instant, doc="committed right before the side is told to start; null: surely not"),
    Column("ended_at", Instant),
)

# One row for each card of a plan, and for each line of a file that could not be taken. Serials are sealed
# here and nowhere else: the plan file, which people open, has the last four and a keyed reference.
import_rows = Table(
    "import_rows",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("import_id", Text, ForeignKey("imports.id"), nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("serial_index", Text),
    Column("serial_sealed", LargeBinary),
    Column("last_chars", Text, nullable=False, default=""),
    Column("online_id", Text, doc="its native id in the online shop"),
    Column("pos_minor", BigInteger, doc="what the point of sale or its export showed; null: not there"),
    Column("online_minor", BigInteger, doc="what the online shop showed; null: not there"),
    Column("amount_minor", BigInteger, nullable=False, default=0, doc="what will be put on a new card"),
    Column("status", Text, nullable=False, default=""),
    Column("expires_on", Date),
    Column("brand", Text, nullable=False, default=""),
    Column("store", Text, nullable=False, default=""),
    Column("source", Integer, doc="which of the import's files; null: a side's own listing"),
    Column("line", Integer),
    Column("cell", Text, nullable=False, default="", doc="of a reject: number and name of the column"),
    Column("chosen", Boolean, nullable=False, default=False, doc="stands in the plan file that is applied"),
    Column("state", Text, nullable=False),
    Column("outcome", Text, nullable=False, default="", doc="what came of it, for people"),
    Column("card_id", _Id, ForeignKey("cards.id")),
    Column("batch_id", _Id, ForeignKey("import_batches.id")),
    Column("batch_line", Integer, doc="from 0"),
    CheckConstraint("state IN ('planned','met','done')", name="state_is_known"),
    Index(
        "ix_import_rows_batch",
        "batch_id",
        "batch_line",
        sqlite_where=text("batch_id IS NOT NULL"),
        postgresql_where=text("batch_id IS NOT NULL"),
    ),
    Index(
        "ix_import_rows_card",
        "card_id",
        sqlite_where=text("card_id IS NOT NULL"),
        postgresql_where=text("card_id IS NOT NULL"),
    ),
)

# Where a card that was sold online came from: how staff find it, and all that giftsync knows about its buyer.
origins = Table(
    "origins",
    metadata,
    Column("card_id", _Id, ForeignKey("cards.id"), primary_key=True),
    Column("order_id", Text, nullable=False, default="", doc="the shop's own id of the order"),
    Column("order_name", Text, nullable=False, default="", doc="as staff know it, such as #1007"),
    Column("holder", Text, nullable=False, default="", doc="the order's shipping name; personal"),
    Column("erased_at", Instant, doc="when the buyer's data was erased on request"),
    Index("ix_origins_order_name", "order_name"),
    Index("ix_origins_order_id", "order_id"),
)

# What the sides' orders and receipts say of payments with a card, refunds to it and its sale: where and when.
receipt_lines = Table(
    "receipt_lines",
    metadata,
    Column("side", Text, primary_key=True),
    Column("key", Text, primary_key=True, doc="the side's own, the same whenever it tells of it"),
    Column("native_id", Text),
    Column("serial_index", Text),
    Column("kind", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("amount_minor", BigInteger, doc="signed; null: the side does not say"),
    Column("order_name", Text, nullable=False, default=""),
    Column("receipt", Text, nullable=False, default=""),
    Column("store", Text, nullable=False, default=""),
    Column("till", Text, nullable=False, default=""),
    CheckConstraint("native_id IS NOT NULL OR serial_index IS NOT NULL", name="a_line_names_a_card"),
    Index("ix_receipt_lines_native_id", "native_id"),
    Index("ix_receipt_lines_serial_index", "serial_index"),
    Index("ix_receipt_lines_order_name", "order_name"),
    Index("ix_receipt_lines_receipt", "receipt"),
)

# A physical card that staff give to somebody who bought one online: the value moves from one card to another.
assignments = Table(
    "assignments",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("from_card", _Id, ForeignKey("cards.id"), nullable=False),
    Column("to_card", _Id, ForeignKey("cards.id"), doc="null until the value was given"),
    Column("serial_index", Text, nullable=False),
    Column("serial_sealed", LargeBinary, nullable=False),
    Column("last_chars", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False, doc="what was taken from the card"),
    Column("expires_on", Date),
    Column("note", Text, nullable=False, default=""),
    Column("closes_old", Boolean, nullable=False),
    Column("written_off_before", BigInteger, nullable=False, doc="write-offs of the card until then"),
    Column("state", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    UniqueConstraint("from_card", name="a_card_is_assigned_once"),
    UniqueConstraint("serial_index", name="a_physical_card_is_assigned_once"),
    CheckConstraint("state IN ('taking','done')", name="state_is_known"),
)

# Small things to remember between runs, such as how far the notices have told.
marks = Table(
    "marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

privacy_requests = Table(
    "privacy_requests",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("side", Text, nullable=False),
    Column("key", Text, nullable=False, doc="of the delivery that asked"),
    Column("topic", Text, nullable=False),
    Column("orders", Integer, nullable=False, doc="how many orders it names"),
    Column("cards", Integer, nullable=False, doc="how many cards were concerned"),
    Column("outcome", Text, nullable=False, doc="in words; never personal data"),
    Column("answered_at", Instant, nullable=False),
    UniqueConstraint("side", "key", name="a_request_is_answered_once"),
)
