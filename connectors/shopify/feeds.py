"""Feeds of hints: cards in the order they were made, cards and orders by their last update.

There is no gift card webhook and no search by update time (shopify.md §3.1, §8). New cards are walked
forward. Updates are walked backward, newest first, down to a watermark. Whether a redemption updates its card
is unknown (§3.3), so the payments of orders are read as well, and a sweep must cover what neither shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, TypeVar

from connectors.api.card import CardRef
from connectors.api.errors import SideError
from connectors.api.feed import Feed, Hint, HintPage, ReceiptLine, Traced
from connectors.shopify import operations
from connectors.shopify.bucket import Priority
from connectors.shopify.client import ShopifyClient
from connectors.shopify.mapping import GATEWAY, instant_of, marker_of, money_of, paid_card, receipt_of
from connectors.shopify.operations import Operation
from connectors.shopify.shape import (
    Json,
    Misshapen,
    as_object,
    list_of,
    next_page,
    object_of,
    objects_of,
    optional_object,
    optional_text,
    text_of,
)
from mappings.money import MoneyError

NEW_CARDS: Final = "new_cards"
UPDATED_CARDS: Final = "updated_cards"
ORDERS: Final = "orders"

CARDS_PER_PAGE: Final = operations.PAGE_MAX
#: Mostly few rows are news, and a row costs points whether it is news or not.
UPDATES_PER_PAGE: Final = 50
#: Where these are not enough there are many: a row of a full page costs a third.
UPDATES_PER_LATER_PAGE: Final = operations.PAGE_MAX
#: Orders that deliveries name, read together.
ORDERS_PER_READ: Final = 50
#: One call of `hints` reads no more; the next call goes on from the cursor.
PAGES_MAX: Final = 2_000
#: Paging may stop at 25,000 rows (shopify.md §6), so a walk starts anew from a date before that.
ROWS_PER_WALK_MAX: Final = 20_000
#: Updates may become visible a little after the time that they carry: a walk meets some of the rows of the
#: last one again. A longer way back costs a busy shop hundreds of rows each time, so it is gone now and then.
OVERLAP: Final = timedelta(seconds=30)
LONG_OVERLAP: Final = timedelta(minutes=2)
LONG_WALKS: Final = timedelta(minutes=5)
#: What becomes visible later still, or carries the time of a clock that was wrong, is met by a walk that goes
#: back so far from our own time, made so often.
WIDE_OVERLAP: Final = timedelta(hours=3)
WIDE_WALKS: Final = timedelta(hours=1)

FEEDS: Final = (
    Feed(NEW_CARDS, 30.0, tells_changes=False, lists_every_card=True),
    Feed(
        UPDATED_CARDS,
        15.0,
        late_seconds=WIDE_OVERLAP.total_seconds(),
        late_within_seconds=WIDE_WALKS.total_seconds(),
    ),
    Feed(ORDERS, 15.0),
)


@dataclass(frozen=True)
class ForwardCursor:
    """Where a forward walk over new cards stands."""

    #: Shopify's own cursor of the last card; opaque.
    after: str | None = None
    #: The date that the walk starts from, once it has been started anew.
    since: str | None = None
    #: Rows read since then.
    rows: int = 0


@dataclass(frozen=True)
class BackwardCursor:
    """Where a backward walk over updates stands."""

    #: Everything updated before this instant is known.
    watermark: str
    #: While a walk is under way: the newest update that it met, the next watermark.
    newest: str | None = None
    #: While a walk is under way: Shopify's own cursor of the last row; opaque.
    after: str | None = None
    #: While a walk is under way: it ends below this instant.
    floor: str | None = None
    #: When the last long walk began, by our clock.
    long_at: str | None = None
    #: The newest update that it met; the next long walk goes back to this instant, and the overlap.
    long_newest: str | None = None
    #: When the last wide walk began, by our clock.
    wide_at: str | None = None

    @property
    def instants(self) -> Iterator[datetime]:
        """Every instant in it. Raises ValueError or TypeError for what is none."""
        texts = (self.watermark, self.newest, self.floor, self.long_at, self.long_newest, self.wide_at)
        return (datetime.fromisoformat(text) for text in texts if text is not None)

    def begun(self, now: datetime) -> BackwardCursor:
        """At the beginning of a walk. What becomes visible within LONG_OVERLAP is met by a long one, and
        what comes later by a wide one.
        """
        watermark = min(datetime.fromisoformat(self.watermark), now)
        if not _was_within(self.wide_at, now, WIDE_WALKS):
            floor = min(watermark - LONG_OVERLAP, now - WIDE_OVERLAP)
            at = now.isoformat()
            return replace(self, floor=floor.isoformat(), wide_at=at, long_at=at, long_newest=None)
        if _was_within(self.long_at, now, LONG_WALKS):
            return replace(self, floor=(watermark - OVERLAP).isoformat())
        from_ = watermark if self.long_newest is None else datetime.fromisoformat(self.long_newest)
        floor = from_ - LONG_OVERLAP
        return replace(self, floor=floor.isoformat(), long_at=now.isoformat(), long_newest=None)

    def ended(self, newest: datetime, now: datetime) -> BackwardCursor:
        """At the end of a walk; the watermark is the newest update that it met, and never beyond our time."""
        mark = min(newest, now).isoformat()
        return BackwardCursor(
            mark, long_at=self.long_at, long_newest=self.long_newest or mark, wide_at=self.wide_at
        )


def _was_within(moment: str | None, now: datetime, time: timedelta) -> bool:
    """Whether the moment is less than so long ago. One in the future is that of a clock that was set back."""
    return moment is not None and timedelta(0) <= now - datetime.fromisoformat(moment) < time


class FeedReader:
    """Reads the feeds. Thread-safe; all state is in the cursors."""

    def __init__(self, client: ShopifyClient, clock: Callable[[], datetime], look_back: timedelta) -> None:
        self._client = client
        self._clock = clock
        self._look_back = look_back

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        """Pages of hints after the cursor; at least one, so that a watermark is kept. See `Side.hints`."""
        if feed == NEW_CARDS:
            return self._new_cards(_forward(cursor))
        if feed == UPDATED_CARDS:
            return self._updates(
                operations.UPDATED_CARDS, self._backward(cursor), lambda card: [_hint_of(card, feed)]
            )
        if feed == ORDERS:
            return self._updates(
                operations.UPDATED_ORDERS,
                self._backward(cursor),
                _or_none(payment_hints),
                _or_none(payments_of),
            )
        raise ValueError(f"Shopify has no feed {feed!r}")

    def hints_of_orders(self, ids: Sequence[str]) -> dict[str, Sequence[Hint] | SideError]:
        """By order, the cards that it was paid with or refunded to; nothing for one that is gone."""
        found: dict[str, Sequence[Hint] | SideError] = {}
        for batch in (ids[n : n + ORDERS_PER_READ] for n in range(0, len(ids), ORDERS_PER_READ)):
            nodes = list_of(self._client.read(operations.READ_ORDERS, {"ids": list(batch)}), "nodes")
            if len(nodes) != len(batch):
                raise Misshapen("Shopify answered with another number of orders than was asked for")
            for one, node in zip(batch, nodes, strict=True):
                try:
                    found[one] = [] if node is None else payment_hints(as_object(node, "nodes"))
                except Misshapen as error:
                    found[one] = error
        return found

    def _new_cards(self, cursor: ForwardCursor) -> Iterator[HintPage]:
        """Cards in the order of their ids.

        A card that becomes visible after one with a higher id is passed over; `updated_cards` shows it.
        """
        for page in range(PAGES_MAX):
            query = f"created_at:>={cursor.since}" if cursor.since else None
            variables = {"first": CARDS_PER_PAGE, "after": cursor.after, "query": query}
            # More than a page is a backlog, as on the first run: that is no news to hurry for.
            priority = Priority.SWEEP if page else Priority.CARD
            data = self._client.read(operations.NEW_CARDS, variables, priority)
            connection = object_of(data, "giftCards")
            cards = objects_of(connection, "nodes")
            more = next_page(connection)
            if cards:
                end = text_of(object_of(connection, "pageInfo"), "endCursor")
                cursor = replace(cursor, after=end, rows=cursor.rows + len(cards))
            if more is not None and cursor.rows >= ROWS_PER_WALK_MAX:
                cursor = _started_anew(cursor, cards)
            yield HintPage(
                [_hint_of(card, NEW_CARDS) for card in cards],
                json.dumps(asdict(cursor)),
                is_last=more is None,
            )
            if more is None or not cards:
                return

    def _updates(
        self,
        operation: Operation,
        cursor: BackwardCursor,
        hints_of: Callable[[Json], Sequence[Hint]],
        moves_of: Callable[[Json], Sequence[Traced]] = lambda row: (),
    ) -> Iterator[HintPage]:
        """Rows from the newest update down to the watermark, and a little below it.

        The cursor of a page in the middle keeps the old watermark, so that a walk that is cut short goes on
        downwards and never skips the rest.
        """
        if cursor.after is None or cursor.floor is None:
            cursor = cursor.begun(self._clock())
        cutoff = datetime.fromisoformat(cursor.floor or cursor.watermark)
        for _ in range(PAGES_MAX):
            size = UPDATES_PER_PAGE if cursor.after is None else UPDATES_PER_LATER_PAGE
            variables = {"first": size, "after": cursor.after}
            connection = object_of(self._client.read(operation, variables), operation.root)
            rows = objects_of(connection, "nodes")
            read = [_updated_at(row) for row in rows]
            updated = [at for at in read if at is not None]
            if rows and not updated:
                raise Misshapen("no row of Shopify's page says when it was updated")
            newest = max([*updated, datetime.fromisoformat(cursor.newest or cursor.watermark)])
            after = next_page(connection)
            if after is None or _is_below(updated, cutoff):
                cursor = cursor.ended(newest, self._clock())
            else:
                cursor = replace(cursor, newest=newest.isoformat(), after=after)
            fresh = [row for row, at in zip(rows, read, strict=True) if at is None or at >= cutoff]
            yield HintPage(
                [hint for row in fresh for hint in hints_of(row)],
                json.dumps(asdict(cursor)),
                moved=[move for row in fresh for move in moves_of(row)],
            )
            if cursor.after is None:
                return

    def _backward(self, text: str | None) -> BackwardCursor:
        """The stored cursor; without one, the walk goes back as far as configured, not over all history."""
        start = BackwardCursor(watermark=(self._clock() - self._look_back).isoformat())
        stored = _stored(text)
        try:
            cursor = replace(start, **stored)
            # Any field may hold what a damaged cursor left there.
            if any(at.tzinfo is None for at in cursor.instants):
                return start
        except (TypeError, ValueError):
            return start
        return cursor


def _hint_of(card: Json, feed: str) -> Hint:
    """A card in a list. One odd row must not keep those behind it waiting: of that only the id is believed.

    Raises Misshapen where there is none.
    """
    try:
        return card_hint(card, feed)
    except Misshapen:
        return Hint(CardRef(native_id=text_of(card, "id")), feed, sold_here=card.get("order") is not None)


T = TypeVar("T")


def _or_none(read: Callable[[Json], Sequence[T]]) -> Callable[[Json], Sequence[T]]:
    """The same of an order, and nothing of one that is odd: the sweep finds the cards that it names."""

    def of(order: Json) -> Sequence[T]:
        try:
            return read(order)
        except Misshapen:
            return ()

    return of


def _updated_at(row: Json) -> datetime | None:
    """None where it cannot be read; the row counts as fresh then."""
    try:
        return instant_of(row, "updatedAt")
    except Misshapen:
        return None


def card_hint(card: Json, feed: str) -> Hint:
    """A card in a list. It was sold here when it has an order (shopify.md §3.1)."""
    order = optional_object(card, "order")
    details: dict[str, str] = {}
    if order is not None:
        details["order"] = text_of(order, "name")
        details["order_id"] = text_of(order, "id")
        # The card is made as the order is paid; when the order was placed is not asked for.
        details["bought_at"] = text_of(card, "createdAt")
        name = optional_text(optional_object(order, "shippingAddress") or {}, "name")
        if name:
            details["shipping_name"] = name
    return Hint(
        card=CardRef(native_id=text_of(card, "id")),
        feed=feed,
        last_chars=text_of(card, "lastCharacters").lower(),
        at=instant_of(card, "createdAt" if feed == NEW_CARDS else "updatedAt"),
        created_by=marker_of(optional_text(card, "note")),
        sold_here=order is not None,
        details=details,
    )


def payment_hints(order: Json) -> list[Hint]:
    """The cards that an order was paid with or refunded to."""
    hints = []
    for payment in objects_of(order, "transactions"):
        if optional_text(payment, "gateway") != GATEWAY:
            continue
        receipt = receipt_of(payment.get("receiptJson"))
        native_id = paid_card(receipt)
        # A receipt without the id is no error: its shape is no contract, and the sweep finds the card.
        if native_id is None:
            continue
        last_chars = str(receipt.get("gift_card_last_characters", ""))
        hints.append(
            Hint(
                card=CardRef(native_id=native_id),
                feed=ORDERS,
                last_chars=last_chars.lower()[-4:] if last_chars.isalnum() else "",
                at=instant_of(payment, "processedAt") if payment.get("processedAt") else None,
                line=_line(order, payment),
            )
        )
    return hints


#: How a successful payment moves the card: what is only authorized has not moved it.
_SIGNS: Final = {"SALE": -1, "CAPTURE": -1, "REFUND": 1, "VOID": 0, "AUTHORIZATION": 0}


def payments_of(order: Json) -> list[Traced]:
    """How much the order moved on which cards, as far as it shows that."""
    moves = []
    for payment in objects_of(order, "transactions"):
        native_id = paid_card(receipt_of(payment.get("receiptJson")))
        sign = _SIGNS.get(optional_text(payment, "kind") or "", 0)
        succeeded = optional_text(payment, "status") == "SUCCESS"
        if optional_text(payment, "gateway") != GATEWAY or native_id is None or not sign or not succeeded:
            continue
        try:
            minor, _ = money_of(object_of(payment, "amountSet"), "shopMoney")
        except (Misshapen, MoneyError):
            continue  # The card's balance tells the amount as well.
        at = instant_of(payment, "processedAt") if payment.get("processedAt") else None
        moves.append(Traced(CardRef(native_id), None, sign * minor, text_of(payment, "id"), at))
    return moves


def _line(order: Json, payment: Json) -> ReceiptLine | None:
    """What the order says of one payment; its amount is left out where it is not told or not exact."""
    sign = _SIGNS.get(optional_text(payment, "kind") or "SALE", 0)
    failed = optional_text(payment, "status") not in (None, "SUCCESS")
    if not payment.get("processedAt") or not sign or failed:
        return None
    try:
        minor, _ = money_of(object_of(payment, "amountSet"), "shopMoney")
        signed: int | None = sign * minor
    except (Misshapen, MoneyError):
        signed = None
    at, kind = instant_of(payment, "processedAt"), "refund" if sign > 0 else "payment"
    return ReceiptLine(text_of(payment, "id"), at, signed, kind, text_of(order, "name"), store="online shop")


def _is_below(updated: Sequence[datetime], cutoff: datetime) -> bool:
    """Whether nothing below this page can be fresh.

    No recording shows that Shopify keeps the order of UPDATED_AT (shopify.md §3.1), so a page out of order
    ends the walk only when all of it is old.
    """
    if not updated:
        return True
    in_order = all(above >= below for above, below in pairwise(updated))
    return (updated[-1] if in_order else max(updated)) < cutoff


def _started_anew(cursor: ForwardCursor, cards: Sequence[Json]) -> ForwardCursor:
    """A walk from the day before the last card on; cards of those days come again, which does no harm.

    A search by whole days is the one that is recorded (shopify.md §3.1), and the shop's day may have begun
    before that of UTC.
    """
    since = (instant_of(cards[-1], "createdAt").astimezone(UTC) - timedelta(days=1)).date().isoformat()
    # So many cards in two days cannot be told apart by date; the old walk goes on.
    return cursor if since == cursor.since else ForwardCursor(since=since)


def _forward(text: str | None) -> ForwardCursor:
    try:
        cursor = ForwardCursor(**_stored(text))
    except TypeError:
        return ForwardCursor()
    return cursor if isinstance(cursor.rows, int) else ForwardCursor()


def _stored(text: str | None) -> dict[str, Any]:
    """A cursor as it was stored; an unreadable one is as good as none, because hints may come twice."""
    try:
        stored = json.loads(text or "{}")
    except ValueError:
        return {}
    return stored if isinstance(stored, dict) else {}
