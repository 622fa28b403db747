"""What reading alone can tell about a shop, in words: what works, what is missing and how to grant it.

Sources: shopify.md §1 (versions), §2 (tokens, scopes, plan), §3.3 (limits), §6 (buckets), §8 (webhooks), §11
(what is unknown and asked for here).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from connectors.api.capabilities import Identity
from connectors.api.doctor import ExaminationReport, Expectations, Finding, Verdict
from connectors.api.errors import SideClosed, SideError
from connectors.kit.examining import error_sentence
from connectors.shopify import operations
from connectors.shopify.answers import REMEDY_UPDATE, ScopeMissing, TokenRefused
from connectors.shopify.client import ShopifyClient
from connectors.shopify.diagnosis import (
    currency,
    other_apps,
    plan,
    probed,
    time_zone,
    updates_in_order,
    webhooks,
)
from connectors.shopify.mapping import entry_marker_of, instant_of, marker_of, money_of
from connectors.shopify.scopes import missing_scopes
from connectors.shopify.shape import (
    Json,
    object_of,
    objects_of,
    optional_object,
    optional_text,
    text_of,
)
from connectors.shopify.subscriptions import read_subscriptions
from mappings.money import MoneyError
from mappings.sentences import Money, say

SAMPLE: Final = 50
ENTRIES_OF_EACH: Final = 5

_KINDS: Final = {
    "token": say("a permanent Admin API access token"),
    "client_credentials": say("an access token had with the app's client id and secret"),
    "install": say("the access token of an installation"),
}
_GRANT: Final = {
    "token": say(
        "In Shopify Admin, open the app under Settings, Apps and sales channels, Develop apps; tick the "
        "scope under Configuration, save, and install the app again. The token stays the same."
    ),
    "client_credentials": say(
        "Add the scope to the app in Shopify's Dev Dashboard, release the new version, and "
        "accept the update in the shop."
    ),
    "install": say(
        "Allow the scope in the app's settings in Shopify's Dev Dashboard, then run "
        "`giftsync shopify install`."
    ),
}
_UNITS: Final = {"days": say("days"), "months": say("months"), "years": say("years")}
_REMEDY_NETWORK: Final = say("Check the network, and the shop's name or `url` in the side's table.")


class ShopifyDoctor:
    """Examines one shop. Every answer of the shop becomes a finding; nothing of SideError is raised."""

    def __init__(
        self, client: ShopifyClient, shop: str, secrets: Collection[str], needed_scopes: Mapping[str, str]
    ) -> None:
        self._client = client
        self._shop = shop
        self._has_secret = any(secrets)
        self._needed_scopes = needed_scopes

    def examine(self, wanted: Expectations) -> ExaminationReport:
        try:
            data = self._client.read(operations.EXAMINE_SHOP, {})
            return self._examination(data, wanted)
        except SideError as error:
            return ExaminationReport([self._closed(error)])

    def _examination(self, data: Json, wanted: Expectations) -> ExaminationReport:
        shop = object_of(data, "shop")
        identity = Identity(
            text_of(shop, "myshopifyDomain").lower(),
            text_of(shop, "currencyCode"),
            text_of(shop, "ianaTimezone"),
        )
        installation = object_of(data, "currentAppInstallation")
        granted = {text_of(scope, "handle") for scope in objects_of(installation, "accessScopes")}
        findings = [
            Finding(
                "token",
                Verdict.OK,
                say("Shopify accepts {what}.", what=_KINDS[self._client.token_kind]),
                evidence={"kind": self._client.token_kind, "scopes": ",".join(sorted(granted))},
            ),
            self._identity(identity),
            self._version(),
            *self._scopes(granted),
            *plan(shop),
            currency(identity, wanted),
            time_zone(identity, wanted),
        ]
        if identity.identity == self._shop:
            findings += self._asked("issue_limit", self._limit)
            findings += self._asked("updated_at_order", self._order)
            findings += self._asked("other_apps", self._other_apps)
            findings += self._asked("webhooks", lambda: self._webhooks(wanted.webhook_url))
            findings += probed(wanted)
        findings.append(self._bucket())
        return ExaminationReport(findings, identity)

    def _closed(self, error: SideError) -> Finding:
        """Why the shop cannot be asked at all."""
        remedy = error.remedy if isinstance(error, SideClosed) else _REMEDY_NETWORK
        point = "token" if isinstance(error, TokenRefused) else "connection"
        return Finding(point, Verdict.MISSING, error_sentence(error), remedy)

    def _asked(self, point: str, ask: Callable[[], Iterable[Finding]]) -> list[Finding]:
        """The findings of one question; a question without an answer is a finding, too."""
        try:
            return list(ask())
        except ScopeMissing:
            # The missing scope is a finding of its own already.
            return [Finding(point, Verdict.UNKNOWN, say("Not asked: an access scope is missing."))]
        except (SideError, MoneyError) as error:
            remedy = error.remedy if isinstance(error, SideClosed) else ""
            return [
                Finding(
                    point, Verdict.UNKNOWN, say("Not answered: {error}", error=error_sentence(error)), remedy
                )
            ]

    def _identity(self, identity: Identity) -> Finding:
        if identity.identity == self._shop:
            return Finding("shop", Verdict.OK, say("It is the shop {shop}.", shop=self._shop))
        return Finding(
            "shop",
            Verdict.MISSING,
            say(
                "The access token belongs to {identity}, not to {shop}.",
                identity=identity.identity,
                shop=self._shop,
            ),
            say("Correct the shop's name or the access token in the side's table."),
        )

    def _version(self) -> Finding:
        asked, served = self._client.version, self._client.served_version
        if served in (None, asked):
            return Finding(
                "api_version", Verdict.OK, say("Shopify answers as API version {asked}.", asked=asked)
            )
        return Finding(
            "api_version",
            Verdict.MISSING,
            say("Shopify answers as API version {served}, not {asked} as asked.", served=served, asked=asked),
            REMEDY_UPDATE,
        )

    def _scopes(self, granted: Collection[str]) -> Iterable[Finding]:
        missing = missing_scopes(self._needed_scopes, granted)
        for scope, why in self._needed_scopes.items():
            point = f"scope.{scope}"
            if scope in missing:
                sentence = say(
                    "The app lacks the access scope {scope}. It needs it {why}.", scope=scope, why=why
                )
                yield Finding(point, Verdict.MISSING, sentence, _GRANT[self._client.token_kind])
            else:
                yield Finding(
                    point,
                    Verdict.OK,
                    say("The app has the access scope {scope}, {why}.", scope=scope, why=why),
                )

    def _limit(self) -> Iterable[Finding]:
        found = object_of(self._client.read(operations.EXAMINE_LIMITS, {}), "giftCardConfiguration")
        minor, unit = money_of(found, "issueLimit")
        yield Finding(
            "issue_limit",
            Verdict.OK,
            say(
                "A card may hold up to {money}; a store card with more becomes a conflict.",
                money=Money(minor, unit),
            ),
            evidence={"issue_limit_minor": minor, "currency": unit},
        )
        expiry = optional_object(found, "expirationConfiguration")
        if expiry is not None:
            value, what = expiry.get("expirationValue"), text_of(expiry, "expirationUnit").lower()
            yield Finding(
                "default_expiry",
                Verdict.OK,
                say(
                    "Cards that are bought online expire after {value} {what}, by the shop's own setting.",
                    value=value,
                    what=_UNITS.get(what, what),
                ),
            )

    def _order(self) -> Iterable[Finding]:
        """Whether the newest updates come first; no recording shows it (shopify.md §3.1)."""
        data = self._client.read(operations.EXAMINE_UPDATES, {"first": SAMPLE})
        updated = [instant_of(one, "updatedAt") for one in objects_of(object_of(data, "giftCards"), "nodes")]
        yield updates_in_order(updated)

    def _other_apps(self) -> Iterable[Finding]:
        made = self._client.read(
            operations.EXAMINE_MADE_BY_APPS, {"first": SAMPLE, "query": "source:api_client"}
        )
        cards = objects_of(object_of(made, "giftCards"), "nodes")
        strange_cards = sum(marker_of(optional_text(card, "note")) is None for card in cards)
        total = object_of(made, "giftCardsCount").get("count")
        moved = self._client.read(operations.EXAMINE_MOVES, {"first": SAMPLE, "last": ENTRIES_OF_EACH})
        notes = [
            optional_text(entry, "note")
            for card in objects_of(object_of(moved, "giftCards"), "nodes")
            for entry in objects_of(object_of(card, "transactions"), "nodes")
        ]
        # Without a note it can be a checkout or a refund: whether those are listed is unknown (§3.3).
        strange_moves = sum(note is not None and entry_marker_of(note) is None for note in notes)
        yield other_apps(len(cards), strange_cards, len(notes), strange_moves, total)

    def _webhooks(self, url: str | None) -> Iterable[Finding]:
        yield webhooks(read_subscriptions(self._client), url, has_secret=self._has_secret)

    def _bucket(self) -> Finding:
        limits = self._client.limits
        changes = round(limits.restore_points_per_second / 10)
        return Finding(
            "rate_limit",
            Verdict.OK,
            say(
                "Shopify lets the app spend {points} points a second, and {most} at once: about {changes} "
                "cards created or changed a second.",
                points=round(limits.restore_points_per_second),
                most=round(limits.maximum_points),
                changes=changes,
            ),
            evidence={
                "restore_points_per_second": int(limits.restore_points_per_second),
                "maximum_points": int(limits.maximum_points),
            },
        )
