"""What resolvers get to know about the request that they work for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphql import DocumentNode, GraphQLResolveInfo, GraphQLSchema

from sandbox.shopify.bulk.operations import BulkOperations
from sandbox.shopify.graphql.errors import JsonObject
from sandbox.shopify.graphql.lists import Listing
from sandbox.shopify.http.access import Need
from sandbox.shopify.http.throttle import Plan
from sandbox.shopify.shop.model import Customer, GiftCard, Order
from sandbox.shopify.shop.state import ShopState
from sandbox.shopify.webhooks.deliveries import Webhooks

Resolver = Callable[..., Any]
#: By type and field. What is not here is an attribute or key of the same name in snake_case.
Resolvers = Mapping[str, Mapping[str, Resolver]]


@dataclass(frozen=True)
class App:
    """The app behind the token, and the shop's parts that belong to it."""

    plan: Plan
    client_id: str
    #: As granted; writing includes reading.
    granted: tuple[str, ...]
    bulk: BulkOperations
    webhooks: Webhooks


@dataclass
class RequestContext:
    """One request."""

    state: ShopState
    app: App
    version: str
    #: With everything that they include.
    scopes: frozenset[str]
    #: Origin that the client used, for the addresses of files.
    base_url: str
    cards: Listing[GiftCard]
    customers: Listing[Customer]
    orders: Listing[Order]
    schema: GraphQLSchema
    #: Runs a checked document with variables and gives `data` and `errors`, for lines of a bulk mutation.
    execute: Callable[[DocumentNode, Mapping[str, Any]], JsonObject]
    #: By response key of a root field.
    needs: Mapping[str, list[Need]] = field(default_factory=dict)
    #: Entries of `extensions.search`.
    search: list[JsonObject] = field(default_factory=list)


Info: TypeAlias = GraphQLResolveInfo[RequestContext]
