"""Which request is which operation (flow.md §3, §4, §6).

§4 gives `/tenants/{t}` as the prefix of its table, so receipts, extensions and customers live below it. The
extensions are also written as plain `/extensions`, so they answer under both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from sandbox.flow import api_cards, api_orders, api_receipts, api_setup, api_webhooks
from sandbox.flow.call import Answer, Call
from sandbox.flow.world import World
from sandbox.stats import Operation, OperationKind

Handler = Callable[[World, Call], Answer]

_T = "tenants/{tenantUid}"
_S = f"{_T}/stores/{{storeUid}}"
_O = f"{_S}/orders/{{orderUid}}"
#: The one path id that may be any string.
FREE_ID = "giftcardNumber"


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path, below `/v2/`; `name` is what stats and faults call it."""

    method: str
    segments: tuple[str, ...]
    operation: Operation
    handler: Handler


def _route(method: str, path: str, handler: Handler, name: str, kind: OperationKind | None = None) -> Route:
    kind = kind or ("query" if method == "GET" else "mutation")
    return Route(method, tuple(path.split("/")), Operation(kind, f"{method} {name}"), handler)


_TRANSPORTS = f"{_T}/httptransports"
_TRANSPORT = f"{_TRANSPORTS}/{{httpTransportUid}}"
ROUTES = (
    _route("GET", f"{_S}/giftcards/{{giftcardNumber}}", api_cards.get_giftcard, "giftcards"),
    _route("PUT", f"{_S}/giftcards/{{giftcardNumber}}", api_cards.put_giftcard, "giftcards"),
    _route("POST", f"{_S}/orders", api_orders.create_order, "orders"),
    _route("GET", f"{_T}/orders/{{orderUid}}", api_orders.get_order, "orders"),
    _route("POST", f"{_O}/items", api_orders.add_item, "items"),
    _route("PUT", f"{_O}/status", api_orders.put_status, "status"),
    _route("GET", f"{_O}/handlings", api_orders.list_handlings, "handlings"),
    _route("POST", f"{_O}/handlings", api_orders.add_handling, "handlings"),
    _route("GET", f"{_O}/settlements", api_orders.list_settlements, "settlements"),
    _route("POST", f"{_O}/settlements", api_orders.add_settlement, "settlements"),
    _route("POST", f"{_T}/receipts/search", api_receipts.search_receipts, "receipts/search", "query"),
    _route("GET", "paymentmethods", api_setup.list_platform_methods, "paymentmethods"),
    _route("GET", f"{_T}/paymentmethods", api_setup.list_tenant_methods, "paymentmethods"),
    _route("POST", f"{_T}/paymentmethods", api_setup.add_tenant_method, "paymentmethods"),
    _route("GET", "extensions", api_setup.list_extensions, "extensions"),
    _route("GET", "extensions/{tenantExtensionUid}", api_setup.get_extension, "extensions"),
    _route("GET", f"{_T}/extensions", api_setup.list_extensions, "extensions"),
    _route("GET", f"{_T}/extensions/{{tenantExtensionUid}}", api_setup.get_extension, "extensions"),
    _route("GET", "countries", api_setup.list_countries, "countries"),
    _route("GET", _S, api_setup.get_store, "stores"),
    _route("POST", f"{_T}/customers", api_setup.add_customer, "customers"),
    _route("GET", _TRANSPORTS, api_webhooks.list_transports, "httptransports"),
    _route("POST", _TRANSPORTS, api_webhooks.add_transport, "httptransports"),
    _route("GET", _TRANSPORT, api_webhooks.get_transport, "httptransports"),
    _route("PUT", _TRANSPORT, api_webhooks.put_transport, "httptransports"),
    _route("DELETE", _TRANSPORT, api_webhooks.delete_transport, "httptransports"),
)


def _by_shape(routes: Iterable[Route]) -> dict[tuple[str, int], list[Route]]:
    shapes: dict[tuple[str, int], list[Route]] = {}
    for route in routes:
        shapes.setdefault((route.method, len(route.segments)), []).append(route)
    return shapes


_BY_SHAPE = _by_shape(ROUTES)


def find_route(method: str, raw_path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request and its decoded path ids; None for what the API does not have."""
    prefix, _, rest = raw_path.removeprefix("/").partition("/")
    if prefix != "v2":
        return None
    # Split before decoding: a gift-card number may contain an encoded slash.
    parts = rest.split("/")
    for route in _BY_SHAPE.get((method, len(parts)), ()):
        ids = _match(route.segments, parts)
        if ids is not None:
            return route, ids
    return None


def _match(segments: tuple[str, ...], parts: list[str]) -> dict[str, str] | None:
    ids: dict[str, str] = {}
    for segment, part in zip(segments, parts, strict=True):
        if segment.startswith("{"):
            if not part:
                return None
            ids[segment[1:-1]] = unquote(part)
        elif segment != part:
            return None
    return ids
