"""What is said about a shop, sentence by sentence. Pure. Sources: as in `doctor`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from connectors.api.doctor import Expectations, Finding, Verdict
from connectors.api.side import Identity
from connectors.shopify.shape import Json, flag_of, object_of, text_of
from connectors.shopify.subscriptions import Subscription
from connectors.shopify.topics import WANTED

#: What only a probe can tell.
PROBED: Final = {
    "updated_at_on_credit": "whether Shopify marks a card as updated when it is credited",
    "updated_at_on_debit": "whether Shopify marks a card as updated when it is debited",
    "transaction_notes": "whether giftsync can read its own marks on a card's transactions",
}


def plan(shop: Json) -> Iterable[Finding]:
    """The plan, and whether it has gift cards."""
    about = object_of(shop, "plan")
    name = text_of(about, "publicDisplayName")
    development = about.get("partnerDevelopment") is True
    yield Finding(
        "plan",
        Verdict.OK,
        f"The shop's plan is {name}{', on a development store' if development else ''}.",
        evidence={"plan": name, "development_store": development},
    )
    if flag_of(object_of(shop, "features"), "giftCards"):
        yield Finding("gift_cards", Verdict.OK, "The plan has gift cards.")
    else:
        yield Finding(
            "gift_cards",
            Verdict.MISSING,
            f"The plan {name} has no gift cards.",
            "Choose a plan with gift cards in Shopify Admin under Settings, Plan.",
        )


def currency(identity: Identity, wanted: Expectations) -> Finding:
    if wanted.currency in (None, identity.currency):
        return Finding(
            "currency",
            Verdict.OK,
            f"The shop keeps its cards in {identity.currency}.",
            evidence={"currency": identity.currency},
        )
    return Finding(
        "currency",
        Verdict.MISSING,
        f"The shop keeps its cards in {identity.currency}, the link in {wanted.currency}.",
        "Link sides of one currency only, or correct `currency` in [link]; giftsync never converts.",
        {"currency": identity.currency},
    )


def time_zone(identity: Identity, wanted: Expectations) -> Finding:
    if identity.timezone == wanted.timezone:
        return Finding(
            "time_zone", Verdict.OK, f"The shop's time zone is {identity.timezone}, as the link's."
        )
    return Finding(
        "time_zone",
        Verdict.WARNING,
        f"The shop's time zone is {identity.timezone}, the link's {wanted.timezone}: "
        "a card may expire on one side some hours before the other.",
        f'Set `timezone = "{identity.timezone}"` in [link], unless the store keeps another time.',
    )


def updates_in_order(updated: Sequence[datetime]) -> Finding:
    point = "updated_at_order"
    if len(set(updated)) < 2:
        return Finding(
            point, Verdict.UNKNOWN, "There are too few cards to see whether updates come in order."
        )
    if all(above >= below for above, below in pairwise(updated)):
        return Finding(point, Verdict.OK, "Shopify lists the cards that were updated last first.")
    return Finding(
        point,
        Verdict.WARNING,
        "Shopify does not list cards by their last update; changes are then found by the slower sweep.",
        "Tell Shopify's support that sortKey UPDATED_AT of giftCards is out of order.",
    )


def other_apps(cards: int, strange_cards: int, moves: int, strange_moves: int, total: object) -> Finding:
    evidence = {
        "cards_made_by_apps": total if isinstance(total, int) else None,
        "cards_looked_at": cards,
        "cards_without_our_mark": strange_cards,
        "transactions_looked_at": moves,
        "transactions_of_others": strange_moves,
    }
    if not strange_cards and not strange_moves:
        return Finding(
            "other_apps", Verdict.OK, "No other app seems to make or change gift cards.", evidence=evidence
        )
    seen = []
    if strange_cards:
        seen.append(f"{strange_cards} of the newest {cards} cards that an app made lack giftsync's mark")
    if strange_moves:
        seen.append(f"{strange_moves} of {moves} recent transactions have a note that is not giftsync's")
    return Finding(
        "other_apps",
        Verdict.WARNING,
        f"Another app seems to make or change gift cards: {'; '.join(seen)}.",
        "Switch it off, or make sure that it leaves alone what giftsync keeps in step: two apps that correct "
        "the same cards undo each other's work.",
        evidence,
    )


def webhooks(subscribed: Collection[Subscription], url: str | None, *, has_secret: bool) -> Finding:
    """How giftsync is subscribed; `url` is its public address for deliveries, if it has one."""
    ours = {one.topic for one in subscribed if url is None or one.uri == url}
    missing = {topic.name: topic.what for topic in WANTED if topic.name not in ours}
    evidence: dict[str, str | int | bool | None] = {
        "subscriptions": len(subscribed),
        "missing_topics": ",".join(missing),
        "url": url,
    }
    if missing:
        return Finding(
            "webhooks",
            Verdict.WARNING,
            f"Shopify does not tell giftsync at once of {', '.join(missing.values())}; "
            "giftsync sees them when it looks, every few seconds to minutes.",
            "Set `public_url` in [console]: `giftsync run` then subscribes the app by itself."
            if url is None
            else "`giftsync run` subscribes the app within the hour. Topics that stay away are refused: see "
            "`giftsync status`, and check that Shopify reaches the public address.",
            evidence,
        )
    if not has_secret:
        return Finding(
            "webhooks",
            Verdict.WARNING,
            "Shopify tells giftsync of changes at once, but giftsync cannot prove that it is Shopify, "
            "and believes none of it.",
            "Set `client_secret` in [shopify] to the app's client secret.",
            evidence,
        )
    return Finding("webhooks", Verdict.OK, "Shopify tells giftsync of payments at once.", evidence=evidence)


def probed(wanted: Expectations) -> Iterable[Finding]:
    """What earlier probes found out, and what none has tried."""
    for point, what in PROBED.items():
        known = wanted.known.get(point)
        if known is not None:
            sentence = f"{known.sentence} (Tried on {known.at.date().isoformat()}.)"
            yield Finding(point, known.verdict, sentence)
        else:
            yield Finding(
                point,
                Verdict.UNKNOWN,
                f"It is not known {what}; the link does not depend on it.",
                "`giftsync doctor --probe --card NUMBER` tries it on a test card.",
            )
