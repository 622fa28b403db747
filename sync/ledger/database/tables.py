"""The ledger's tables. Each constraint is named for the sentence that it defends.

Money is in integer minor units. Instants are UTC. Rows of `movements`, `intent_states` and `identities` are
only added, and chained per card by a keyed hash whose head is on the card row.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Final

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
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect

from mappings import sentences

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


class _NoNumber(int):
    """A zero that nobody wrote."""


#: Stand for what is in the database and is no date, moment or number: SQLite keeps any text in any column.
#: Of a card's row they fit no digest, so the card is held; elsewhere they are shown.
NO_DAY: Final = date(1970, 1, 1)
NO_INSTANT: Final = datetime(1970, 1, 1, tzinfo=UTC)
NO_NUMBER: Final = _NoNumber(0)


def _or(instead: object, process: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    """The same reader, which answers `instead` where it cannot read: one bad row must not stop the others."""
    if process is None:
        return None

    def read(value: Any) -> Any:
        try:
            return process(value)
        except (ValueError, TypeError):
            return instead

    return read


class _Json(TypeDecorator[Any]):
    """Plain values as JSON."""

    impl = JSON().with_variant(JSONB, "postgresql")
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _or({}, super().result_processor(dialect, coltype))


class Day(TypeDecorator[date]):
    """A date."""

    impl = Date
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _or(NO_DAY, super().result_processor(dialect, coltype))


class Whole(TypeDecorator[int]):
    """A number that is read for people; decisions and the proof read what is there."""

    impl = BigInteger
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return lambda value: value if value is None or type(value) is int else NO_NUMBER


class Said(TypeDecorator[str]):
    """A sentence: its English text, and after it what it was made of, for other languages."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else sentences.dump(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else sentences.load(value)


class Instant(TypeDecorator[datetime]):
    """A zone-aware instant, stored as UTC; SQLite would silently drop the zone."""

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

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _or(NO_INSTANT, super().result_processor(dialect, coltype))


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
    Column("expires_on", Day),
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
    Column(
        "open_redemptions",
        Integer,
        nullable=False,
        default=0,
        server_default=text("0"),
        doc="how many of its redemptions still change by themselves",
    ),
    Column("chain_seq", BigInteger, nullable=False, default=0),
    Column("chain_head", Text, nullable=False, default=""),
    Column("chain_lost", BigInteger, nullable=False, server_default="0", doc="rows gone when it was rebuilt"),
    Column("digest", Text, nullable=False, server_default="", doc="keyed, of all that the worker acts on"),
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
    Column("shadow_expires_on", Day),
    Column("born", Boolean, nullable=False),
    Column("stale", Boolean, nullable=False, default=False),
    Column("hold", Text),
    Column("refusal", Text),
    Column("refusals", Integer, nullable=False, default=0),
    Column("unreadable", Integer, nullable=False, default=0, doc="unbelievable answers in a row"),
    Column(
        "needs_cvc",
        Boolean,
        nullable=False,
        default=False,
        server_default=false(),
        doc="the side takes no payment with the card without its CVC, as it showed last",
    ),
    Column("book_cursor", Text, doc="newest entry of the side's own book that was taken in"),
    Column("book_digest", Text, doc="of the entries up to that one, and its id; null: not kept yet"),
    Column("brand", Text),
    Column("note", Text, nullable=False, default="", doc="words for staff, sealed: they may name the buyer"),
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
    Column("changed_at", Instant, nullable=False, doc="when it was last found changed"),
    Column("issued", Boolean, nullable=False, doc="met on its sale"),
    Column("kind", Integer, nullable=False, server_default=text("2"), doc="how it was met: `kind_of`"),
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
    Column("rates", Text, doc="as `PollPopulation.rates_to_json` writes it; null: nothing is learned yet"),
    Column("paid_until", Instant, nullable=False, doc="up to when the budget has been used"),
    Column("taken_until", Instant, doc="a worker is looking at cards of the side; null: none is"),
)

movements = Table(
    "movements",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("card_id", _Id, ForeignKey("cards.id"), nullable=False),
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
    # The books add up every card in order; from here they read no row. SQLite's indexes have the id anyway.
    Index(
        "ix_movements_books",
        *("card_id", "chain_seq", "at", "kind", "side", "amount_minor"),
        postgresql_include=["id"],
    ),
)

