"""Resolvers of webhook subscriptions (shopify.md §8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.shopify.graphql.connections import Connection, page_of
from sandbox.shopify.graphql.errors import JsonObject, UserError, invalid_id
from sandbox.shopify.graphql.ids import number_of
from sandbox.shopify.graphql.search import (
    FieldRule,
    compile_search,
    instant_rule,
    match_any,
    number_rule,
    text_rule,
)
from sandbox.shopify.http.context import Info, Resolvers
from sandbox.shopify.resolvers.shop import version_object
from sandbox.shopify.webhooks.deliveries import Subscription


def _number(gid: str) -> int:
    number = number_of(gid, "WebhookSubscription")
    if number is None:
        raise invalid_id(gid)
    return number


def _subscription(_: object, info: Info, *, id: str) -> Subscription | None:
    return info.context.app.webhooks.get(_number(id))


def _subscriptions(_: object, info: Info, **arguments: Any) -> Connection[Subscription]:
    context = info.context
    topics = arguments.get("topics")
    uri = arguments.get("uri") or arguments.get("callbackUrl")
    found = [
        one
        for one in context.app.webhooks.all()
        if (topics is None or one.topic in topics)
        and (uri is None or one.uri == uri)
        and arguments.get("format") != "XML"
    ]
    query = arguments.get("query")
    if query:
        search = compile_search(query, _fields(context.state.timezone), match_any)
        if search.warnings:
            context.search.append(search.extension(info.path.as_list()))
        found = [one for one in found if search.matches(one)]
    return page_of(found, arguments)


def _fields(timezone: ZoneInfo) -> dict[str, FieldRule[Subscription]]:
    return {
        "id": number_rule(lambda one: one.number),
        "topic": text_rule(lambda one: one.topic),
        "created_at": instant_rule(lambda one: one.created_at, timezone),
        "updated_at": instant_rule(lambda one: one.updated_at, timezone),
    }


def _count(_: object, info: Info, **arguments: Any) -> JsonObject:
    context = info.context
    found = context.app.webhooks.all()
    if arguments.get("query"):
        search = compile_search(arguments["query"], _fields(context.state.timezone), match_any)
        if search.warnings:
            context.search.append(search.extension(info.path.as_list()))
        found = [one for one in found if search.matches(one)]
    total, limit = len(found), arguments.get("limit")
    if limit is not None and total > limit:
        return {"count": limit, "precision": "AT_LEAST"}
    return {"count": total, "precision": "EXACT"}


def _payload(made: Subscription | list[UserError]) -> JsonObject:
    if isinstance(made, Subscription):
        return {"webhook_subscription": made, "user_errors": []}
    return {"webhook_subscription": None, "user_errors": made}


def _create(_: object, info: Info, **arguments: Any) -> JsonObject:
    context = info.context
    wanted: Mapping[str, Any] = arguments["webhookSubscription"]
    return _payload(context.app.webhooks.create(arguments["topic"], wanted, context.version))


def _update(_: object, info: Info, **arguments: Any) -> JsonObject:
    number = _number(arguments["id"])
    return _payload(info.context.app.webhooks.update(number, arguments["webhookSubscription"]))


def _delete(_: object, info: Info, *, id: str) -> JsonObject:
    deleted = info.context.app.webhooks.delete(_number(id))
    if isinstance(deleted, Subscription):
        return {"deleted_webhook_subscription_id": deleted.id, "user_errors": []}
    return {"deleted_webhook_subscription_id": None, "user_errors": deleted}


RESOLVERS: Resolvers = {
    "WebhookSubscription": {
        "apiVersion": lambda one, _: version_object(one.api_version),
        "callbackUrl": lambda one, _: one.uri,
        "format": lambda one, _: "JSON",
        "legacyResourceId": lambda one, _: one.number,
    },
    "QueryRoot": {
        "webhookSubscription": _subscription,
        "webhookSubscriptions": _subscriptions,
        "webhookSubscriptionsCount": _count,
    },
    "Mutation": {
        "webhookSubscriptionCreate": _create,
        "webhookSubscriptionUpdate": _update,
        "webhookSubscriptionDelete": _delete,
    },
}
