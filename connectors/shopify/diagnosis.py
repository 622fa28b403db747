"""What is said about a shop, sentence by sentence. Pure. Sources: as in `doctor`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from connectors.api.capabilities import Identity
from connectors.api.doctor import Expectations, Finding, Verdict
from connectors.shopify.shape import Json, flag_of, object_of, text_of
from connectors.shopify.subscriptions import Subscription
from connectors.shopify.topics import WANTED
from mappings.sentences import in_a_row, say

#: What only a probe can tell.
PROBED: Final = {
    "updated_at_on_credit": say("whether Shopify marks a card as updated when it is credited"),
    "updated_at_on_debit": say("whether Shopify marks a card as updated when it is debited"),
    "transaction_notes": say("whether giftsync can read its own marks on a card's transactions"),
}


def plan(shop: Json) -> Iterable[Finding]:
    """The plan, and whether it has gift cards."""
    about = object_of(shop, "plan")
    name = text_of(about, "publicDisplayName")
    development = about.get("partnerDevelopment") is True
    yield Finding(
        "plan",
        Verdict.OK,
        say("The shop's plan is {name}, on a development store.", name=name)
        if development
        else say("The shop's plan is {name}.", name=name),
        evidence={"plan": name, "development_store": development},
    )
    if flag_of(object_of(shop, "features"), "giftCards"):
        yield Finding("gift_cards", Verdict.OK, say("The plan has gift cards."))
    else:
        yield Finding(
            "gift_cards",
            Verdict.MISSING,
            say("The plan {name} has no gift cards.", name=name),
            say("Choose a plan with gift cards in Shopify Admin under Settings, Plan."),
        )


def currency(identity: Identity, wanted: Expectations) -> Finding:
    if wanted.currency in (None, identity.currency):
        return Finding(
            "currency",
            Verdict.OK,
            say("The shop keeps its cards in {currency}.", currency=identity.currency),
            evidence={"currency": identity.currency},
        )
    return Finding(
        "currency",
        Verdict.MISSING,
        say(
            "The shop keeps its cards in {currency}, the link in {other}.",
            currency=identity.currency,
            other=wanted.currency,
        ),
        say("Link sides of one currency only, or correct `currency` in [link]; giftsync never converts."),
        {"currency": identity.currency},
    )


def time_zone(identity: Identity, wanted: Expectations) -> Finding:
    if identity.timezone == wanted.timezone:
        return Finding(
            "time_zone",
            Verdict.OK,
            say("The shop's time zone is {timezone}, as the link's.", timezone=identity.timezone),
        )
    return Finding(
        "time_zone",
        Verdict.WARNING,
        say(
            "The shop's time zone is {timezone}, the link's {other}: a card may expire on one side some "
            "hours before the other.",
            timezone=identity.timezone,
            other=wanted.timezone,
        ),
        say(
            'Set `timezone = "{timezone}"` in [link], unless the store keeps another time.',
            timezone=identity.timezone,
        ),
    )


def updates_in_order(updated: Sequence[datetime]) -> Finding:
    point = "updated_at_order"
    if len(set(updated)) < 2:
        return Finding(
            point, Verdict.UNKNOWN, say("There are too few cards to see whether updates come in order.")
        )
    if all(above >= below for above, below in pairwise(updated)):
        return Finding(point, Verdict.OK, say("Shopify lists the cards that were updated last first."))
    return Finding(
        point,
        Verdict.WARNING,
        say("Shopify does not list cards by their last update; changes are then found by the slower sweep."),
        say("Tell Shopify's support that sortKey UPDATED_AT of giftCards is out of order."),
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
            "other_apps",
            Verdict.OK,
            say("No other app seems to make or change gift cards."),
            evidence=evidence,
        )
    seen = []
    if strange_cards:
        seen.append(
            say(
                "{strange} of the newest {count} cards that an app made lack giftsync's mark",
                strange=strange_cards,
                count=cards,
            )
        )
    if strange_moves:
        seen.append(
            say(
                "{strange} of {count} recent transactions have a note that is not giftsync's",
                strange=strange_moves,
                count=moves,
            )
        )
    return Finding(
        "other_apps",
        Verdict.WARNING,
        say("Another app seems to make or change gift cards: {seen}.", seen=in_a_row(seen, "; ")),
        say(
            "Switch it off, or make sure that it leaves alone what giftsync keeps in step: two apps that "
            "correct the same cards undo each other's work."
        ),
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
            say(
                "Shopify does not tell giftsync at once of {topics}; giftsync sees them when it looks, every "
                "few seconds to minutes.",
                topics=in_a_row(missing.values(), ", "),
            ),
            say("Set `public_url` in [console]: `giftsync run` then subscribes the app by itself.")
            if url is None
            else say(
                "`giftsync run` subscribes the app within the hour. Topics that stay away are refused: see "
                "`giftsync status`, and check that Shopify reaches the public address."
            ),
            evidence,
        )
    if not has_secret:
        return Finding(
            "webhooks",
            Verdict.WARNING,
            say(
                "Shopify tells giftsync of changes at once, but giftsync cannot prove that it is Shopify, "
                "and believes none of it."
            ),
            say("Set `client_secret` in the side's table to the app's client secret."),
            evidence,
        )
    return Finding(
        "webhooks", Verdict.OK, say("Shopify tells giftsync of payments at once."), evidence=evidence
    )


def probed(wanted: Expectations) -> Iterable[Finding]:
    """What earlier probes found out, and what none has tried."""
    for point, what in PROBED.items():
        known = wanted.known.get(point)
        if known is not None:
            sentence = say("{what} (Tried on {day}.)", what=known.sentence, day=known.at.date())
            yield Finding(point, known.verdict, sentence)
        else:
            yield Finding(
                point,
                Verdict.UNKNOWN,
                say("It is not known {what}; the link does not depend on it.", what=what),
                say("`giftsync doctor --probe --card NUMBER` tries it on a test card."),
            )
