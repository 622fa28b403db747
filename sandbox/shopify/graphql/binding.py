"""Binds resolvers to a schema, with the defaults for everything that needs none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from graphql import GraphQLObjectType, GraphQLSchema

from sandbox.shopify.bulk.operations import BulkOperation
from sandbox.shopify.graphql.errors import access_denied
from sandbox.shopify.http.context import Info, Resolver, Resolvers
from sandbox.shopify.shop.model import (
    Customer,
    GiftCard,
    LineItem,
    Movement,
    Order,
    Payment,
    Refund,
)
from sandbox.shopify.webhooks.deliveries import Subscription

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
_TYPENAMES: dict[type, str] = {
    BulkOperation: "BulkOperation",
    Customer: "Customer",
    GiftCard: "GiftCard",
    LineItem: "LineItem",
    Order: "Order",
    Payment: "OrderTransaction",
    Refund: "Refund",
    Subscription: "WebhookSubscription",
}


@cache
def _snake(name: str) -> str:
    return _CAPITAL.sub("_", name).lower()


def resolve_by_name(source: Any, info: Info, **_: Any) -> Any:
    """The attribute or key of the field's name in snake_case; null if there is none."""
    name = _snake(info.field_name)
    if isinstance(source, Mapping):
        return source.get(name)
    return getattr(source, name, None)


def typename_of(item: Any) -> str | None:
    """The type of an object behind an interface."""
    if isinstance(item, Movement):
        return item.typename
    return _TYPENAMES.get(type(item))


def resolve_type(item: Any, _info: Info, _of: Any) -> str | None:
    return typename_of(item)


def bind(schema: GraphQLSchema, groups: Iterable[Resolvers]) -> None:
    """Give the fields their resolvers; root fields check the scopes first."""
    for group in groups:
        for type_name, fields in group.items():
            of = schema.type_map[type_name]
            if not isinstance(of, GraphQLObjectType):
                raise TypeError(f"{type_name} is not an object type")
            is_root = of in (schema.query_type, schema.mutation_type)
            for name, resolver in fields.items():
                # Older versions lack some fields.
                if name in of.fields:
                    of.fields[name].resolve = _guarded(resolver) if is_root else resolver


def _guarded(resolver: Resolver) -> Resolver:
    """Refuse a root field if the app lacks a scope for it or for anything below it (shopify.md §2)."""

    def resolve(source: Any, info: Info, **arguments: Any) -> Any:
        context = info.context
        for need in context.needs.get(str(info.path.key), ()):
            if need.scope not in context.scopes:
                raise access_denied(need.field, need.required_access)
        return resolver(source, info, **arguments)

    return resolve
