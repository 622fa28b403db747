"""Resolvers of the shop, the app's installation, API versions, and `node(s)` (shopify.md §2, §3)."""

from __future__ import annotations

from sandbox.shopify.graphql.errors import JsonObject, ShopifyError, access_denied, invalid_id
from sandbox.shopify.graphql.ids import gid, split_gid
from sandbox.shopify.graphql.scalars import format_instant
from sandbox.shopify.graphql.versions import VERSIONS
from sandbox.shopify.http.access import TYPE_SCOPES, Need
from sandbox.shopify.http.context import Info, RequestContext, Resolvers
from sandbox.shopify.http.throttle import PLAN_LIMITS, Plan
from sandbox.shopify.shop.model import Order

#: The longest list that an argument may be (shopify.md §6).
INPUT_ARRAY_MAX = 250

_SHOP_NUMBER = 92_891_250_994
_APP_NUMBER = 347_082_227_713
_INSTALLATION_NUMBER = 905_134_203_186


def _shop(_: object, info: Info) -> JsonObject:
    context = info.context
    state = context.state
    local = state.clock().astimezone(state.timezone)
    offset = local.utcoffset()
    plus = context.app.plan in (Plan.PLUS, Plan.ENTERPRISE)
    return {
        "contact_email": f"owner@{state.shop}",
        "created_at": format_instant(state.opened_at),
        "currency_code": state.currency,
        "email": f"owner@{state.shop}",
        "enabled_presentment_currencies": [state.currency],
        "features": {
            "gift_cards": state.behaviour.gift_cards_in_plan,
            "sells_subscriptions": False,
            "shopify_plus": plus,
            "storefront": True,
        },
        "iana_timezone": state.timezone.key,
        "id": gid("Shop", _SHOP_NUMBER),
        "myshopify_domain": state.shop,
        "name": state.shop.partition(".")[0],
        "plan": {
            "display_name": PLAN_LIMITS[context.app.plan].public_name,
            "partner_development": False,
            "public_display_name": PLAN_LIMITS[context.app.plan].public_name,
            "shopify_plus": plus,
        },
        "primary_domain": {
            "id": gid("Domain", _SHOP_NUMBER),
            "host": state.shop,
            "url": f"https://{state.shop}",
        },
        "setup_required": False,
        "timezone_abbreviation": local.tzname(),
        "timezone_offset": local.strftime("%z"),
        "timezone_offset_minutes": 0 if offset is None else int(offset.total_seconds() // 60),
        "updated_at": format_instant(state.opened_at),
        "url": f"https://{state.shop}",
    }


def _installation(_: object, info: Info) -> JsonObject:
    context = info.context
    scopes = [{"handle": scope, "description": scope.replace("_", " ")} for scope in context.app.granted]
    return {
        "access_scopes": scopes,
        "app": {
            "api_key": context.app.client_id,
            "handle": "giftsync",
            "id": gid("App", _APP_NUMBER),
            "optional_access_scopes": [],
            "requested_access_scopes": scopes,
            "title": "giftsync",
            "webhook_api_version": context.version,
        },
        "id": gid("AppInstallation", _INSTALLATION_NUMBER),
        "launch_url": f"https://{context.state.shop}/admin/apps/giftsync",
    }


def version_object(version: str) -> JsonObject:
    """An ApiVersion."""
    return {"handle": version, "display_name": version, "supported": True}


def _versions(_: object, __: Info) -> list[JsonObject]:
    return [version_object(version) for version in VERSIONS]


def _find(context: RequestContext, name: str, wanted: str) -> object:
    """The object behind any global id; None for an unknown number."""
    parts = split_gid(wanted)
    if parts is None:
        raise invalid_id(wanted)
    kind, number = parts
    scope = TYPE_SCOPES.get(kind)
    if scope is not None and scope not in context.scopes:
        raise access_denied(name, Need(name, scope).required_access)
    state = context.state
    match kind:
        case "GiftCard":
            return state.cards.get(number)
        case "GiftCardCreditTransaction" | "GiftCardDebitTransaction":
            movement = state.movements.get(number)
            found = movement is not None and movement.visible and movement.typename == kind
            return movement if found else None
        case "Order":
            return _visible(context, state.orders.get(number))
        case "OrderTransaction":
            return state.payment(number)
        case "LineItem":
            return state.line(number)
        case "Refund":
            return state.refunds.get(number)
        case "Customer":
            return state.customers.get(number)
        case "BulkOperation":
            return context.app.bulk.get(number)
        case "WebhookSubscription":
            return context.app.webhooks.get(number)
        case _:
            raise invalid_id(wanted)


def _visible(context: RequestContext, order: Order | None) -> Order | None:
    return order if order is not None and context.orders.visible(order) else None


def _node(_: object, info: Info, *, id: str) -> object:
    return _find(info.context, info.field_name, id)


def _nodes(_: object, info: Info, *, ids: list[str]) -> list[object]:
    if len(ids) > INPUT_ARRAY_MAX:
        raise ShopifyError(
            f"The input array size of {len(ids)} is greater than the maximum allowed of {INPUT_ARRAY_MAX}.",
            "MAX_INPUT_SIZE_EXCEEDED",
        )
    return [_find(info.context, info.field_name, one) for one in ids]


RESOLVERS: Resolvers = {
    "QueryRoot": {
        "shop": _shop,
        "currentAppInstallation": _installation,
        "publicApiVersions": _versions,
        "node": _node,
        "nodes": _nodes,
    },
}
