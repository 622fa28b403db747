"""Webhook subscriptions and deliveries (shopify.md §8).

Deliveries only ever go to loopback addresses: the sandbox never talks to another machine.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import random
import re
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from sandbox.shopify.graphql.errors import JsonObject, UserError
from sandbox.shopify.graphql.ids import gid
from sandbox.shopify.graphql.scalars import format_instant
from sandbox.shopify.graphql.search import Group, Node, Term, parse_search
from sandbox.shopify.shop.state import ShopState
from sandbox.shopify.webhooks.payloads import payload_of, topic_header

CONNECT_TIMEOUT_S = 1.0
TIMEOUT_S = 5.0
#: Shorter than receivers keep an idle connection, so that none is closed under a delivery.
KEPT_ALIVE_S = 2.0

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SHOPIFY_HOSTS = ("shopify.com", "myshopify.com")
_ADDRESS = ("webhookSubscription", "callbackUrl")


@dataclass(slots=True)
class Subscription:
    number: int
    topic: str
    uri: str
    api_version: str
    created_at: int
    updated_at: int
    filter: str | None = None
    include_fields: tuple[str, ...] = ()
    metafield_namespaces: tuple[str, ...] = ()
    name: str | None = None

    @property
    def id(self) -> str:
        return gid("WebhookSubscription", self.number)


@dataclass(slots=True)
class Delivery:
    """One event on its way to one subscription."""

    subscription: Subscription
    body: bytes
    #: The same on every attempt: what receivers tell duplicates by.
    webhook_id: str
    event_id: str
    triggered_at: str
    #: When to try next, on the monotonic clock.
    due: float
    failures: int = 0


@dataclass
class DeliveryCounts:
    """What happened to deliveries since start."""

    delivered: int = 0
    failed_attempts: int = 0
    given_up: int = 0
    lost: int = 0
    #: For addresses that are not on loopback.
    skipped: int = 0


@dataclass
class Webhooks:
    """The subscriptions of one app on one shop. `secret` signs the bodies."""

    state: ShopState
    secret: str
    counts: DeliveryCounts = field(default_factory=DeliveryCounts)

    def __post_init__(self) -> None:
        self._subscriptions: dict[int, Subscription] = {}
        self._queue: list[Delivery] = []
        #: By subscription: whoever holds it delivers.
        self._turns: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._session: aiohttp.ClientSession | None = None
        self._chance = random.Random(f"webhooks {self.state.seed}")

    def get(self, number: int) -> Subscription | None:
        return self._subscriptions.get(number)

    def all(self) -> list[Subscription]:
        """Oldest first."""
        return list(self._subscriptions.values())

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def next_due(self) -> float | None:
        """When the next attempt is due, on the monotonic clock."""
        return min((delivery.due for delivery in self._queue), default=None)

    # Subscriptions.

    def create(
        self, topic: str, wanted: Mapping[str, Any], api_version: str
    ) -> Subscription | list[UserError]:
        errors = self._errors(topic, wanted, None)
        if errors:
            return errors
        now = self.state.now()
        subscription = Subscription(
            number=self.state.sequence.next(),
            topic=topic,
            uri=_address_of(wanted) or "",
            api_version=api_version,
            created_at=now,
            updated_at=now,
        )
        _write(subscription, wanted)
        self._subscriptions[subscription.number] = subscription
        return subscription

    def update(self, number: int | None, wanted: Mapping[str, Any]) -> Subscription | list[UserError]:
        subscription = self._subscriptions.get(number or 0)
        if subscription is None:
            return [UserError(("id",), "Webhook subscription does not exist")]
        errors = self._errors(subscription.topic, wanted, subscription)
        if errors:
            return errors
        _write(subscription, wanted)
        subscription.uri = _address_of(wanted) or subscription.uri
        subscription.updated_at = self.state.now()
        return subscription

    def delete(self, number: int | None) -> Subscription | list[UserError]:
        subscription = self._subscriptions.pop(number or 0, None)
        if subscription is None:
            return [UserError(("id",), "Webhook subscription does not exist")]
        return subscription

    def _errors(self, topic: str, wanted: Mapping[str, Any], updated: Subscription | None) -> list[UserError]:
        errors = []
        address = _address_of(wanted)
        if address is not None or updated is None:
            problem = self._address_problem(address or "")
            if problem is None and any(
                one.topic == topic and one.uri == address and one is not updated for one in self.all()
            ):
                problem = "Address for this topic has already been taken"
            if problem is not None:
                errors.append(UserError(_ADDRESS, problem))
        if wanted.get("format") == "XML":
            message = "Format 'xml' is invalid for this webhook topic. Allowed formats: json"
            errors.append(UserError(("webhookSubscription", "format"), message))
        errors.extend(self._name_errors(wanted.get("name"), updated))
        if not errors and wanted.get("filter") and not _filter_names_fields(wanted["filter"]):
            message = (
                "The specified filter is invalid, please ensure you specify the field(s) "
                "you wish to filter on."
            )
            errors.append(UserError(("webhookSubscription",), message))
        return errors

    def _address_problem(self, address: str) -> str | None:
        if not address:
            return "Address can't be blank"
        parts = urlsplit(address)
        loose = not self.state.behaviour.webhooks_https_only
        if loose and parts.scheme == "http" and is_loopback(parts.hostname):
            return None
        if parts.scheme != "https":
            return f"Address protocol {parts.scheme}:// is not supported"
        if loose and is_loopback(parts.hostname):
            return None
        if _is_internal(parts.hostname):
            return "Address cannot be a Shopify or an internal domain"
        return None

    def _name_errors(self, name: str | None, updated: Subscription | None) -> list[UserError]:
        path = ("webhookSubscription", "name")
        if name is None:
            return []
        errors = []
        if not name:
            errors.append(UserError(path, "Name is too short (minimum is 1 character)"))
        if not _NAME.fullmatch(name):
            message = "Name name field can only contain alphanumeric characters, underscores, and hyphens"
            errors.append(UserError(path, message))
        if any(one.name == name and one is not updated for one in self.all()):
            errors.append(UserError(path, "Name already exists, no duplicate allowed"))
        return errors

    # Deliveries.

    def on_event(self, topic: str, subject: object) -> None:
        """Queue the deliveries of something that happened."""
        matching = [one for one in self._subscriptions.values() if one.topic == topic]
        if not matching:
            return
        payload = payload_of(topic, subject)
        event_id = self._uuid()
        triggered_at = format_instant(self.state.now())
        behaviour = self.state.behaviour
        for subscription in matching:
            if subscription.filter and not _filter_matches(subscription.filter, payload):
                continue
            if self._chance.random() < behaviour.webhook_loss_share:
                self.counts.lost += 1
                continue
            copies = 2 if self._chance.random() < behaviour.webhook_duplicate_share else 1
            webhook_id, body = self._uuid(), _body(payload, subscription.include_fields)
            for _ in range(copies):
                self._queue.append(
                    Delivery(subscription, body, webhook_id, event_id, triggered_at, self.state.monotonic())
                )

    async def deliver_due(self) -> None:
        """Try every delivery whose time has come, once; returns when no attempt is under way.

        One subscription's deliveries go one after the other; nobody waits for those of another.
        """
        now = self.state.monotonic()
        due: dict[int, list[Delivery]] = {number: [] for number in self._turns}
        for delivery in self._queue:
            if delivery.due <= now:
                due.setdefault(delivery.subscription.number, []).append(delivery)
        self._queue = [delivery for delivery in self._queue if delivery.due > now]
        await asyncio.gather(*(self._attempts(number, deliveries) for number, deliveries in due.items()))

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _attempts(self, number: int, deliveries: list[Delivery]) -> None:
        async with self._turns[number]:
            for delivery in deliveries:
                await self._attempt(delivery)

    async def _attempt(self, delivery: Delivery) -> None:
        subscription = delivery.subscription
        if not is_loopback(urlsplit(subscription.uri).hostname):
            self.counts.skipped += 1
            return
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
            connector = aiohttp.TCPConnector(keepalive_timeout=KEPT_ALIVE_S)
            self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        try:
            async with self._session.post(
                subscription.uri,
                data=delivery.body,
                headers=self._headers(delivery),
                allow_redirects=False,
            ) as response:
                accepted = 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError):
            accepted = False
        if accepted:
            self.counts.delivered += 1
        else:
            self._retry(delivery)

    def _retry(self, delivery: Delivery) -> None:
        """Try again later; the last failure removes the subscription."""
        delays = self.state.behaviour.webhook_retry_delays_s
        self.counts.failed_attempts += 1
        delivery.failures += 1
        if delivery.failures <= len(delays):
            delivery.due = self.state.monotonic() + delays[delivery.failures - 1]
            self._queue.append(delivery)
            return
        self.counts.given_up += 1
        gone = delivery.subscription.number
        self._subscriptions.pop(gone, None)
        self._queue = [one for one in self._queue if one.subscription.number != gone]

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        digest = hmac.new(self.secret.encode(), delivery.body, hashlib.sha256).digest()
        return {
            "Content-Type": "application/json",
            "X-Shopify-Topic": topic_header(delivery.subscription.topic),
            "X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(),
            "X-Shopify-Shop-Domain": self.state.shop,
            "X-Shopify-API-Version": delivery.subscription.api_version,
            "X-Shopify-Webhook-Id": delivery.webhook_id,
            "X-Shopify-Event-Id": delivery.event_id,
            "X-Shopify-Triggered-At": delivery.triggered_at,
        }

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))


def is_loopback(host: str | None) -> bool:
    """Whether a host name means this machine."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_internal(host: str | None) -> bool:
    if not host or is_loopback(host) or host.endswith((".local", ".internal")):
        return True
    if any(host == name or host.endswith(f".{name}") for name in _SHOPIFY_HOSTS):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _address_of(wanted: Mapping[str, Any]) -> str | None:
    """The address, without the spaces around it; None if none is given."""
    address = wanted.get("uri")
    if address is None:
        address = wanted.get("callbackUrl")
    return None if address is None else str(address).strip()


