"""`ShopifySide`: the Side protocol over one Shopify shop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from typing import Final

from connectors.api.abilities import Abilities
from connectors.api.budget import Budget
from connectors.api.capabilities import Capabilities, Identity, Place, Usage
from connectors.api.card import CardRef, Observation
from connectors.api.doctor import ExaminationReport, Expectations, Finding, ProbeContext
from connectors.api.effect import Applied, Effect, EffectKind, FindResult, Save
from connectors.api.errors import SideClosed, SideError
from connectors.api.feed import Feed, Hint, HintPage
from connectors.api.webhooks import Delivery, DeliveryAnswer, Subscribed
from connectors.kit.http import CONNECT_SECONDS, READ_SECONDS, HttpClient
from connectors.kit.renewal import PermanentToken, RenewedToken, TokenSource
from connectors.shopify import operations, webhooks
from connectors.shopify.address import checked_shop, checked_url
from connectors.shopify.bucket import CostBucket, Priority, SharedBucket
from connectors.shopify.bulk import ShopifyBulk
from connectors.shopify.client import ShopifyClient
from connectors.shopify.doctor import ShopifyDoctor
from connectors.shopify.feeds import FEEDS, NEW_CARDS, FeedReader
from connectors.shopify.mapping import admin_address, id_from_address
from connectors.shopify.privacy import PrivacyTopics
from connectors.shopify.probe import ShopifyProbe
from connectors.shopify.reads import CODE_LENGTH_MAX, CODE_LENGTH_MIN, CardReader
from connectors.shopify.scopes import missing_scopes, needed_scopes
from connectors.shopify.shape import Json, flag_of, object_of, objects_of, text_of
from connectors.shopify.subscriptions import subscribe
from connectors.shopify.topics import BULK_FINISHED, UNINSTALLED
from connectors.shopify.writes import CardWriter
from mappings.lifecycle import CardStatus
from mappings.sentences import say
from mappings.serials import Serial

#: API versions that giftsync can speak, newest first (shopify.md §1).
VERSIONS: Final = ("2026-10", "2026-07", "2026-04")

_CAPABILITIES: Final = Capabilities(
    creates=True,
    debits=True,
    credits=True,
    sets_expiry=True,
    sets_status=frozenset({CardStatus.ACTIVE, CardStatus.SUSPENDED, CardStatus.CLOSED}),
    notifies=True,
    lists_entries=True,
    hides_serials=True,
    moves_when_suspended=False,
    read_batch_max=operations.PAGE_MAX,
    serial_length_min=CODE_LENGTH_MIN,
    serial_length_max=CODE_LENGTH_MAX,
    serial_digits_only=False,
    # A second card with the code is refused, and the one that has it shows who made it (shopify.md §3.2).
    lands_once=frozenset({EffectKind.CREATE}),
    suspends_by_date=True,
)


class ShopifySide:
    """One shop, by its permanent `….myshopify.com` name. Thread-safe; all threads share one cost bucket.

    `token` is an Admin API access token, or a source that gives the current one when tokens expire. `pause`
    waits the given seconds, and may raise to stop waiting. `clock` tells the time with its zone, `monotonic`
    in seconds. `look_back` is how far the feeds of updates go back when they are read for the first time.
    `webhook_secrets` are the app's client secrets, the newest first; without one no delivery is believed.
    `notifies`: the app is used to tell the buyers of new cards, and needs the scopes for it;
    `attaching_notifies`: Shopify does so by itself when a customer is attached to a card. `called` gives
    the shop the name that it has among others of the link.

    Raises ValueError for a shop, address or version that cannot be.
    """

    def __init__(
        self,
        *,
        shop: str,
        token: str | Callable[[], str] | TokenSource,
        pause: Callable[[float], None],
        name: str = "shopify",
        base_url: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        version: str = VERSIONS[0],
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        look_back: timedelta = timedelta(days=1),
        webhook_secrets: Sequence[str] = (),
        notifies: bool = False,
        attaching_notifies: bool = False,
        budget: Budget | None = None,
        called: Callable[[Place], Place] = lambda place: place,
    ) -> None:
        self._name = name
        self._needed_scopes = needed_scopes(notifies=notifies)
        self._shop = checked_shop(shop)
        self._place = called(
            Place(
                "Shopify",
                "Shopify Admin",
                partial(admin_address, self._shop),
                where="online",
                at=say("online"),
                id_of=id_from_address,
            )
        )
        if version not in VERSIONS:
            raise ValueError(f"giftsync speaks the API versions {', '.join(VERSIONS)}, not {version!r}")
        url = checked_url(self._shop, base_url)
        self._http = HttpClient(url, {}, connect_seconds, read_seconds, clock)
        bucket = CostBucket(monotonic, pause) if budget is None else SharedBucket(monotonic, pause, budget)
        self._token = _source_of(token)
        self._client = ShopifyClient(self._http, self._token, version, bucket, clock, pause, monotonic)
        self._reader = CardReader(self._client, clock)
        self._writer = CardWriter(self._client, self._reader, attaching_notifies=attaching_notifies)
        self._feeds = FeedReader(self._client, clock, look_back)
        #: All cards in one query, and many creates from one file: for imports.
        self.bulk = ShopifyBulk(self._client, clock, pause, monotonic)
        self._secrets = tuple(webhook_secrets)
        self._pause = pause

    def __repr__(self) -> str:
        return f"ShopifySide(name={self._name!r}, shop={self._shop!r})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            listener=self,
            subscriber=self,
            privacy=PrivacyTopics(),
            limited=self.bulk,
            lister=self.bulk,
            catalogue=self.bulk,
            pack_creator=self,
            mass_creator=self.bulk,
            examinable=self,
            place=self._place,
            keeps_cards_in=f"the shop {self._shop}",
        )

    @property
    def capabilities(self) -> Capabilities:
        return _CAPABILITIES

    @property
    def feeds(self) -> Sequence[Feed]:
        return FEEDS

    def identify(self) -> Identity:
        """Ask the shop who it is.

        Raises SideClosed when it is another shop than configured, has no gift cards, answers as another API
        version, or when the app lacks an access scope.
        """
        data = self._client.read(operations.IDENTIFY, {})
        self._client.check_version()
        shop = object_of(data, "shop")
        domain = text_of(shop, "myshopifyDomain").lower()
        if domain != self._shop:
            raise SideClosed(
                f"the access token belongs to {domain}, not to {self._shop}",
                "Correct the shop's name or the access token in the settings.",
            )
        _check_gift_cards(shop)
        _check_scopes(self._needed_scopes, object_of(data, "currentAppInstallation"))
        return Identity(domain, text_of(shop, "currencyCode"), text_of(shop, "ianaTimezone"))

    def observe(
        self, cards: Sequence[CardRef], *, entries: bool = False, urgent: bool = True
    ) -> Iterator[Observation]:
        priority = Priority.CARD if urgent else Priority.SWEEP
        return self._reader.observe(cards, entries=entries, priority=priority)

    def lookup(self, serial: Serial) -> Observation:
        return self._reader.lookup(serial)

    def apply(self, effect: Effect, save: Save) -> Applied:
        """See `Side.apply`. Every effect is one request, so nothing is saved on the way."""
        return self._writer.apply(effect)

    def pack_size(self, threads: int) -> int:
        """See `PackCreator.pack_size`: as many as the points pay for while the other threads are waiting."""
        by_points = self._client.limits.restore_points_per_second / operations.CREATE_CARD.points_guess
        cards = by_points * self._client.change_seconds / max(1, threads)
        return min(max(1, ceil(cards)), operations.PACK_MAX)

    def create_pack(self, effects: Sequence[Effect]) -> list[Applied | SideError]:
        return self._writer.create_pack(effects)

    def find(self, effect: Effect) -> FindResult:
        return self._writer.find(effect)

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        return self._feeds.hints(feed, cursor)

    def read_delivery(self, headers: Mapping[str, str], body: bytes) -> Delivery | None:
        return webhooks.read_delivery(self._shop, self._secrets, headers, body)

    def resolve(self, deliveries: Sequence[Delivery]) -> Sequence[DeliveryAnswer | SideError]:
        """The cards that orders were paid with; a sold card shows in `new_cards` once it is fulfilled."""
        hints = self._feeds.hints_of_orders([one.subject for one in deliveries if one.subject])
        return [self._answer_to(delivery, hints) for delivery in deliveries]

    def _answer_to(
        self, delivery: Delivery, hints: Mapping[str, Sequence[Hint] | SideError]
    ) -> DeliveryAnswer | SideError:
        if delivery.topic == UNINSTALLED.header:
            try:
                return DeliveryAnswer(closed=self._access_revoked())
            except SideError as error:
                return error
        if delivery.topic == BULK_FINISHED.header:
            return DeliveryAnswer(list_ready=True)
        found = hints.get(delivery.subject, ())
        return found if isinstance(found, SideError) else DeliveryAnswer(found, [NEW_CARDS])

    def _access_revoked(self) -> SideClosed | None:
        """What Shopify says to an app that it says was uninstalled; None when it was installed again."""
        try:
            self._client.read(operations.IDENTIFY, {})
        except SideClosed as error:
            return SideClosed(
                f"the app was uninstalled from the shop ({error})",
                "Install the app again, then `giftsync resume`.",
            )
        return None

    def subscribe(self, url: str | None) -> Subscribed:
        return subscribe(self._client, f"/webhooks/{self._name}", url)

    @property
    def known_as(self) -> str:
        return self._shop

    def examine(self, wanted: Expectations) -> ExaminationReport:
        """See `Examinable.examine`."""
        return ShopifyDoctor(self._client, self._shop, self._secrets, self._needed_scopes).examine(wanted)

    def probe(self, context: ProbeContext) -> Iterator[Finding]:
        """See `Examinable.probe`."""
        return ShopifyProbe(self._client, self._reader, self, self._pause).run(context)

    def usage(self) -> Usage:
        return self._http.usage

    def close(self) -> None:
        self._http.close()
        self._token.close()


def _source_of(token: str | Callable[[], str] | TokenSource) -> TokenSource:
    return token if isinstance(token, RenewedToken | PermanentToken) else PermanentToken(token)


def _check_gift_cards(shop: Json) -> None:
    if not flag_of(object_of(shop, "features"), "giftCards"):
        plan = text_of(object_of(shop, "plan"), "publicDisplayName")
        raise SideClosed(
            f"the shop's Shopify plan ({plan}) has no gift cards",
            "Choose a plan with gift cards in the Shopify admin, then resume the link.",
        )


def _check_scopes(needed: Mapping[str, str], installation: Json) -> None:
    granted = {text_of(scope, "handle") for scope in objects_of(installation, "accessScopes")}
    missing = missing_scopes(needed, granted)
    if missing:
        reasons = "; ".join(f"{scope}, {why}" for scope, why in missing.items())
        raise SideClosed(
            f"the app lacks access scopes: {', '.join(missing)}",
            f"Grant the app these scopes and install it again in the shop: {reasons}.",
        )
