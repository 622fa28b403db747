"""Each resolution previewed, given, given twice and interrupted; what is ignored; what ends by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from connectors.api.card import CardRef
from connectors.memory import MemoryCard, MemoryFault
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions.resolutions import Action
from sync.ledger.database.tables import conflicts
from sync.model import Closing, ConflictKind, SideRules
from sync.reconcile.brakes import Brake, BrakeLimits
from sync.support.settle import NotResolved, Resolution, Resolved, resolve
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop
from tests.integration.support.test_conflict_stories import first_contact, overdraft
from tests.support import Crashed

OTHER = Serial("5000600070008000")


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
    refused(shop)

    with pytest.raises(NotResolved, match="zero or more"):
        resolve(shop.link, 1, said(Action.VALUE))
    with pytest.raises(NotResolved, match="say which side's balance is right: shopify"):
        resolve(shop.link, 1, said(Action.ACCEPT, side="elsewhere"))


# --- Deciding anew ------------------------------------------------------------------------------------------


def worth(amount_minor: int) -> Resolution:
    return said(Action.VALUE, value_minor=amount_minor)


def test_a_decision_that_is_not_carried_out_yet_gives_way_to_another(shop: Shop) -> None:
    first_contact(shop)
    resolve(shop.link, 1, worth(9_500))

    told = resolve(shop.link, 1, said(Action.ACCEPT, side=SHOPIFY), preview=True)
    assert told.instead_of == "value 95.00 NOK"
    assert [i["state"] for i in shop.rows("intents")] == ["planned", "planned"]
    done = resolve(shop.link, 1, said(Action.ACCEPT, side=SHOPIFY))

    assert (done.after_minor, done.instead_of) == (8_000, "value 95.00 NOK")
    shop.sync()
    assert shop.shown() == {FLOW: 8_000, SHOPIFY: 8_000}
    assert {i["state"] for i in shop.rows("intents")} == {"withdrawn", "applied"}
    assert [e.kind.value for side in shop.sides.values() for e in side.writes] == ["debit"]
    assert sum(m["amount_minor"] for m in shop.rows("movements")) == 8_000


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_decision_that_somebody_changed_is_not_taken_back(shop: Shop) -> None:
    first_contact(shop)
    resolve(shop.link, 1, worth(9_500))
    decided = shop.row("conflicts")["decided"]
    changed = {**decided, "undo": {**decided["undo"], "change_minor": 100_000}}
    with shop.engine.begin() as connection:
        connection.execute(conflicts.update().values(decided=changed))
    before = essence(shop)

    with pytest.raises(NotResolved, match="changed in the database, so it cannot be taken back"):
        resolve(shop.link, 1, worth(9_000))

    assert essence(shop) == before


def test_a_closing_that_is_not_carried_out_yet_can_be_taken_back_with_its_money(shop: Shop) -> None:
    closed_alone(shop)
    resolve(shop.link, 1, said(Action.ACCEPT, side=SHOPIFY))
    assert shop.card(1).balance_minor == 0

    resolve(shop.link, 1, said(Action.IGNORE))

    shop.sync()
    assert (shop.card(1).status, shop.card(1).balance_minor) == (CardStatus.ACTIVE, 10_000)
    assert shop.sides[FLOW].writes == []
    assert [c["resolution"] for c in shop.rows("conflicts")] == ["ignore"]


def test_a_decision_that_is_carried_out_stands_and_the_second_person_reads_it(shop: Shop) -> None:
    first_contact(shop)
    resolve(shop.link, 1, worth(9_500))
    shop.sync()
    before = essence(shop)

    words = (
        r'settled by kari at 2026-11-23 13:\d\d CET: value 95.00 NOK, because "I looked". That was carried'
    )
    with pytest.raises(NotResolved, match=words):
        resolve(shop.link, 1, worth(9_000))

    assert essence(shop) == before


def test_what_was_seen_with_ones_own_eyes_is_not_decided_anew(shop: Shop) -> None:
    refused(shop)
    resolve(shop.link, 1, said(Action.RETRY))
    shop.sync()

    with pytest.raises(NotResolved, match="retry, because"):
        resolve(shop.link, 1, said(Action.IGNORE))


@pytest.mark.parametrize(("amount_minor", "words"), [(1_800_001, "more than"), (25_000, "more than")])
def test_an_amount_that_is_a_slip_is_refused(shop: Shop, amount_minor: int, words: str) -> None:
    first_contact(shop)

    with pytest.raises(NotResolved, match=words):
        resolve(shop.link, 1, worth(amount_minor))

    # Both may be right in part: two cards under one number.
    assert resolve(shop.link, 1, worth(18_000)).after_minor == 18_000


def test_an_amount_above_the_limit_or_the_brake_is_refused_before_it_stops_the_link(
    make_shop: Callable[..., Shop],
) -> None:
    shop = make_shop(rules={SHOPIFY: SideRules(card_limit_minor=9_000)})
    first_contact(shop)
    with pytest.raises(NotResolved, match=r"shopify allows 90.00 NOK on one card, so 95.00 NOK cannot go"):
        resolve(shop.link, 1, worth(9_500))

    braked = replace(shop.link, brake=Brake(BrakeLimits(card_money_minor=1_500), "NOK"))
    with pytest.raises(NotResolved, match=r"flow would change by 20.00 NOK, .* the link would stop"):
        resolve(braked, 1, worth(8_000))
    assert resolve(braked, 1, worth(8_500)).after_minor == 8_500


@pytest.mark.parametrize("why", ["", "   "])
def test_a_decision_needs_its_reason(shop: Shop, why: str) -> None:
    first_contact(shop)

    with pytest.raises(NotResolved, match="say why"):
        resolve(shop.link, 1, Resolution(Action.VALUE, "kari", why, value_minor=9_000))


def test_the_other_date_can_be_chosen(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.sides[FLOW].set(shop.native(FLOW), expires_on=date(2028, 1, 31))
    shop.sides[SHOPIFY].set(shop.native(SHOPIFY), expires_on=date(2029, 1, 31))
    shop.sync()
    assert shop.row("conflicts")["amount_minor"] == 10_000

    resolve(shop.link, 1, said(Action.ACCEPT, side=SHOPIFY))
    shop.sync()

    for name in (FLOW, SHOPIFY):
        assert shop.sides[name].cards[shop.native(name)].expires_on == date(2029, 1, 31)


def test_what_is_ignored_while_customers_go_on_is_not_told_of_again(shop: Shop) -> None:
    closed_alone(shop)
    resolve(shop.link, 1, said(Action.IGNORE))

    shop.move(FLOW, -2_000)
    shop.sync()

    assert [(c["resolution"], c["amount_minor"]) for c in shop.rows("conflicts")] == [("ignore", 10_000)]
