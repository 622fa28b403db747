"""Hints as they come in: known cards become due, unknown ones wait as arrivals, and the cursor moves on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    Text,
    Update,
    bindparam,
    case,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from connectors.api.card import CardRef
from connectors.api.feed import Hint, HintPage, Traced
from mappings.contact import Contact, digest_of
from mappings.serials import Serial
from sync.crashpoints import crashpoint
from sync.ledger.database import prepared
from sync.ledger.database.engine import asking, reading, writing_lazily
from sync.ledger.database.news import ARRIVED, DUE, tell
from sync.ledger.database.prepared import any_of
from sync.ledger.database.tables import (
    arrivals,
    cards,
    conflicts,
    feed_cursors,
    hints_seen,
    intents,
    presences,
    receipt_lines,
)
from sync.ledger.database.upsert import upsert, upsert_for
from sync.ledger.incoming.origins import keep_origin, with_origin
from sync.ledger.incoming.traces import keep
from sync.ledger.secrets import creates
from sync.ledger.secrets.creates import source_of
from sync.ledger.secrets.vault import Vault
from sync.model import IGNORED, ConflictKind, NewConflict

#: Arrivals that are asked whether a card was made for them.
AWAITED_MAX = 1_000
#: How often one event that feeds tell of again is looked at.
LOOKS_PER_EVENT = 2

_SELECT_CURSOR = select(feed_cursors.c.cursor).where(
    feed_cursors.c.side == bindparam("of_side"), feed_cursors.c.feed == bindparam("of_feed")
)
_OF_SIDE = select(presences.c.card_id, presences.c.native_id, presences.c.serial_index).where(
    presences.c.side == bindparam("of_side")
)


@cache
def _select_native(places: int) -> Select[Any]:
    return _OF_SIDE.where(any_of(presences.c.native_id, "native", places))


@cache
def _select_indexed(places: int) -> Select[Any]:
    return _OF_SIDE.where(any_of(presences.c.serial_index, "index", places))


@cache
def _select_looks(places: int) -> Select[Any]:
    looks = select(hints_seen.c.key, hints_seen.c.looks).where(hints_seen.c.side == bindparam("of_side"))
    return looks.where(any_of(hints_seen.c.key, "key", places))


@cache
def _see_hint(dialect: str) -> Any:
    seen = upsert_for(dialect, hints_seen)
    return seen.on_conflict_do_update(
        index_elements=["side", "key"],
        set_={"looks": hints_seen.c.looks + 1, "seen_at": seen.excluded.seen_at},
    )


@cache
def _keep_cursor(dialect: str) -> Any:
    kept = upsert_for(dialect, feed_cursors)
    return kept.on_conflict_do_update(
        index_elements=["side", "feed"],
        set_={"cursor": kept.excluded.cursor, "read_at": kept.excluded.read_at},
    )


@cache
def _make_due(places: int) -> Update:
    at, side = bindparam("at", type_=cards.c.due_at.type), bindparam("for_side", type_=Text)
    # A card that is due for another side already is due for all.
    alone = or_(cards.c.due_at.is_(None), cards.c.due_for == side)
    return (
        update(cards)
        .where(any_of(cards.c.id, "card", places))
        .values(
            due_at=case((cards.c.due_at < at, cards.c.due_at), else_=at),
            due_for=case((alone, side), else_=None),
        )
    )


@dataclass(frozen=True)
class Arrival:
    """A card that a side has and the hub does not know yet."""

    id: int
    side: str
    card: CardRef
    last_chars: str
    created_by: str | None
    sold_here: bool
    details: Mapping[str, str]
    attempts: int
    #: How the buyer is reached, of a card that was sold since buyers are told.
    contact: Contact | None = None


@dataclass(frozen=True)
class Taken:
    """What one page of hints came to."""

    known: int
    arrived: int


@dataclass(frozen=True)
class Intake:
    """Hints, arrivals and feed cursors. Every method is one transaction."""

    engine: Engine
    vault: Vault
    #: Contacts are kept for cards that were sold since then; None: of none.
    contacts_since: datetime | None = None

    def cursor(self, side: str, feed: str) -> str | None:
        with asking(self.engine) as connection:
            found = prepared.row(connection, _SELECT_CURSOR, {"of_side": side, "of_feed": feed})
        return None if found is None else found["cursor"]

    def take_in(
        self,
        side: str,
        feed: str,
        page: HintPage,
        now: datetime,
        *,
        tells_changes: bool,
        unchanged: Collection[int] = (),
        traced: Sequence[Traced] = (),
    ) -> Taken:
        """Store a page's hints and then move the cursor past them, in one transaction: none is ever lost.

        `unchanged` are cards that were looked at for these hints already, and need no work.
        """
        with writing_lazily(self.engine) as connection:
            taken = self.write_hints(
                connection, side, page.hints, now, tells_changes=tells_changes, unchanged=unchanged
            )
            keep(connection, self.vault, side, traced, now)
            write_due(connection, self._traced_cards(connection, side, traced), now, None)
            _save_cursor(connection, side, feed, page.cursor, now)
            crashpoint("intake.inside")
        return taken

    def _traced_cards(self, connection: Connection, side: str, traced: Sequence[Traced]) -> list[int | None]:
        """The known cards that giftsync's own effects are about; what customers did has hints of its own."""
        ours = [Hint(one.card, "") for one in traced if one.marker is not None]
        return self._known(connection, side, ours) if ours else []

    def _news(self, connection: Connection, side: str, hints: Sequence[Hint], now: datetime) -> list[bool]:
        """Whether each hint is worth a look: feeds overlap, and tell of one event again and again.

        An event is looked at twice, so that another one at the same moment, as the side rounds it, is not
        missed. A hint without a moment is always news.
        """
        keys = [self._key_of(hint) for hint in hints]
        wanted = {key for key in keys if key is not None}
        fresh = self._fresh(connection, side, wanted)
        if fresh:
            # In an order of their own, so that two who write the same ones do not wait for each other.
            see = _see_hint(connection.dialect.name)
            for key in sorted(fresh):
                prepared.change(connection, see, {"side": side, "key": key, "looks": 1, "seen_at": now})
        return [key is None or key in fresh for key in keys]

    def _fresh(self, connection: Connection, side: str, keys: set[str]) -> set[str]:
        """The keys of events that were not looked at often enough."""
        looks = dict.fromkeys(keys, 0)
        for row in prepared.rows_among(connection, _select_looks, "key", sorted(keys), {"of_side": side}):
            looks[row["key"]] = row["looks"]
        return {key for key, count in looks.items() if count < LOOKS_PER_EVENT}

    def to_look_at(self, side: str, hints: Sequence[Hint]) -> set[int]:
        """The known cards that `hint` would make due for these hints."""
        keys = [self._key_of(hint) for hint in hints]
        with reading(self.engine) as connection:
            fresh = self._fresh(connection, side, {key for key in keys if key is not None})
            news = [hint for hint, key in zip(hints, keys, strict=True) if key is None or key in fresh]
            return {card_id for card_id in self._known(connection, side, news) if card_id is not None}

    def _key_of(self, hint: Hint) -> str | None:
        if hint.at is None:
            return None
        card = hint.card.native_id or ""
        if hint.card.serial is not None:
            card = self.vault.index(hint.card.serial)
        return f"{hint.feed}:{card}:{hint.at.astimezone(UTC).isoformat()}"

    def forget_hints(self, before: datetime) -> int:
        """Drop the memory of hints that no feed tells of any more."""
        with self.engine.begin() as connection:
            return connection.execute(delete(hints_seen).where(hints_seen.c.seen_at < before)).rowcount

    def hint(
        self, side: str, hints: Sequence[Hint], now: datetime, *, unchanged: Collection[int] = ()
    ) -> Taken:
        """Store hints that come from no feed, such as a webhook's. A feed may have told of them already."""
        with writing_lazily(self.engine) as connection:
            return self.write_hints(connection, side, hints, now, unchanged=unchanged)

    def write_hints(
        self,
        connection: Connection,
        side: str,
        hints: Sequence[Hint],
        now: datetime,
        *,
        tells_changes: bool = True,
        unchanged: Collection[int] = (),
    ) -> Taken:
        """`hint` in a transaction of the caller's; hints that tell no changes only make new cards arrive."""
        if not hints:
            return Taken(0, 0)
        known = self._known(connection, side, hints)
        self._keep_lines(connection, side, hints)
        self._keep_origins(connection, hints, known)
        if tells_changes:
            news = self._news(connection, side, hints, now)
            due = {card_id for card_id, is_new in zip(known, news, strict=True) if is_new}
            write_due(connection, due.difference(unchanged), now, side)
        fresh = [hint for hint, card_id in zip(hints, known, strict=True) if card_id is None]
        arrived = sum(self._arrive(connection, side, hint, now) for hint in fresh)
        if arrived:
            tell(connection, ARRIVED)
        return Taken(len(known) - len(fresh), arrived)

    def _keep_origins(
        self, connection: Connection, hints: Sequence[Hint], known: Sequence[int | None]
    ) -> None:
        """Keep the orders of cards of which a payment told before their own order did.

        Feeds tell of the same sales again and again, so most cards have theirs.
        """
        told: dict[int, Hint] = {}
        for hint, card_id in zip(hints, known, strict=True):
            if card_id is not None and hint.sold_here and hint.details.get("order"):
                told.setdefault(card_id, hint)
        for card_id in sorted(told.keys() - with_origin(connection, told)):
            keep_origin(connection, card_id, self.vault.seal_details(told[card_id].details))

    def _keep_lines(self, connection: Connection, side: str, hints: Sequence[Hint]) -> None:
        """Keep what orders and receipts say, for whoever asks what happened to a card."""
        rows = [
            {
                "side": side,
                "key": hint.line.key,
                "native_id": hint.card.native_id,
                "serial_index": None if hint.card.serial is None else self.vault.index(hint.card.serial),
                "kind": hint.line.kind,
                "at": hint.line.at,
                "amount_minor": hint.line.amount_minor,
                "order_name": hint.line.order,
                "receipt": hint.line.receipt,
                "store": hint.line.store,
                "till": hint.line.till,
                "buyer_index": self._buyer_index(hint),
            }
            for hint in hints
            if hint.line is not None
        ]
        if rows:
            # In an order of their own, so that two who write the same ones do not wait for each other.
            rows.sort(key=lambda row: str(row["key"]))
            connection.execute(upsert(connection, receipt_lines).on_conflict_do_nothing(), rows)

    def _buyer_index(self, hint: Hint) -> str | None:
        """The keyed hash of the buyer's address, by which support finds the card."""
        if hint.contact is None or not hint.contact.email:
            return None
        return self.vault.contact_index(digest_of(hint.contact.email))

    def save_cursor(self, side: str, feed: str, cursor: str, now: datetime) -> None:
        with writing_lazily(self.engine) as connection:
            _save_cursor(connection, side, feed, cursor, now)

    def _known(self, connection: Connection, side: str, hints: Sequence[Hint]) -> list[int | None]:
        """For each hint the card whose presence it names, or whose create made it; None for a new card."""
        natives = sorted({h.card.native_id for h in hints if h.card.native_id is not None})
        indexes = [None if h.card.serial is None else self.vault.index(h.card.serial) for h in hints]
        known_as = sorted({index for index in indexes if index is not None})
        of = {"of_side": side}
        rows = [
            *prepared.rows_among(connection, _select_native, "native", natives, of),
            *prepared.rows_among(connection, _select_indexed, "index", known_as, of),
        ]
        by_native = {row["native_id"]: row["card_id"] for row in rows if row["native_id"] is not None}
        by_index = {row["serial_index"]: row["card_id"] for row in rows if row["serial_index"] is not None}
        made = self._made_by(connection, {h.created_by for h in hints if h.created_by is not None})
        return [
            by_native.get(hint.card.native_id) or by_index.get(index) or _card_made(made, hint)
            for hint, index in zip(hints, indexes, strict=True)
        ]

    def _made_by(self, connection: Connection, markers: set[str]) -> dict[str | None, tuple[int, str | None]]:
        """For each marker of a create: its card, and the native id of what it made, once that is known."""
        if not markers:
            return {}
        rows = connection.execute(
            select(intents.c.marker, intents.c.card_id, presences.c.native_id)
            .join(
                presences, (presences.c.card_id == intents.c.card_id) & (presences.c.side == intents.c.side)
            )
            .where(intents.c.marker.in_(markers), intents.c.kind == "create")
        )
        return {row.marker: (row.card_id, row.native_id) for row in rows}

    def _arrive(self, connection: Connection, side: str, hint: Hint, now: datetime) -> int:
        serial = hint.card.serial
        values = {
            "side": side,
            "native_id": hint.card.native_id,
            "serial_index": None if serial is None else self.vault.index(serial),
            "serial_sealed": None if serial is None else self.vault.seal(serial),
            "last_chars": hint.last_chars,
            "created_by": hint.created_by,
            "sold_here": hint.sold_here,
            "details": self.vault.seal_details(hint.details),
            "contact_sealed": self.vault.seal_contact(self._contact_of(hint)),
            "arrived_at": now,
            "due_at": now,
        }
        added = int(
            connection.execute(upsert(connection, arrivals, values).on_conflict_do_nothing()).rowcount
        )
        if not added and hint.sold_here and hint.card.native_id is not None:
            # A payment may have told of the card before its own order did.
            connection.execute(
                update(arrivals)
                .where(
                    arrivals.c.side == side,
                    arrivals.c.native_id == hint.card.native_id,
                    arrivals.c.sold_here.is_(False),
                )
                .values(sold_here=True, details=self.vault.seal_details(hint.details))
            )
        return added

    def _contact_of(self, hint: Hint) -> Contact | None:
        """The buyer's contact, if it may be used: of a new card, never of one that a feed's history tells."""
        if self.contacts_since is None or hint.at is None or not hint.sold_here:
            return None
        # Sides cut their moments, some to the second.
        return hint.contact if hint.at >= self.contacts_since.replace(microsecond=0) else None

    # --- arrivals -------------------------------------------------------------------------------------------

    def due_arrivals(self, now: datetime, limit: int) -> list[Arrival]:
        """The oldest arrivals that are due; those with a serial first, since they can be matched by it."""
        with asking(self.engine) as connection:
            rows = connection.execute(
                select(arrivals)
                .where(arrivals.c.due_at <= now)
                .order_by(arrivals.c.serial_index.is_(None), arrivals.c.due_at, arrivals.c.id)
                .limit(limit)
            ).mappings()
            return [self._arrival(row) for row in rows]

    def _arrival(self, row: Mapping[Any, Any]) -> Arrival:
        sealed = row["serial_sealed"]
        serial = None if sealed is None else self.vault.open(sealed)
        return Arrival(
            row["id"],
            row["side"],
            CardRef(row["native_id"], serial),
            row["last_chars"],
            row["created_by"],
            row["sold_here"],
            self.vault.open_details(row["details"]),
            row["attempts"],
            self.vault.open_contact(row["contact_sealed"]),
        )

    def postpone(self, arrival: Arrival, due_at: datetime, *, awaits_side: bool = False) -> None:
        """Match it again at `due_at`. With `awaits_side` no single pass waits for that."""
        with self.engine.begin() as connection:
            connection.execute(
                update(arrivals)
                .where(arrivals.c.id == arrival.id)
                .values(due_at=due_at, attempts=arrivals.c.attempts + 1, awaits_side=awaits_side)
            )

    def leave_out(self, arrival: Arrival, brand: str) -> None:
        """Keep in mind that the card is of an excluded brand, so that it is not asked for again and again."""
        with self.engine.begin() as connection:
            connection.execute(
                update(arrivals).where(arrivals.c.id == arrival.id).values(due_at=None, left_out=brand)
            )

    def take_back(self, excludes: Callable[[str, str], bool], now: datetime) -> int:
        """Have cards matched that were left out for a brand which is not excluded any more."""
        with self.engine.begin() as connection:
            kinds = connection.execute(
                select(arrivals.c.side, arrivals.c.left_out)
                .where(arrivals.c.left_out.is_not(None))
                .distinct()
            ).all()
            return sum(
                connection.execute(
                    update(arrivals)
                    .where(arrivals.c.side == side, arrivals.c.left_out == brand)
                    .values(due_at=now, left_out=None)
                ).rowcount
                for side, brand in kinds
                if not excludes(side, brand)
            )

    def drop(self, arrival: Arrival) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(arrivals).where(arrivals.c.id == arrival.id))

    def card_of(self, side: str, ref: CardRef, created_by: str | None = None) -> int | None:
        """The hub's card with this presence on the side, or that our create made there."""
        hint = Hint(ref, "", created_by=created_by)
        with reading(self.engine) as connection:
            return self._known(connection, side, [hint])[0]

    def arrived_by(self, side: str, markers: Collection[str]) -> CardRef | None:
        """The waiting arrival on the side that was made with one of these markers."""
        query = select(arrivals).where(arrivals.c.side == side, arrivals.c.created_by.in_(markers))
        with asking(self.engine) as connection:
            row = connection.execute(query.order_by(arrivals.c.id).limit(1)).mappings().first()
            return None if row is None else self._arrival(row).card

    def is_awaited(self, marker: str, side: str) -> bool:
        """Whether the marker is that of a create on the side for a card that waits to be met itself."""
        waiting = select(arrivals.c.side, arrivals.c.native_id).where(
            arrivals.c.side != side, arrivals.c.created_by.is_(None), arrivals.c.native_id.is_not(None)
        )
        with asking(self.engine) as connection:
            rows = connection.execute(waiting.order_by(arrivals.c.id).limit(AWAITED_MAX)).all()
        found = [source_of(row.side, row.native_id) for row in rows]
        return marker in creates.markers(found, side, self.vault)

    def is_ours(self, marker: str) -> bool:
        """Whether the marker is that of an effect of this ledger."""
        with asking(self.engine) as connection:
            query = select(intents.c.marker).where(intents.c.marker == marker)
            return connection.execute(query).first() is not None

    def endings_on(self, side: str, serials: Collection[Serial]) -> frozenset[str]:
        """Which of the serials' last characters a card of the side has that may be one of them.

        A card whose whole serial the ledger knows, met there or about to be made, is none of them if its
        serial is another one.
        """
        indexes = {self.vault.index(serial) for serial in serials}
        endings = {serial.last_chars for serial in serials}
        found: set[str] = set()
        with reading(self.engine) as connection:
            for table in (presences, arrivals):
                may_be_one = or_(table.c.serial_index.is_(None), table.c.serial_index.in_(indexes))
                query = select(table.c.last_chars).where(
                    table.c.side == side, table.c.last_chars.in_(endings), may_be_one
                )
                found.update(connection.execute(query.distinct()).scalars())
        return frozenset(found)

    def create_is_open(self, side: str, last_chars: str) -> bool:
        """Whether a create that may have made a card with these last characters there is still open."""
        with asking(self.engine) as connection:
            return (
                connection.execute(
                    select(intents.c.marker)
                    .join(
                        presences,
                        (presences.c.card_id == intents.c.card_id) & (presences.c.side == intents.c.side),
                    )
                    .where(
                        intents.c.side == side,
                        intents.c.kind == "create",
                        intents.c.state.in_(("planned", "sent", "in_doubt")),
                        presences.c.last_chars == last_chars,
                    )
                    .limit(1)
                ).first()
                is not None
            )

    def make_due(self, card_ids: Iterable[int], now: datetime, side: str | None = None) -> None:
        """Have cards worked on: look at `side`, or at all sides."""
        with writing_lazily(self.engine) as connection:
            write_due(connection, card_ids, now, side)

    def make_due_over_limit(self, side: str, now: datetime) -> None:
        """Have the cards worked on that a side's limit for one card keeps from being written there."""
        waiting = select(conflicts.c.card_id).where(
            conflicts.c.kind == ConflictKind.OVER_LIMIT.value,
            conflicts.c.side == side,
            conflicts.c.closed_at.is_(None),
            conflicts.c.card_id.is_not(None),
        )
        with self.engine.begin() as connection:
            write_due(connection, connection.execute(waiting).scalars().all(), now, None)

    def report(self, conflict: NewConflict, now: datetime) -> bool:
        """Open a conflict of a whole side, unless its cause has an open one; whether it was opened."""
        try:
            with self.engine.begin() as connection:
                open_one = connection.execute(
                    select(conflicts.c.id).where(
                        conflicts.c.card_id.is_(None),
                        conflicts.c.cause == conflict.cause,
                        or_(conflicts.c.closed_at.is_(None), conflicts.c.resolution == IGNORED),
                    )
                ).first()
                if open_one is None:
                    connection.execute(
                        insert(conflicts).values(
                            side=conflict.side,
                            kind=conflict.kind.value,
                            cause=conflict.cause,
                            summary=conflict.summary,
                            amount_minor=conflict.amount_minor,
                            proposal=conflict.proposal,
                            evidence=dict(conflict.evidence),
                            opened_at=now,
                            last_seen_at=now,
                        )
                    )
        except IntegrityError:
            return False  # Another process has just opened it.
        return open_one is None

    def was_acknowledged(self, cause: str) -> bool:
        """Whether a person has acknowledged a conflict of a whole side with this cause."""
        said = conflicts.c.resolution.in_(("acknowledge", IGNORED, "ignored"))
        with asking(self.engine) as connection:
            query = select(conflicts.c.id).where(
                conflicts.c.card_id.is_(None), conflicts.c.cause == cause, said
            )
            return connection.execute(query).first() is not None

    def cause_gone(self, cause: str, now: datetime) -> None:
        """Close the conflict of a whole side whose cause is gone."""
        with self.engine.begin() as connection:
            connection.execute(
                update(conflicts)
                .where(
                    conflicts.c.card_id.is_(None),
                    conflicts.c.cause == cause,
                    conflicts.c.closed_at.is_(None),
                )
                .values(closed_at=now, resolution="cause gone")
            )
            connection.execute(
                update(conflicts)
                .where(
                    conflicts.c.card_id.is_(None),
                    conflicts.c.cause == cause,
                    conflicts.c.resolution == IGNORED,
                )
                .values(resolution="ignored")
            )


def _card_made(made: Mapping[str | None, tuple[int, str | None]], hint: Hint) -> int | None:
    """The card whose create made the hinted one; not a card whose note is a copy of that one's."""
    card_id, native_id = made.get(hint.created_by, (None, None))
    return (
        None if None not in (native_id, hint.card.native_id) and native_id != hint.card.native_id else card_id
    )


def write_due(
    connection: Connection, card_ids: Iterable[int | None], now: datetime, side: str | None
) -> None:
    """`Intake.make_due` in a transaction of the caller's."""
    ids = sorted({card_id for card_id in card_ids if card_id is not None})
    if ids:
        prepared.change_among(connection, _make_due, "card", ids, {"at": now, "for_side": side})
        tell(connection, DUE)


def _save_cursor(connection: Connection, side: str, feed: str, cursor: str, now: datetime) -> None:
    values = {"side": side, "feed": feed, "cursor": cursor, "read_at": now}
    prepared.change(connection, _keep_cursor(connection.dialect.name), values)
