"""giftsync's webhook subscriptions in a shop: read, compared with what they should be, and repaired.

Shopify removes a subscription after eight deliveries in a row have failed (shopify.md §8), so they are looked
at again and again. Of the app's subscriptions only those are touched whose address ends in giftsync's path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from connectors.api.webhooks import Subscribed
from connectors.shopify import operations
from connectors.shopify.client import ShopifyClient
from connectors.shopify.operations import Operation
from connectors.shopify.refusals import user_errors
from connectors.shopify.shape import Json, list_of, object_of, objects_of, optional_object, text_of
from connectors.shopify.topics import WANTED, Topic
from mappings.redaction import said


@dataclass(frozen=True)
class Subscription:
    """One of the app's subscriptions, as Shopify shows it."""

    id: str
    topic: str
    uri: str
    version: str
    fields: tuple[str, ...]
    is_json: bool


@dataclass(frozen=True)
class Repairs:
    """What is to be done, in this order."""

    #: Ids.
    remove: tuple[str, ...] = ()
    #: Ids, with the topic that each is for.
    change: tuple[tuple[str, Topic], ...] = ()
    make: tuple[Topic, ...] = ()
    #: Of another API version than asked for: removed and made anew, because an update does not change it.
    renew: tuple[tuple[str, Topic], ...] = ()


def read_subscriptions(client: ShopifyClient) -> list[Subscription]:
    """Every subscription of the app; `PAGE_MAX` is far more than there are topics."""
    data = client.read(operations.SUBSCRIPTIONS, {"first": operations.PAGE_MAX})
    return [_subscription(node) for node in objects_of(object_of(data, "webhookSubscriptions"), "nodes")]


def _subscription(node: Json) -> Subscription:
    return Subscription(
        text_of(node, "id"),
        text_of(node, "topic"),
        text_of(node, "uri"),
        text_of(object_of(node, "apiVersion"), "handle"),
        tuple(map(str, list_of(node, "includeFields"))),
        text_of(node, "format") == "JSON",
    )


def repairs(found: Sequence[Subscription], path: str, url: str | None, version: str) -> Repairs:
    """What to do so that `url` gets each wanted topic once, and nothing of ours goes elsewhere. Pure."""
    ours = [one for one in found if urlsplit(one.uri).path.endswith(path)]
    if url is None:
        return Repairs(remove=tuple(one.id for one in ours))
    remove, change, make, renew = [], [], list[Topic](), []
    for topic in WANTED:
        same = [one for one in ours if one.topic == topic.name]
        if not same:
            make.append(topic)
            continue
        # Two subscriptions of one topic cannot have one address: the one that is right already is kept.
        kept = next((one for one in same if one.uri == url), same[0])
        remove += [one.id for one in same if one is not kept]
        if kept.version != version:
            renew.append((kept.id, topic))
        elif kept.uri != url or set(kept.fields) != set(topic.fields) or not kept.is_json:
            change.append((kept.id, topic))
    wanted = {topic.name for topic in WANTED}
    remove += [one.id for one in ours if one.topic not in wanted]
    return Repairs(tuple(remove), tuple(change), tuple(make), tuple(renew))


def subscribe(client: ShopifyClient, path: str, url: str | None) -> Subscribed:
    """Bring the app's subscriptions to what they should be. See `Subscriber.subscribe`."""
    return _Repair(client, url).carry_out(repairs(read_subscriptions(client), path, url, client.version))


@dataclass
class _Repair:
    client: ShopifyClient
    url: str | None
    made: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def carry_out(self, planned: Repairs) -> Subscribed:
        for removed in planned.remove:
            self._change(operations.UNSUBSCRIBE, {"id": removed})
        if self.url is None:
            return Subscribed()
        for kept, topic in planned.change:
            error = self._change(operations.RESUBSCRIBE, {"id": kept, "input": self._input(topic)})
            if error is not None:
                self.failed[topic.name] = error
        for topic in planned.make:
            self._make(topic)
        for old, topic in planned.renew:
            self._change(operations.UNSUBSCRIBE, {"id": old})
            served = self._make(topic)
            if served not in (None, self.client.version):
                # The app's settings say which version it gets; making the others anew changes nothing.
                self.failed[topic.name] = f"Shopify delivers it as API version {served}"
                break
        topics = [topic.name for topic in WANTED if topic.name not in self.failed]
        return Subscribed(topics, self.made, self.failed)

    def _make(self, topic: Topic) -> str | None:
        """Subscribe; the API version that Shopify then delivers, or None when it refused."""
        variables = {"topic": topic.name, "input": self._input(topic)}
        payload = self.client.change(operations.SUBSCRIBE, variables)
        made = optional_object(payload, "webhookSubscription")
        if made is None:
            self.failed[topic.name] = _words(payload) or "Shopify made no subscription and did not say why"
            return None
        self.made.append(topic.name)
        return text_of(object_of(made, "apiVersion"), "handle")

    def _change(self, operation: Operation, variables: dict[str, object]) -> str | None:
        """Why Shopify refused, if it did. One that is gone already needs no removing."""
        return _words(self.client.change(operation, variables))

    def _input(self, topic: Topic) -> dict[str, object]:
        return {"uri": self.url, "format": "JSON", "includeFields": list(topic.fields)}


#: Shopify's words are shown to the operator: they are about the address that the operator configured.
_WORDS_MAX: Final = 200


def _words(payload: Json) -> str | None:
    messages = [error.message for error in user_errors(payload)]
    return said("; ".join(messages), _WORDS_MAX) or None