# When a card's status or expiry changed at the hub: for those who are told of it, and for drafts of the
# books, which ask for the last day that a card had at a moment. No decision rests on it.
card_changes = Table(
    "card_changes",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("card_id", _Id, ForeignKey("cards.id"), nullable=False, index=True),
    Column("status_before", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("expires_before", Day),
    Column("expires_on", Day),
    Column("balance_minor", BigInteger, nullable=False, doc="of the card, at that moment"),
    Column("at", Instant, nullable=False, index=True),
    Column("proof", Text, doc="keyed hash of all of it; null: by a release before, or by somebody else"),
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
    Column("expires_on", Day),
    Column("status_before", Text),
    Column("expires_before", Day),
    Column("note", Text, nullable=False, default="", doc="words for staff, sealed: they may name the buyer"),
    Column("brand", Text),
    Column("state", Text, nullable=False, doc="the newest of its intent_states"),
    Column("progress", _Json, nullable=False, doc="what a multi-call effect must remember"),
    Column("doubted", Boolean, nullable=False, default=False),
    Column("landings", Integer, nullable=False, default=0),
    Column("not_before", Instant, doc="not sent, and not taken for absent, before then"),
    Column("look_at", Instant, doc="in doubt: when it is looked for next"),
    Column("refusal", Text),
    Column("unclear_reads", Integer, nullable=False, default=0),
    Column(
        "postponed", Integer, nullable=False, default=0, server_default="0", doc="attempts that were not sent"
    ),
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

identities = Table(
    "identities",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("card_id", _Id, ForeignKey("cards.id"), nullable=False),
    Column("side", Text, nullable=False),
    Column("native_id", Text, doc="which card the presence is there from now on"),
    Column("serial_index", Text),
    Column("last_chars", Text, nullable=False),
    Column("born", Boolean, nullable=False, doc="false: to be created there under this number"),
    Column("at", Instant, nullable=False),
    Column("chain_seq", BigInteger, nullable=False),
    Column("chain_hash", Text, nullable=False),
    UniqueConstraint("card_id", "chain_seq", name="chain_position_is_taken_once"),
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("card_id", _Id, ForeignKey("cards.id"), index=True, doc="null: concerns a whole side"),
    Column("side", Text),
    Column("kind", Text, nullable=False),
    Column("cause", Text, nullable=False, doc="one open conflict per card and cause"),
    Column("summary", Said, nullable=False),
    Column("amount_minor", BigInteger, nullable=False, doc="money at stake, positive"),
    Column("currency", Text),
    Column("proposal", Said, nullable=False, default=""),
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
    # The worklist is sorted, and its kinds are counted, without reading a row.
    Index(
        "ix_conflicts_open",
        *("kind", "amount_minor", "opened_at", "id"),
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
    Index(
        "ix_conflicts_closed",
        "kind",
        sqlite_where=text("closed_at IS NOT NULL"),
        postgresql_where=text("closed_at IS NOT NULL"),
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

budgets = Table(
    "budgets",
    metadata,
    Column("side", Text, primary_key=True),
    Column("units", Double, nullable=False, doc="calls or points left; below zero: the refill is awaited"),
    Column("at", Instant, nullable=False, doc="when so much was left, by the database's clock"),
)

# What the link's effects have moved within the brakes' window, where several workers count together.
brake_window = Table(
    "brake_window",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("since", Instant, nullable=False),
    Column("money_minor", BigInteger, nullable=False),
    Column("cards", BigInteger, nullable=False, doc="rows of brake_cards"),
)

brake_cards = Table(
    "brake_cards",
    metadata,
    Column("card_id", _Id, ForeignKey("cards.id"), primary_key=True, autoincrement=False),
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
    Column("details", _Json, nullable=False, doc="of its order; the buyer's name is sealed"),
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
    Column("due_at", Instant, doc="null: it was processed"),
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
    Column("sentence", Said, nullable=False),
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
    Column("queued_at", Instant, doc="since when workers carry it out in their turns; null: they do not"),
    Column("in_bulk", Boolean, doc="how workers make its cards online: many by one file, or live"),
    Column("money_left_minor", BigInteger, doc="what workers may still move for it; null: not reckoned yet"),
    Column("rows_left", Integer, doc="chosen rows that are not done, as the last turn left them"),
    Column("trouble", Text, doc="what kept the last turn from going on, for people"),
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
    Column("expires_on", Day),
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
    Column("proof", Text, doc="keyed hash of which card it is and what is to be done with it"),
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
    Column("holder", Text, nullable=False, default="", doc="the order's shipping name, sealed; personal"),
    Column("erased_at", Instant, doc="when the buyer's data was erased on request"),
    Column("bought_at", Instant, doc="when the card was bought, as the shop says"),
    Index("ix_origins_order_name", "order_name"),
    Index("ix_origins_order_id", "order_id"),
)

# By which a card is found by a word of its buyer's name. Many words share a number, so that how often one
# occurs says little of which it is; whoever searches opens the name and compares.
origin_names = Table(
    "origin_names",
    metadata,
    Column(
        "word", Integer, primary_key=True, autoincrement=False, doc="of its keyed hash, two bytes; personal"
    ),
    Column("card_id", _Id, ForeignKey("cards.id"), primary_key=True, autoincrement=False),
    Index("ix_origin_names_card_id", "card_id"),
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
    Column("buyer_index", Text, doc="of a sale: keyed hash of the buyer's mail address; personal"),
    CheckConstraint("native_id IS NOT NULL OR serial_index IS NOT NULL", name="a_line_names_a_card"),
    Index("ix_receipt_lines_native_id", "native_id"),
    Index("ix_receipt_lines_serial_index", "serial_index"),
    Index("ix_receipt_lines_order_name", "order_name"),
    Index("ix_receipt_lines_receipt", "receipt"),
    Index("ix_receipt_lines_buyer_index", "buyer_index"),
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
    Column("expires_on", Day),
    Column("note", Text, nullable=False, default="", doc="words for staff, sealed: they may name the buyer"),
    Column("closes_old", Boolean, nullable=False),
    Column("written_off_before", BigInteger, nullable=False, doc="write-offs of the card until then"),
    Column("state", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("proof", Text, doc="keyed hash of what is given to which card"),
    UniqueConstraint("from_card", name="a_card_is_assigned_once"),
    UniqueConstraint("serial_index", name="a_physical_card_is_assigned_once"),
    CheckConstraint("state IN ('taking','done')", name="state_is_known"),
)

# Which side does not answer to which task. A row is gone when the task succeeds.
outages = Table(
    "outages",
    metadata,
    Column("side", Text, primary_key=True),
    Column("task", Text, primary_key=True, doc="what was asked for, in words: `reading orders`, `writing`"),
    Column("kind", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("asked_at", Instant, nullable=False, doc="when it was asked last, to the minute"),
    Column("reason", Text, nullable=False, doc="in words, redacted"),
    Column("remedy", Text, nullable=False, doc="what a person has to do; empty: it may pass by itself"),
    CheckConstraint("kind IN ('silent','throttled','closed')", name="kind_is_known"),
)

# Small things to remember between runs, such as how far the notices have told.
marks = Table(
    "marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("proof", Text, doc="of those that say what may be created: keyed hash of name and value"),
)

privacy_requests = Table(
    "privacy_requests",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("side", Text, nullable=False),
    Column("key", Text, nullable=False, doc="of the delivery that asked"),
    Column("topic", Text, nullable=False),
    Column("digest", Text, nullable=False, server_default="", doc="of what it asks for"),
    Column("orders", Integer, nullable=False, doc="how many orders it names"),
    Column("cards", Integer, nullable=False, doc="how many cards were concerned"),
    Column("outcome", Text, nullable=False, doc="in words; never personal data"),
    Column("answered_at", Instant, nullable=False),
    UniqueConstraint("side", "key", name="a_request_is_answered_once"),
)

# Who may use the console. A password is kept as its argon2 hash, a session or an invitation as the hash of
# its token.
people = Table(
    "people",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, doc="the name without regard to case"),
    Column("role", Text, nullable=False),
    Column("password_hash", Text, doc="null: only a one-time link opens the console for them"),
    Column("language", Text, doc="null: the link's"),
    Column("created_at", Instant, nullable=False),
    Column("proof", Text, doc="keyed hash of who it is, with what role and password; null: nobody"),
    UniqueConstraint("name_key", name="a_name_belongs_to_one_person"),
    CheckConstraint("role IN ('merchant','support','read_only')", name="role_is_known"),
)

invitations = Table(
    "invitations",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("person_id", _Id, ForeignKey("people.id", ondelete="CASCADE"), doc="null: somebody new"),
    Column("made_by", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("proof", Text, doc="keyed hash of whom it lets in; null: nobody"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("person_id", _Id, ForeignKey("people.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("began_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, doc="whatever is done with it"),
    Column("device", Text, nullable=False, server_default="", doc="browser and system, in a word each"),
    Column("proof", Text, doc="keyed hash of whose it is, and until when; null: nobody's"),
)

# Browsers on which people have signed in, so that they are told of a new one.
browsers = Table(
    "browsers",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("person_id", _Id, ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
    Column("token_hash", Text, nullable=False, doc="of the cookie that it keeps"),
    Column("device", Text, nullable=False, doc="browser and system, in a word each"),
    Column("met_at", Instant, nullable=False),
    Column("known_at", Instant, doc="when the person said that it is theirs; null: they have not yet"),
    UniqueConstraint("person_id", "token_hash", name="a_browser_is_met_once_by_a_person"),
)

# Keys that devices of people hold: the public half, which lets nobody in.
passkeys = Table(
    "passkeys",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("person_id", _Id, ForeignKey("people.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False, doc="what the person calls it"),
    Column("credential_id", Text, nullable=False, doc="as the device calls it, in base64url"),
    Column("public_key", LargeBinary, nullable=False, doc="in COSE form"),
    Column("sign_count", BigInteger, nullable=False, doc="how often it has signed, where the device counts"),
    Column("created_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("proof", Text, doc="keyed hash of whose it is; null: nobody's"),
    UniqueConstraint("credential_id", name="a_passkey_belongs_to_one_person"),
)

# Who an OIDC provider's people are in the console.
oidc_identities = Table(
    "oidc_identities",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True, doc="as the issuer calls the person, for ever"),
    Column("person_id", _Id, ForeignKey("people.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("follows_role", Boolean, nullable=False, doc="the provider's groups decide the role"),
    Column("bound_at", Instant, nullable=False),
    Column("proof", Text, doc="keyed hash of whose it is; null: nobody's"),
)

# Who did what in the console. Only added to.
activity = Table(
    "activity",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("action", Said, nullable=False),
    Column("about", Said, nullable=False, default="", doc="never a number, a token or a customer's name"),
)

# Tokens of the API. The secret is shown once, and kept as a keyed hash.
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("scopes", _Json, nullable=False),
    Column("locations", _Json, nullable=False, doc="where it may be used; empty: everywhere"),
    Column("calls_per_minute", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_used_at", Instant),
    Column("revoked_at", Instant),
    Column("proof", Text, doc="keyed hash of what it opens, and for whom; null: nothing"),
    UniqueConstraint("secret_hash", name="a_secret_opens_one_token"),
)

# What was answered to which request, so that a repeated one gets the same answer.
api_requests = Table(
    "api_requests",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("key", Text, primary_key=True, doc="the caller's Idempotency-Key"),
    Column("fingerprint", Text, nullable=False, doc="keyed hash of method, path and body"),
    Column("made", Text, doc="what it made: set in the transaction that made it"),
    Column("status", Integer, doc="of the answer; null: not answered yet, or not for certain"),
    Column("answer", _Json),
    Column("began_at", Instant, nullable=False),
    Index("ix_api_requests_began_at", "began_at"),
)

redemptions = Table(
    "redemptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("card_id", _Id, ForeignKey("cards.id"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("unconfirmed", Text, nullable=False, doc="what becomes of it when a side cannot confirm"),
    Column("state", Text, nullable=False),
    Column("confirmed", Boolean, nullable=False, doc="every side had confirmed when it became final"),
    Column("asked_minor", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False, doc="what it takes off the card now"),
    Column("balance_after_minor", BigInteger, nullable=False, doc="of the card, right after its last step"),
    Column("reason", Text, nullable=False, default=""),
    Column("token_id", Text, nullable=False),
    Column("location", Text, nullable=False, default=""),
    Column("reference", Text, nullable=False, default=""),
    Column("made_at", Instant, nullable=False),
    Column("ends_at", Instant, doc="null: it is final"),
    Column("capture_until", Instant),
    Column("changed_at", Instant, nullable=False),
    Column(
        "entered",
        Boolean,
        nullable=False,
        default=True,
        server_default=true(),
        doc="its movement is on the card; false: recorded at once, for whoever has the card next",
    ),
    Column("proof", Text, doc="until it is entered: keyed hash of what was recorded"),
    CheckConstraint(
        "state IN ('pending','authorized','completed','refused','voided','expired','reversed')",
        name="state_is_known",
    ),
    CheckConstraint("amount_minor >= 0 AND amount_minor <= asked_minor", name="no_more_is_taken_than_asked"),
    CheckConstraint("(ends_at IS NULL) = (state NOT IN ('pending','authorized'))", name="an_open_one_ends"),
    Index("ix_redemptions_changed_at", "changed_at"),
    Index(
        "ix_redemptions_open",
        "card_id",
        sqlite_where=text("ends_at IS NOT NULL"),
        postgresql_where=text("ends_at IS NOT NULL"),
    ),
    Index(
        "ix_redemptions_recorded",
        "card_id",
        sqlite_where=text("NOT entered"),
        postgresql_where=text("NOT entered"),
    ),
)

# What callers of the API did to cards beside redemptions.
hub_entries = Table(
    "hub_entries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("card_id", _Id, ForeignKey("cards.id"), nullable=False, index=True),
    Column("redemption_id", Text, ForeignKey("redemptions.id"), index=True),
    Column("kind", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False, doc="signed change of the hub's balance"),
    Column("balance_after_minor", BigInteger, nullable=False),
    Column("words", Text, nullable=False, default=""),
    Column("with_cvc", Boolean, nullable=False, doc="of an issue: the card is used with its CVC only"),
    Column("token_id", Text, nullable=False),
    Column("location", Text, nullable=False, default=""),
    Column("reference", Text, nullable=False, default=""),
    Column("at", Instant, nullable=False),
)

# Wrong guesses of a CVC, by card and by token.
cvc_guesses = Table(
    "cvc_guesses",
    metadata,
    Column("subject", Text, primary_key=True, doc="`card:` or `token:` and its id"),
    Column("wrong", Integer, nullable=False),
    Column("since", Instant, nullable=False),
)

# Months that were closed: the signed statement of each, never changed.
closes = Table(
    "closes",
    metadata,
    Column("number", _Id, primary_key=True, autoincrement=False),
    Column("period", Text, nullable=False, doc="the month, such as 2026-11"),
    Column("from_at", Instant, nullable=False),
    Column("until_at", Instant, nullable=False),
    Column("last_movement", _Id, nullable=False, doc="movements with higher ids came later"),
    Column("closed_at", Instant, nullable=False),
    Column("content", Text, nullable=False, doc="the statement in the form that was signed"),
    Column("sha256", Text, nullable=False, doc="of the content"),
    Column("signature", Text, nullable=False, doc="Ed25519, in hexadecimal digits"),
    UniqueConstraint("period", name="a_month_is_closed_once"),
    CheckConstraint("number > 0", name="statements_are_numbered_from_one"),
)

# What a close took off the books since a card's last day had passed, or put back; only added to.
expiries = Table(
    "expiries",
    metadata,
    Column("number", _Id, ForeignKey("closes.number"), primary_key=True, autoincrement=False),
    Column("card_id", _Id, ForeignKey("cards.id"), primary_key=True, autoincrement=False),
    Column("amount_minor", BigInteger, nullable=False, doc="negative: it is owed again"),
    Column("last_day", Day, nullable=False, doc="of the card when it expired"),
    Index("ix_expiries_card_id", "card_id"),
)

# Who is told of events, and what each was told.
api_webhooks = Table(
    "api_webhooks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("url_sealed", LargeBinary, nullable=False, doc="it may hold a key of the receiver's"),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("events", _Json, nullable=False, doc="the kinds that it wants; empty: all"),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

api_events = Table(
    "api_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("body", _Json, nullable=False, doc="as it is told; never a number"),
    Column("at", Instant, nullable=False, index=True),
)

api_tellings = Table(
    "api_tellings",
    metadata,
    Column("webhook_id", Text, ForeignKey("api_webhooks.id"), primary_key=True),
    Column("event_id", Text, ForeignKey("api_events.id"), primary_key=True),
    Column("due_at", Instant, doc="null: it was taken, or is given up"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("outcome", Text, nullable=False, default="", doc="of the last attempt, in words"),
    Column("told_at", Instant),
    Index(
        "ix_api_tellings_due",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
)