def _write(subscription: Subscription, wanted: Mapping[str, Any]) -> None:
    """Set what is given. Lists that are left out become empty, as recorded for updates."""
    if "filter" in wanted:
        subscription.filter = wanted["filter"]
    if wanted.get("name") is not None:
        subscription.name = wanted["name"]
    subscription.include_fields = tuple(wanted.get("includeFields") or ())
    subscription.metafield_namespaces = tuple(wanted.get("metafieldNamespaces") or ())


def _body(payload: JsonObject, include_fields: tuple[str, ...]) -> bytes:
    if include_fields:
        wanted = {name.partition(".")[0] for name in include_fields}
        payload = {key: value for key, value in payload.items() if key in wanted}
    return json.dumps(payload, separators=(",", ":")).encode()


def _filter_names_fields(text: str) -> bool:
    def named(node: Node) -> bool:
        return node.field is not None if isinstance(node, Term) else all(map(named, node.parts))

    root = parse_search(text)
    return root is not None and named(root)


def _filter_matches(text: str, payload: JsonObject) -> bool:
    root = parse_search(text)
    return root is None or _node_matches(root, payload)


def _node_matches(node: Node, payload: JsonObject) -> bool:
    if isinstance(node, Group):
        results = (_node_matches(part, payload) for part in node.parts)
        if node.joined == "not":
            return not any(results)
        return any(results) if node.joined == "or" else all(results)
    values = _values(payload, (node.field or "").split("."))
    return any(_compare(str(value), node.op, node.value) for value in values)


def _values(value: object, path: list[str]) -> list[object]:
    """Everything under a dotted path, through lists."""
    if isinstance(value, list):
        return [found for item in value for found in _values(item, path)]
    if not path:
        return [value]
    if isinstance(value, dict) and path[0] in value:
        return _values(value[path[0]], path[1:])
    return []


def _compare(value: str, op: str, wanted: str) -> bool:
    if op == "=":
        return wanted == "*" or value.lower() == wanted.lower()
    try:
        left, right = float(value), float(wanted)
    except ValueError:
        return False
    return {">=": left >= right, "<=": left <= right, ">": left > right, "<": left < right}[op]
