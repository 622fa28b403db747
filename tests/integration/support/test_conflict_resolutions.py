"""Each resolution previewed, given, given twice and interrupted; what is ignored; what ends by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from connectors.api.side import CardRef
from connectors.memory import MemoryCard, MemoryFault
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.model import Closing, ConflictKind
from sync.support.explain import meaning_of, words_for
from sync.support.settle import (
    Action,
    NotResolved,
    Resolution,
    Resolved,
    actions_for,
    resolve,
)
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop
from tests.support import Crashed

OTHER = Serial("5000600070008000")


def first_contact(shop: Shop) -> None:
    shop.sell(FLOW, 10_000)
    shop.sell(SHOPIFY, 8_000)
    shop.sync()


def overdraft(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.move(FLOW, -8_000)
    shop.move(SHOPIFY, -5_000)
    shop.sync()


def not_writable(shop: Shop) -> None:
    """It has expired in the store by the time that what was spent online is known."""
    shop.sell(FLOW, 10_000, SERIAL, date(2026, 11, 30))
    shop.sync()
    shop.move(SHOPIFY, -2_000)
    shop.clock.advance(20 * 86_400)
    shop.sync()


def refused(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.fail(SHOPIFY, *[MemoryFault.REFUSED] * 3)
    shop.move(FLOW, -2_000)
    shop.sync()


def missing(shop: Shop) -> None:
    shop.in_step(10_000)
    del shop.sides[SHOPIFY].cards[shop.native(SHOPIFY)]
    shop.sync()


def reissued(shop: Shop) -> None:
    """The card is gone online, 20.00 were spent in the store, and support made a new one for the customer."""
    missing(shop)
    shop.move(FLOW, -2_000)
    shop.sync()
    shop.sides[SHOPIFY].cards["new"] = MemoryCard("new", OTHER, 10_000)


def too_short(shop: Shop) -> None:
    """Its number cannot be one online, and support made a card there by hand."""
    shop.sell(FLOW, 10_000, "1234567")
    shop.sync()
    shop.sides[SHOPIFY].cards["new"] = MemoryCard("new", OTHER, 10_000)


def closed_alone(shop: Shop) -> None:
    """Staff deactivate the card online, and the merchant wants to be asked."""
    link = replace(shop.link, rules=replace(shop.link.rules, closing=Closing.CONFLICT))
    shop.link = shop.worker.link = link
    shop.matcher = shop.worker.matcher = replace(shop.matcher, link=link)
    shop.in_step(10_000)
    shop.sides[SHOPIFY].set(shop.native(SHOPIFY), status=CardStatus.CLOSED)
    shop.sync()


Case = tuple[Callable[[Shop], None], ConflictKind, Resolution]


def said(action: Action, **more: object) -> Resolution:
    return Resolution(action, "kari", "I looked", **more)  # type: ignore[arg-type]


CASES: list[Case] = [
    (first_contact, ConflictKind.FIRST_CONTACT, said(Action.ACCEPT, side=SHOPIFY)),
    (first_contact, ConflictKind.FIRST_CONTACT, said(Action.VALUE, value_minor=9_000)),
    (overdraft, ConflictKind.OVERDRAFT, said(Action.WRITE_OFF)),
    (overdraft, ConflictKind.OVERDRAFT, said(Action.ACKNOWLEDGE)),
    (not_writable, ConflictKind.NOT_WRITABLE, said(Action.IGNORE)),
    (not_writable, ConflictKind.NOT_WRITABLE, said(Action.RETRY)),
    (not_writable, ConflictKind.NOT_WRITABLE, said(Action.VALUE, value_minor=0)),
    (refused, ConflictKind.REFUSED, said(Action.RETRY)),
    (refused, ConflictKind.REFUSED, said(Action.ACCEPT, side=SHOPIFY)),
    (closed_alone, ConflictKind.STATUS, said(Action.ACCEPT, side=SHOPIFY)),
    (closed_alone, ConflictKind.STATUS, said(Action.IGNORE)),
    (reissued, ConflictKind.MISSING, said(Action.LINK, card=CardRef("new"))),
    (too_short, ConflictKind.SERIAL, said(Action.LINK, card=CardRef(None, OTHER))),
    (missing, ConflictKind.MISSING, said(Action.IGNORE)),
    (missing, ConflictKind.MISSING, said(Action.RETRY)),
]
NAMES = [f"{kind}-{one.action}" for _, kind, one in CASES]


def the_conflict(shop: Shop, kind: ConflictKind) -> int:
    return int(shop.row("conflicts", kind=kind.value)["id"])


def essence(shop: Shop) -> object:
    """What the ledger says, without markers and moments."""
    return [
        [(c["balance_minor"], c["status"]) for c in shop.rows("cards")],
        [(p["side"], p["shadow_minor"], p["hold"]) for p in shop.rows("presences")],
        [(m["kind"], m["side"], m["amount_minor"]) for m in shop.rows("movements")],
        [(i["side"], i["kind"], i["amount_minor"], i["state"]) for i in shop.rows("intents")],
        [(c["kind"], c["resolution"], c["resolved_by"], c["resolved_why"]) for c in shop.rows("conflicts")],
        shop.shown(),
    ]


@pytest.mark.parametrize(("set_up", "kind", "resolution"), CASES, ids=NAMES)
def test_a_preview_changes_nothing_and_tells_what_will_follow(
    shop: Shop, set_up: Callable[[Shop], None], kind: ConflictKind, resolution: Resolution
) -> None:
    set_up(shop)
    before = essence(shop)

    told = resolve(shop.link, the_conflict(shop, kind), resolution, preview=True)
    assert essence(shop) == before

    done = resolve(shop.link, the_conflict(shop, kind), resolution)
    assert (told.preview, told.after_minor, told.planned) == (True, done.after_minor, done.planned)


@pytest.mark.parametrize(("set_up", "kind", "resolution"), CASES, ids=NAMES)
def test_given_twice_the_second_time_changes_nothing(
    shop: Shop, set_up: Callable[[Shop], None], kind: ConflictKind, resolution: Resolution
) -> None:
    set_up(shop)
    conflict_id = the_conflict(shop, kind)
    resolve(shop.link, conflict_id, resolution)
    after = essence(shop)

    assert resolve(shop.link, conflict_id, resolution) == Resolved(already_closed=True)
    assert essence(shop) == after
    closed = shop.row("conflicts", id=conflict_id)
    assert (closed["resolution"], closed["resolved_by"], closed["resolved_why"]) == (
        resolution.action.value,
        "kari",
        "I looked",
    )


@pytest.mark.parametrize("point", ["commit.before", "commit.inside", "commit.after"])
@pytest.mark.parametrize(("set_up", "kind", "resolution"), CASES, ids=NAMES)
def test_interrupted_it_was_given_whole_or_not_at_all(
    shop: Shop,
    crash_at: Callable[..., None],
    set_up: Callable[[Shop], None],
    kind: ConflictKind,
    resolution: Resolution,
    point: str,
) -> None:
    set_up(shop)
    conflict_id = the_conflict(shop, kind)
    crash_at(point)
    with pytest.raises(Crashed):
        resolve(shop.link, conflict_id, resolution)
    shop.store.free_all(shop.clock())

    again = resolve(shop.link, conflict_id, resolution)

    assert again.already_closed == (point == "commit.after")
    assert shop.row("conflicts", id=conflict_id)["resolution"] == resolution.action.value
    shop.sync()
    before = len(shop.sides[SHOPIFY].writes)
    shop.sync()
    assert len(shop.sides[SHOPIFY].writes) == before


def test_what_is_ignored_is_not_told_of_again_until_it_changes(shop: Shop) -> None:
    not_writable(shop)
    resolve(shop.link, 1, said(Action.IGNORE))
    shop.intake.make_due([1], shop.clock())
    shop.sync()
    assert [c["resolution"] for c in shop.rows("conflicts")] == ["ignore"]

    shop.sides[SHOPIFY].set(shop.native(SHOPIFY), expires_on=date(2028, 1, 1))
    shop.sync()

    assert shop.shown() == {FLOW: 8_000, SHOPIFY: 8_000}
    assert [c["resolution"] for c in shop.rows("conflicts")] == ["ignored"]


def test_what_is_ignored_comes_back_when_other_money_is_at_stake(shop: Shop) -> None:
    not_writable(shop)
    resolve(shop.link, 1, said(Action.IGNORE))
    shop.sides[SHOPIFY].cards[shop.native(SHOPIFY)].balance_minor -= 500
    shop.intake.make_due([1], shop.clock())

    shop.sync()

    told = [(c["amount_minor"], c["resolution"]) for c in shop.rows("conflicts")]
    assert told == [(2_000, "ignored"), (2_500, None)]


def test_a_value_that_is_none_is_refused(shop: Shop) -> None:
    not_writable(shop)

    with pytest.raises(NotResolved, match="zero or more"):
        resolve(shop.link, 1, said(Action.VALUE))
    with pytest.raises(NotResolved, match="say which side's balance is right: flow, shopify"):
        resolve(shop.link, 1, said(Action.ACCEPT, side="elsewhere"))


@pytest.mark.parametrize("kind", list(ConflictKind))
def test_every_kind_is_explained_and_can_be_answered(kind: ConflictKind) -> None:
    assert meaning_of(kind).why.endswith(".")
    assert meaning_of(kind).done.endswith(".")
    assert actions_for(kind)
    assert all(words_for(kind, action) for action in actions_for(kind))
