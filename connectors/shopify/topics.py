"""The events that giftsync wants Shopify to tell it at once (shopify.md §8).

Without them it sees everything, only later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mappings.sentences import say

SECOND_CHANCE_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Topic:
    """One kind of event."""

    #: In a delivery's header.
    header: str
    #: In a subscription.
    name: str
    #: For people: what it tells of.
    what: str
    #: The keys of its payload that are read; Shopify is asked to send no others, so no buyer's data travels.
    fields: tuple[str, ...]
    #: The key of the order's number, for topics that tell of an order.
    order_key: str | None = None
    #: Another topic tells of the same first: this one is a second chance, and waits to be resolved
    #: together with others about the same order.
    wait_seconds: float = 0.0


ORDER_TRANSACTIONS: Final = Topic(
    "order_transactions/create",
    "ORDER_TRANSACTIONS_CREATE",
    say("payments with a card"),
    ("order_id", "gateway", "receipt"),
    "order_id",
)
TENDER_TRANSACTIONS: Final = Topic(
    "tender_transactions/create",
    "TENDER_TRANSACTIONS_CREATE",
    say("payments at a till of Shopify's"),
    ("order_id", "payment_method"),
    "order_id",
    SECOND_CHANCE_SECONDS,
)
UNINSTALLED: Final = Topic("app/uninstalled", "APP_UNINSTALLED", say("the end of its access"), ("id",))
BULK_FINISHED: Final = Topic(
    "bulk_operations/finish",
    "BULK_OPERATIONS_FINISH",
    say("the end of a sweep"),
    ("admin_graphql_api_id", "type"),
)

_ORDER_FIELDS: Final = ("id", "payment_gateway_names", "line_items")

#: What the worker subscribes to.
WANTED: Final = (
    ORDER_TRANSACTIONS,
    Topic("refunds/create", "REFUNDS_CREATE", say("refunds to a card"), ("order_id",), "order_id"),
    Topic("orders/create", "ORDERS_CREATE", say("orders"), _ORDER_FIELDS, "id", SECOND_CHANCE_SECONDS),
    Topic(
        "orders/paid", "ORDERS_PAID", say("cards that are bought"), _ORDER_FIELDS, "id", SECOND_CHANCE_SECONDS
    ),
    Topic(
        "orders/fulfilled",
        "ORDERS_FULFILLED",
        say("cards that are sent to their buyers"),
        _ORDER_FIELDS,
        "id",
    ),
    Topic("orders/cancelled", "ORDERS_CANCELLED", say("orders that are cancelled"), _ORDER_FIELDS, "id"),
    TENDER_TRANSACTIONS,
    UNINSTALLED,
    BULK_FINISHED,
)

#: Believed when a person has subscribed to them.
ALSO_HEARD: Final = (
    Topic("orders/updated", "ORDERS_UPDATED", say("orders that change"), _ORDER_FIELDS, "id"),
    Topic("orders/edited", "ORDERS_EDITED", say("orders that are edited"), (), "id"),
)

BY_HEADER: Final = {topic.header: topic for topic in (*WANTED, *ALSO_HEARD)}
