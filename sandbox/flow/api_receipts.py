"""POST receipts/search (flow.md §4): the feed from which movements and new POS cards are learnt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.flow.call import Answer, Call
from sandbox.flow.catalog import ORGANIZATION_UID
from sandbox.flow.errors import bad_request
from sandbox.flow.model import Order, seq_of_order_number, seq_of_voucher_number
from sandbox.flow.render import delivery_state, receipt_json, settle_state
from sandbox.flow.values import Fields
from sandbox.flow.world import World

_TEXTS = ("customerQuery", "orderNumber", "voucherNumber", "query")
_LISTS = (
    "storeUids",
    "organizationUids",
    "customerUids",
    "productSkus",
    "tenantUserUids",
    "deliveryStates",
    "settleStates",
    "orderStates",
    "orderStatuses",
)
_KEYS = frozenset({*_TEXTS, *_LISTS, "settledAtFrom", "settledAtTo"})


@dataclass(frozen=True, slots=True)
class _Filter:
    """A search; empty strings and lists count as absent."""

    texts: dict[str, str]
    lists: dict[str, tuple[str, ...]]
    from_ms: int | None
    to_ms: int | None

    @property
    def is_window(self) -> bool:
        """Whether nothing but settledAt is asked for."""
        return not any(self.texts.values()) and not any(self.lists.values())


def search_receipts(world: World, call: Call) -> Answer:
    """A bare window costs O(log n + page); other filters look through the receipts of the window."""
    wanted = _read_filter(call)
    page = call.page(("settledAt",))
    newest_first = world.behaviour.receipts_newest_first if page.descending is None else page.descending
    window = _window(world, wanted)
    ordered = range(window.start, window.stop)[::-1] if newest_first else window
    first_page = world.behaviour.first_page
    if wanted.is_window:
        cut = page.cut(first_page, len(ordered))
        hits = [_order_at(world, ordered[place]) for place in cut]
        return page.answer([receipt_json(order, world.behaviour) for order in hits if order], len(ordered))
    found = list(_matching(world, wanted, window, ordered))
    cut = page.cut(first_page, len(found))
    return page.answer([receipt_json(found[place], world.behaviour) for place in cut], len(found))


def _read_filter(call: Call) -> _Filter:
    fields = call.fields(_KEYS)
    lists = {key: tuple(text for text in fields.texts(key) if text) for key in _LISTS}
    if lists["orderStatuses"] and (lists["orderStates"] or lists["settleStates"] or lists["deliveryStates"]):
        raise bad_request("orderStatuses excludes orderStates, settleStates and deliveryStates")
    return _Filter(
        texts={key: fields.text(key, "") for key in _TEXTS},
        lists=lists,
        from_ms=_instant(fields, "settledAtFrom"),
        to_ms=_instant(fields, "settledAtTo"),
    )


def _instant(fields: Fields, key: str) -> int | None:
    return fields.instant(key) if fields.text(key, "") else None


def _window(world: World, wanted: _Filter) -> range:
    """Positions in the journal, without receipts that are too fresh to be seen."""
    window = world.journal.window(
        wanted.from_ms, wanted.to_ms, to_inclusive=world.behaviour.settled_at_to_inclusive
    )
    lag_ms = world.behaviour.receipts_visible_after_s * 1000
    if not lag_ms:
        return window
    visible = world.journal.window(None, world.now_ms() - lag_ms, to_inclusive=True)
    return range(window.start, max(window.start, min(window.stop, visible.stop)))


def _order_at(world: World, position: int) -> Order | None:
    return world.till.find(world.journal.seq(position))


def _matching(world: World, wanted: _Filter, window: range, ordered: range) -> Iterable[Order]:
    exact = _exact(world, wanted)
    if exact is not None:
        # An exact number names one order: no need to look through the window.
        seqs = [seq for seq in exact if _settled_within(world, seq, window)]
        orders: Iterable[Order | None] = (world.till.find(seq) for seq in seqs)
    else:
        orders = (_order_at(world, position) for position in ordered)
    return (order for order in orders if order is not None and _fits(world, wanted, order))


def _exact(world: World, wanted: _Filter) -> list[int] | None:
    numbers = (
        (wanted.texts["orderNumber"], seq_of_order_number),
        (wanted.texts["voucherNumber"], seq_of_voucher_number),
    )
    asked = [seq_of(text) for text, seq_of in numbers if text]
    if not asked:
        return None
    return [asked[0]] if asked[0] is not None and len(set(asked)) == 1 else []


def _settled_within(world: World, seq: int, window: range) -> bool:
    order = world.till.find(seq)
    if order is None or order.settled_ms is None:
        return False
    at = world.journal.window(order.settled_ms, order.settled_ms, to_inclusive=True)
    return any(position in window for position in at)


def _fits(world: World, wanted: _Filter, order: Order) -> bool:
    behaviour = world.behaviour
    lists = wanted.lists
    values = {
        "storeUids": {order.store.uid},
        "organizationUids": {ORGANIZATION_UID},
        "customerUids": {order.customer_uid},
        "productSkus": {item.product.sku for item in order.items},
        "tenantUserUids": {order.user.uid},
        "deliveryStates": {delivery_state(order, behaviour)},
        "settleStates": {settle_state(order, behaviour)},
        "orderStates": {order.state},
        "orderStatuses": {order.state},
    }
    if any(lists[key] and not values[key].intersection(lists[key]) for key in _LISTS):
        return False
    return _fits_query(world, wanted.texts["query"], order) and _fits_customer(
        world, wanted.texts["customerQuery"], order
    )


def _fits_query(world: World, query: str, order: Order) -> bool:
    """What the fuzzy query covers is unknown; the externalOrderNumber only by the behaviour's switch."""
    covered = [order.number, order.voucher_number, order.store.name, order.user.name]
    if world.behaviour.query_covers_external_order_number:
        covered.append(order.external_number)
    return not query or any(query.casefold() in text.casefold() for text in covered)


def _fits_customer(world: World, query: str, order: Order) -> bool:
    if not query:
        return True
    covered = list(order.customer_address.values())
    customer = world.customers.get(order.customer_uid)
    if customer is not None:
        covered += [customer.firstname, customer.lastname, customer.email, customer.mobile]
    return any(query.casefold() in text.casefold() for text in covered)
