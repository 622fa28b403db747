"""The feed of what happened at the tills: receipts settled since the last time (flow.md §5).

Flow lists neither cards nor their movements, so this is the only way to learn of a card that was sold in a
store. The first read therefore goes through all history, page by page, and may be interrupted at every page.
A page's orders are read a few at a time, and after the first pass what they tell is told as they are read: a
customer's payment does not wait for the rest of the page. The cursor passes the page only once every one of
them was read.

The moment of a receipt is that of a till's clock, which may be hours fast, and a till without a connection
uploads its receipts hours later. So the cursor never passes our own time, and now and then a pass goes
further back; receipts that are known cost nothing but their line in the list.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from connectors.api.card import CardRef
from connectors.api.errors import InDoubt, SideClosed
from connectors.api.feed import Hint, HintPage, ReceiptLine, Trace, Traced
from connectors.flow.client import FlowClient, Rejected
from connectors.flow.discovery import Discovery
from connectors.flow.made_orders import MadeOrders
from connectors.flow.mapping import (
    SettlementFate,
    is_ours,
    marker_of_order,
    minor_from_x100,
    settlement_fate,
)
from connectors.flow.model import (
    FlowOrder,
    FlowReceipt,
    Misread,
    Page,
    loose_instant,
    parse_receipt,
    serial_of,
)
from connectors.flow.settings import READS_AT_ONCE, FlowSettings
from connectors.kit.parallel import in_order
from mappings.money import MoneyError

logger = logging.getLogger(__name__)

FEED: Final = "receipts"
#: More pages than any tenant has receipts for; a list that goes on for longer does not end.
PAGES_MAX: Final = 1_000_000
#: Receipts remembered at the edge; beyond that, old ones are hinted at again, which is harmless.
EDGE_MAX: Final = 5_000
_CURSOR_VERSION: Final = 1


@dataclass(frozen=True)
class Cursor:
    """Where the feed is: between two passes, or in the middle of one (`page` and `count` tell).

    A pass reads everything settled from `since` on. Receipts that the pass before has read already are
    `known`, those that the next pass will meet again are collected in `edge`.
    """

    since: datetime | None = None
    #: The latest settledAt that was seen, and never later than our own time.
    high: datetime | None = None
    known: Mapping[str, datetime] = field(default_factory=dict)
    edge: Mapping[str, datetime] = field(default_factory=dict)
    #: The next page, as Flow numbers them; None: the first.
    page: int | None = None
    #: Receipts read in this pass so far.
    count: int = 0
    #: Receipts on a page, in this pass.
    page_size: int = 0
    #: When the last pass began that went further back, by our clock.
    late_at: datetime | None = None

    def dump(self) -> str:
        # Made for each page, and a busy store has thousands of receipts in it.
        return msgspec.json.encode(
            {
                "v": _CURSOR_VERSION,
                "since": self.since,
                "high": self.high,
                "known": self.known,
                "edge": self.edge,
                "page": self.page,
                "count": self.count,
                "page_size": self.page_size,
                "late_at": self.late_at,
            }
        ).decode()

    @staticmethod
    def load(text: str | None) -> Cursor:
        """None is the beginning. Raises ValueError for a text that is no cursor of this feed."""
        if text is None:
            return Cursor()
        try:
            body = json.loads(text)
            if body["v"] != _CURSOR_VERSION:
                raise ValueError

            def instants(key: str) -> dict[str, datetime]:
                return {str(uid): datetime.fromisoformat(at) for uid, at in body[key].items()}

            return Cursor(
                since=loose_instant(body["since"]),
                high=loose_instant(body["high"]),
                known=instants("known"),
                edge=instants("edge"),
                page=body["page"],
                count=int(body["count"]),
                page_size=int(body["page_size"]),
                late_at=loose_instant(body.get("late_at")),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError("this is not a cursor of Flow's receipts feed") from None

    def begun(self, now: datetime, late: timedelta, every: timedelta) -> Cursor:
        """At the beginning of a pass: now and then one that meets what came late."""
        if self.since is None:
            return replace(self, late_at=now)
        if self.late_at is not None and timedelta(0) <= now - self.late_at < every:
            return self
        from_ = now - late
        if len(self.known) >= EDGE_MAX:
            # What is remembered no more would be read again each time.
            from_ = max(from_, min(self.known.values()))
        return replace(self, since=min(self.since, from_), late_at=now)

    def after_some(self, seen: Mapping[str, datetime], now: datetime, window: Window) -> Cursor:
        """The cursor once some receipts of a page have been read; `seen` tells when they settled."""
        moments = [*seen.values(), *([self.high] if self.high else [])]
        high = min(max(moments), now) if moments else None
        return replace(self, high=high, edge=_recent({**self.edge, **seen}, high, now, window))

    def after_pass(self, now: datetime, window: Window) -> Cursor:
        """The cursor at the end: the next pass begins `overlap` before the last receipt."""
        since = self.high - window.overlap if self.high else self.since
        known = _recent({**self.known, **self.edge}, self.high, now, window)
        return Cursor(since, self.high, known, late_at=self.late_at)


@dataclass(frozen=True)
class Window:
    """How far back the passes go: each one, and now and then one."""

    overlap: timedelta
    late: timedelta
    late_every: timedelta


def _recent(
    uids: Mapping[str, datetime], high: datetime | None, now: datetime, window: Window
) -> dict[str, datetime]:
    """Those that a later pass would show again; the latest EDGE_MAX of them."""
    if high is None:
        return {}
    # A millisecond of slack: instants are cut to milliseconds on the wire.
    since = min(high - window.overlap, now - window.late) - timedelta(milliseconds=1)
    kept = sorted(((at, uid) for uid, at in uids.items() if at >= since), reverse=True)
    return {uid: at for at, uid in kept[:EDGE_MAX]}


class ReceiptFeed:
    """Reads receipts and says which cards they concern."""

    def __init__(
        self,
        client: FlowClient,
        settings: FlowSettings,
        discovery: Discovery,
        clock: Callable[[], datetime],
        made: MadeOrders | None = None,
    ) -> None:
        """The orders in `made` are our own, whatever their receipts show."""
        self._client = client
        self._settings = settings
        self._discovery = discovery
        self._clock = clock
        self._made = made or MadeOrders()
        self._window = Window(
            timedelta(seconds=settings.receipts_overlap_seconds),
            timedelta(seconds=settings.receipts_late_seconds),
            timedelta(seconds=settings.receipts_late_every_seconds),
        )

    def read(self, cursor_text: str | None) -> Iterator[HintPage]:
        """Pages of hints; ends with the first page that leaves nothing behind it."""
        cursor = Cursor.load(cursor_text)
        page_size = self._settings.receipts_page_size
        if cursor.page_size != page_size:
            # Pages of another size have other receipts on them: begin the pass again.
            cursor = replace(cursor, page=None, count=0, page_size=page_size)
        if cursor.page is None and not cursor.count:
            cursor = cursor.begun(self._clock(), self._window.late, self._window.late_every)
        previous: tuple[str, ...] = ()
        for _ in range(PAGES_MAX):
            page = self._search(cursor)
            receipts = [parse_receipt(hit) for hit in page.items]
            uids = tuple(receipt.uid for receipt in receipts)
            if uids and uids == previous:
                raise InDoubt("Flow answers the same page of receipts again")
            previous = uids
            # What this pass has told of is known as well: new receipts push older ones onto the next page.
            told = cursor.known.keys() | cursor.edge.keys()
            news = [one for one in receipts if one.uid not in told]
            first_pass = cursor.since is None
            # History is older than what a cursor remembers, so only whole pages of it count.
            *parts, rest = [news] if first_pass else self._parts(news)
            for part in parts:
                found, seen = self._read_orders(part, first_pass=first_pass)
                cursor = cursor.after_some(seen, self._clock(), self._window)
                yield replace(found, cursor=cursor.dump())
            found, seen = self._read_orders(rest, first_pass=first_pass)
            cursor = cursor.after_some(seen, self._clock(), self._window)
            number = page.number if page.number is not None else (cursor.page or 1)
            cursor = replace(cursor, page=number + 1, count=cursor.count + len(receipts))
            if not receipts or (page.total is not None and cursor.count >= page.total):
                yield replace(found, cursor=cursor.after_pass(self._clock(), self._window).dump())
                return
            yield replace(found, cursor=cursor.dump())
        raise InDoubt("Flow's receipts do not end")

    def _parts(self, receipts: Sequence[FlowReceipt]) -> list[list[FlowReceipt]]:
        """The receipts in parts whose orders are read together; those that need no read go along."""
        parts: list[list[FlowReceipt]] = [[]]
        reads = 0
        for one in receipts:
            if reads == READS_AT_ONCE:
                parts.append([])
                reads = 0
            parts[-1].append(one)
            reads += self._marker_of(one) is None
        return parts

    def _marker_of(self, receipt: FlowReceipt) -> str | None:
        """Our marker, as far as it is known without a read of the order."""
        return self._made.marker(receipt.order_uid) or marker_of_order(receipt.external_number)

    def _search(self, cursor: Cursor) -> Page:
        try:
            return self._client.search_receipts(cursor.since, cursor.page, self._settings.receipts_page_size)
        except Rejected as rejected:
            raise SideClosed(
                f"Flow refuses the receipt search (HTTP {rejected.status})",
                "Check the tenant uid and the base URL; giftsync may be too old for this Flow API.",
            ) from None

    def _read_orders(
        self, receipts: Sequence[FlowReceipt], *, first_pass: bool
    ) -> tuple[HintPage, dict[str, datetime]]:
        """What some receipts tell, still without a cursor, and when each of these settled.

        Orders of our own are no news, and are traces only. But the first pass tells of them as well: it may
        be the first one of a new ledger, and then another ledger made them.
        """
        told = [one for one in receipts if first_pass or self._marker_of(one) is None]
        uids = list(dict.fromkeys(one.order_uid for one in told))
        orders = dict(zip(uids, in_order(self._order, uids, READS_AT_ONCE), strict=True))
        hints: list[Hint] = []
        traces: dict[str, Trace] = {}
        moved: list[Traced] = []
        seen: dict[str, datetime] = {}
        hinted: set[str] = set()
        for receipt in receipts:
            order = orders.get(receipt.order_uid)
            settled_at = receipt.settled_at or _settled_at(order)
            if settled_at is not None:
                seen[receipt.uid] = settled_at
            marker = self._marker_of(receipt) if order is None else marker_of_order(order.external_number)
            if marker is not None:
                traces[receipt.order_uid] = Trace(marker, receipt.order_uid)
            if order is None or order.uid in hinted or (marker is not None and not first_pass):
                continue
            hinted.add(order.uid)
            hints += self.hints_of(order, receipt.settled_at)
            if marker is None:
                moved += self._moves_of(order, receipt.settled_at)
        return HintPage(hints, "", list(traces.values()), moved), seen

    def trace(self, traces: Sequence[Trace]) -> list[Traced]:
        """See `Tracer.trace`: one read for each order, a few at a time."""
        uids = list(dict.fromkeys(one.reference for one in traces))
        orders = in_order(self._client.order, uids, READS_AT_ONCE)
        return [move for order in orders for move in self._moves_of(order, None)]

    def _moves_of(self, order: FlowOrder, settled_at: datetime | None) -> list[Traced]:
        """How much the order moved on which cards: those that it was paid with, and those that it sold."""
        method = self._discovery.method()
        marker = marker_of_order(order.external_number)
        at = settled_at or _settled_at(order)
        words = self._settings.settlement_words
        fates = [settlement_fate(one.state, one.status, words) for one in order.settlements]
        moves: list[Traced] = []
        for n, (one, fate) in enumerate(zip(order.settlements, fates, strict=True)):
            serial = serial_of(one.parameters.get(method.number_key))
            if one.code != method.settlement_code or serial is None or fate is SettlementFate.DECLINED:
                continue
            is_refund = order.kind == self._settings.return_order_type or one.amount_x100 < 0
            x100 = abs(one.amount_x100) if is_refund else -one.amount_x100
            final = fate is SettlementFate.FINAL
            reference = f"{order.uid}:{n}"
            moves.append(
                Traced(CardRef(serial=serial), marker, self._minor(x100) if final else None, reference, at)
            )
        is_settled = SettlementFate.FINAL in fates
        for n, item in enumerate(order.items):
            serial = item.number(self._settings.item_number_field)
            if serial is None or not (is_settled or set(fates) - {SettlementFate.DECLINED}):
                continue
            minor = None if item.price_x100 is None or not is_settled else self._minor(item.price_x100)
            moves.append(Traced(CardRef(serial=serial), marker, minor, f"{order.uid}:item {n}", at))
        return moves

    def _minor(self, x100: int) -> int | None:
        try:
            sign = -1 if x100 < 0 else 1
            return sign * minor_from_x100(abs(x100), self._discovery.currency())
        except MoneyError:
            return None

    def _order(self, order_uid: str) -> FlowOrder | None:
        try:
            return self._client.order(order_uid)
        except (Rejected, Misread) as error:
            # One order that cannot be read must not stop the feed at its page for ever.
            logger.warning(
                "Flow lists a receipt whose order cannot be read, so its cards stay unknown: %s",
                error,
                extra={"action": "flow_order_unreadable", "order_uid": order_uid},
            )
            return None

    def hints_of(self, order: FlowOrder, settled_at: datetime | None = None) -> list[Hint]:
        """The cards that an order was paid with, and the ones that it sold."""
        method = self._discovery.method()
        marker = marker_of_order(order.external_number)
        at = settled_at or _settled_at(order)
        hints: list[Hint] = []
        for number, settlement in enumerate(order.settlements):
            serial = serial_of(settlement.parameters.get(method.number_key))
            if settlement.code == method.settlement_code and serial is not None:
                paid_at = settlement.settled_at or at
                hints.append(
                    Hint(
                        CardRef(serial=serial),
                        FEED,
                        last_chars=serial.last_chars,
                        at=paid_at,
                        created_by=marker,
                        line=self._line(order, f"paid:{number}", "payment", -settlement.amount_x100, paid_at),
                    )
                )
        for number, item in enumerate(order.items):
            serial = item.number(self._settings.item_number_field)
            brand = self._settings.brand_of(item.product_uid)
            # Where no product is configured, anything that could be a number is worth a look.
            sells_card = brand is not None or not self._settings.gift_card_product_uids
            if serial is not None and sells_card:
                details = {"order": order.number, **({"brand": brand} if brand else {})}
                hints.append(
                    Hint(
                        CardRef(serial=serial),
                        FEED,
                        last_chars=serial.last_chars,
                        at=at,
                        created_by=marker,
                        # A card that we sold on somebody else's behalf was not sold here.
                        sold_here=marker is None,
                        details=details,
                        contact=order.contact if marker is None else None,
                        line=self._line(order, f"sold:{number}", "sale", item.price_x100, at),
                    )
                )
        return hints

    def _line(
        self, order: FlowOrder, key: str, kind: str, amount_x100: int | None, at: datetime | None
    ) -> ReceiptLine | None:
        """What the order says of one card; None for an order of our own, which its intent explains."""
        if at is None or is_ours(order.external_number):
            return None
        try:
            currency = self._discovery.currency()
            amount = None if amount_x100 is None else minor_from_x100(amount_x100, currency)
        except MoneyError:
            amount = None
        if kind == "payment" and amount is not None and amount > 0:
            kind = "refund"
        where = (order.number, order.receipt, order.store, order.till)
        return ReceiptLine(f"{order.uid}:{key}", at, amount, kind, *where)


def _settled_at(order: FlowOrder | None) -> datetime | None:
    """When the last settlement of an order settled."""
    instants = [one.settled_at for one in order.settlements if one.settled_at] if order is not None else []
    return max(instants, default=None)
