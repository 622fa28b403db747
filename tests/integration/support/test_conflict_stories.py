"""Each kind of conflict from beginning to end: what is told needs no docs, and what is offered works.

Three commands settle one: `conflicts list` says what to do, `conflicts resolve` takes a decision, and the
next pass of the worker carries it out. What has to be done by hand is done between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from unittest.mock import patch

import pytest

from connectors.api.card import CardRef, Unreadable
from connectors.api.effect import CannotTell, Effect, EffectKind
from connectors.memory import MemoryCard, MemoryFault, MemorySide
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync import crashpoints
from sync.decisions import causes
from sync.decisions.causes import Situation
from sync.decisions.resolutions import Action
from sync.ledger.database.generation import fall_behind
from sync.model import ConflictKind, SideRules
from sync.reconcile.brakes import Brake, BrakeLimits
from sync.support import cases
from sync.support.assign import assign
from sync.support.explain import Option
from sync.support.settle import Resolution, resolve
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop, hidden
from tests.support import Crashed

OTHER = "5000600070008000"
FREE = "5000600070009999"


@dataclass(frozen=True)
class Provoked:
    """How a situation comes about, and what is done by hand before `retry` is said."""

    make: Callable[[Shop], None]
    mend: Callable[[Shop], None] = lambda shop: None
    #: Where a machine can never end it: what stays open is the card, not the conflict.
    shop: Callable[[Callable[..., Shop]], Shop] = lambda make_shop: make_shop()


def first_contact(shop: Shop) -> None:
    shop.sell(FLOW, 10_000)
    shop.sell(SHOPIFY, 8_000)
    shop.sync()


def done_otherwise(shop: Shop) -> None:
    """The online shop takes 100.00 for 1 000.00."""
    carry_out = MemorySide._carry_out

    def tenfold(side: MemorySide, effect: Effect) -> MemoryCard:
        return carry_out(side, replace(effect, amount_minor=effect.amount_minor * 10))

    shop.sell(FLOW, 10_000)
    with patch.object(MemorySide, "_carry_out", tenfold):
        shop.sync()


def book_rewritten(shop: Shop) -> None:
    """Staff make one payment of two, and a message tells that the card has changed."""
    card_id = shop.in_step(10_000)
    for amount in (-300, -500):
        shop.move(SHOPIFY, amount)
    shop.work(card_id)
    card = shop.sides[SHOPIFY].cards[shop.native(SHOPIFY)]
    card.entries = [replace(card.entries[-1], amount_minor=-800)]
    shop.intake.make_due([card_id], shop.clock(), SHOPIFY)
    shop.sync()


def overdraft(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.move(FLOW, -8_000)
    shop.move(SHOPIFY, -5_000)
    shop.sync()


def status_differs(shop: Shop) -> None:
    """An emptied card is suspended in the store and deactivated online."""
    shop.in_step(10_000)
    shop.move(FLOW, -10_000)
    shop.sync()
    shop.sides[FLOW].set(shop.native(FLOW), status=CardStatus.SUSPENDED)
    shop.sides[SHOPIFY].set(shop.native(SHOPIFY), status=CardStatus.CLOSED)
    shop.sync()


def status_unknown(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.sides[FLOW].odd_statuses[shop.native(FLOW)] = "PARKED"
    shop.sync()


def known_status(shop: Shop) -> None:
    shop.sides[FLOW].odd_statuses.clear()


def status_not_settable(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.sides[SHOPIFY].set(shop.native(SHOPIFY), status=CardStatus.SUSPENDED)
    shop.sync()


def suspend_in_flow(shop: Shop) -> None:
    shop.sides[FLOW].set(shop.native(FLOW), status=CardStatus.SUSPENDED)


def flow_sets_no_status(make_shop: Callable[..., Shop]) -> Shop:
    return make_shop(rules={FLOW: SideRules(sets_status=frozenset({CardStatus.ACTIVE, CardStatus.CLOSED}))})


def closed_alone(shop: Shop) -> None:
    shop.in_step(60_000)
    shop.sides[FLOW].set(shop.native(FLOW), status=CardStatus.SUSPENDED)
    shop.sides[SHOPIFY].set(shop.native(SHOPIFY), status=CardStatus.CLOSED)
    shop.sync()


def two_dates(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.sides[FLOW].set(shop.native(FLOW), expires_on=date(2028, 1, 31))
    shop.sides[SHOPIFY].set(shop.native(SHOPIFY), expires_on=date(2029, 1, 31))
    shop.sync()


def short_number(shop: Shop) -> None:
    shop.sell(FLOW, 10_000, "1234567")
    shop.sync()


def other_currency(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.sides[SHOPIFY].currency = "SEK"
    shop.intake.make_due([1], shop.clock())
    shop.sync()


def right_currency(shop: Shop) -> None:
    shop.sides[SHOPIFY].currency = "NOK"


def unreadable(shop: Shop) -> None:
    shop.in_step(10_000)
    twist(shop)
    shop.intake.make_due([1], shop.clock())
    shop.sync()


def new_unreadable(shop: Shop) -> None:
    shop.arrive(FLOW, shop.sell(FLOW, 10_000))
    twist(shop)
    shop.sync()


def twist(shop: Shop) -> None:
    """What Flow says of any card cannot be believed."""
    unread = Unreadable("the side shows a negative balance", shop.clock())
    vars(shop.sides[FLOW])["observe"] = lambda cards, **_more: iter([unread for _ in cards])


def readable(shop: Shop) -> None:
    del vars(shop.sides[FLOW])["observe"]


def new_in_other_currency(shop: Shop) -> None:
    shop.sell(FLOW, 10_000)
    shop.sides[FLOW].currency = "SEK"
    shop.sync()


def new_in_right_currency(shop: Shop) -> None:
    shop.sides[FLOW].currency = "NOK"


def over_limit(shop: Shop) -> None:
    shop.sell(FLOW, 30_000)
    shop.sync()


def raise_limit(shop: Shop) -> None:
    _with_rules(shop, SHOPIFY, card_limit_minor=None)


def limited(make_shop: Callable[..., Shop]) -> Shop:
    return make_shop(rules={SHOPIFY: SideRules(card_limit_minor=20_000)})


def missing(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.lost = shop.sides[SHOPIFY].cards.pop(shop.native(SHOPIFY))  # type: ignore[attr-defined]
    shop.sync()


def back_again(shop: Shop) -> None:
    lost: MemoryCard = shop.lost  # type: ignore[attr-defined]
    shop.sides[SHOPIFY].cards[lost.native_id] = lost


def landed_twice(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.move(FLOW, -2_000)
    shop.sync()
    marker = shop.row("intents", kind="debit")["marker"]
    side = shop.sides[SHOPIFY]
    side._enter(side.cards[shop.native(SHOPIFY)], -2_000, marker, "late")
    shop.intake.make_due([1], shop.clock())
    shop.sync()


def mark_copied(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.in_step(5_000, OTHER)
    shop.move(FLOW, -2_000)
    shop.sync()
    marker = shop.row("intents", kind="debit")["marker"]
    side = shop.sides[SHOPIFY]
    side._enter(side.cards[shop.native(SHOPIFY, OTHER)], -1_000, marker, "by hand")
    shop.sync()


def new_card_with_mark(shop: Shop) -> None:
    shop.in_step(10_000)
    side = shop.sides[SHOPIFY]
    marker = side.cards[shop.native(SHOPIFY)].created_by
    side.cards["copy"] = MemoryCard("copy", Serial(OTHER), 3_000, created_by=marker)
    shop.matcher.match(shop.arrive(SHOPIFY, CardRef("copy", Serial(OTHER)), created_by=marker))


def other_ledger(shop: Shop) -> None:
    shop.sides[SHOPIFY].cards["copy"] = MemoryCard("copy", Serial(OTHER), 3_000, created_by="gs-other")
    shop.matcher.match(shop.arrive(SHOPIFY, CardRef("copy", Serial(OTHER)), created_by="gs-other"))


def without_mark(shop: Shop) -> None:
    shop.sides[SHOPIFY].cards["copy"].created_by = None


def doubtful(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, MemoryFault.ANSWER_LOST)
    side = shop.sides[SHOPIFY]
    side.find = lambda effect: CannotTell("it keeps no notes")  # type: ignore[method-assign]
    shop.work_until_quiet(1)
    del side.find


def refused(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.fail(SHOPIFY, *[MemoryFault.REFUSED] * 3)
    shop.move(FLOW, -2_000)
    shop.sync()


def not_writable(shop: Shop) -> None:
    """The store's card has expired by the time that what was spent online is known."""
    shop.sell(FLOW, 10_000)
    shop.sync()
    shop.sides[FLOW].set(shop.native(FLOW), expires_on=shop.link.today - timedelta(days=1))
    shop.move(SHOPIFY, -2_000)
    shop.sync()


def longer(shop: Shop) -> None:
    shop.sides[FLOW].set(shop.native(FLOW), expires_on=date(2030, 1, 1))


def flow_tells_no_expiry(make_shop: Callable[..., Shop]) -> Shop:
    """The expiry in the store is the store's own affair."""
    return make_shop(rules={FLOW: SideRules(sets_expiry=False, tells_expiry=False)})


def pool_empty(shop: Shop) -> None:
    ref = shop.sell(SHOPIFY, 5_000)
    hidden_ref = CardRef(ref.native_id)
    shop.matcher.match(shop.arrive(SHOPIFY, hidden_ref, last_chars=SERIAL[-4:], sold_here=True))


def bought_online(make_shop: Callable[..., Shop]) -> Shop:
    return make_shop(capabilities={SHOPIFY: hidden()})


def tampered(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.move(FLOW, -2_000)
    shop.by_hand("UPDATE cards SET balance_minor = 90000 WHERE id = 1")
    shop.sync()


def tampered_history(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.by_hand("DELETE FROM movements WHERE card_id = 1")
    shop.move(FLOW, -2_000)
    shop.sync()


def history_changed(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.by_hand("UPDATE intent_states SET reason = 'another' WHERE card_id = 1 AND chain_seq = 5")
    shop.sync()


def history_put_back(shop: Shop) -> None:
    shop.by_hand("UPDATE intent_states SET reason = '' WHERE card_id = 1 AND chain_seq = 5")


def card_gone(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.by_hand("DELETE FROM cards WHERE id = 1")
    shop.sync()


def put_back(shop: Shop) -> None:
    shop.by_hand("UPDATE cards SET balance_minor = 10000 WHERE id = 1")


def other_number(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.sides[FLOW].cards[shop.native(FLOW)].serial = Serial(OTHER)
    shop.intake.make_due([1], shop.clock())
    shop.sync()


def own_number(shop: Shop) -> None:
    shop.sides[FLOW].cards[shop.native(FLOW, OTHER)].serial = Serial(SERIAL)


def stopped(shop: Shop) -> None:
    shop.link = replace(shop.link, brake=Brake(BrakeLimits(card_money_minor=5_000), "NOK"))
    shop.worker.link = shop.link
    shop.matcher = shop.worker.matcher = replace(shop.matcher, link=shop.link)
    shop.sell(FLOW, 10_000)
    shop.sync()


def two_cards(shop: Shop) -> None:
    """A second card on Flow answers, when Shopify is asked, to the card that belongs to the first."""
    shop.in_step(10_000)
    other = shop.sell(FLOW, 500, OTHER)
    online = shop.sides[SHOPIFY]
    first = online.cards[shop.native(SHOPIFY)]
    online.lookup = lambda serial: online._seen(first, False)  # type: ignore[method-assign]
    shop.matcher.match(shop.arrive(FLOW, other))


def told_apart(shop: Shop) -> None:
    del shop.sides[SHOPIFY].lookup


def may_be_store_card(shop: Shop) -> None:
    """A card was made online without an order, and nobody knows whose number its code is."""
    arrival = shop.arrive(SHOPIFY, shop.sell(SHOPIFY, 10_000), sold_here=False)
    shop.matcher.match(replace(arrival, attempts=1))


def deactivated_online(shop: Shop) -> None:
    shop.sides[SHOPIFY].set(shop.native(SHOPIFY), status=CardStatus.CLOSED)


def with_numbers(make_shop: Callable[..., Shop]) -> Shop:
    shop = bought_online(make_shop)
    shop.pool.add(FLOW, [Serial("9900000000000001")])
    return shop


def half_assigned(shop: Shop) -> None:
    ref = shop.sell(SHOPIFY, 50_000)
    details = {"order": "#1007", "order_id": "7", "shipping_name": "Kari Nordmann"}
    shop.matcher.match(shop.arrive(SHOPIFY, ref, last_chars=SERIAL[-4:], details=details))
    shop.work_until_quiet(1)
    crashpoints.install(_dies_at("assign.taken"))
    with suppress(Crashed):
        assign(shop.link, 1, Serial(OTHER), "kari")
    crashpoints.install(None)
    shop.store.free_all(shop.clock())


def changed_while_assigned(shop: Shop) -> None:
    half_assigned(shop)
    shop.by_hand("UPDATE assignments SET amount_minor = 90000")
    shop.sync()


def sold_while_assigned(shop: Shop) -> None:
    half_assigned(shop)
    shop.matcher.match(shop.arrive(FLOW, shop.sell(FLOW, 700, OTHER)))
    assign(shop.link, 1, Serial(OTHER), "kari")


def _dies_at(wanted: str) -> Callable[[str], None]:
    def reached(point: str) -> None:
        if point == wanted:
            raise Crashed(point)

    return reached


def not_told(shop: Shop) -> None:
    """The message to the buyer is refused; nothing else is."""
    refused = [MemoryFault.REFUSED]
    side = shop.sides[SHOPIFY]
    side._fault = lambda effect: refused.pop() if effect.kind is EffectKind.NOTIFY and refused else None
    shop.sides[FLOW].sell(SERIAL, 10_000, contact=Contact("kari@example.com", "+4790012345"))
    shop.sync()


def tells_buyers(make_shop: Callable[..., Shop]) -> Shop:
    shop = make_shop(rules={SHOPIFY: SideRules(notifies=True)}, threads=1)
    shop.intake = replace(shop.intake, contacts_since=shop.clock())
    shop.matcher = shop.worker.matcher = replace(shop.matcher, intake=shop.intake)
    return shop


def wrote_there(shop: Shop, amount_minor: int) -> None:
    """A ledger of the same link, which is not this one, has written to the card online."""
    side = shop.sides[SHOPIFY]
    side._enter(side.cards[shop.native(SHOPIFY)], amount_minor, "gs-00000000000000000000000001", "other")
    shop.intake.make_due([1], shop.clock())


def second_ledger(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.sync()
    wrote_there(shop, -1_000)
    shop.sync()


def ledger_behind(shop: Shop) -> None:
    """The ledger was put back, and what a person had decided since is lost with it."""
    shop.in_step(10_000)
    shop.sync()
    wrote_there(shop, -7_500)
    with shop.engine.begin() as connection:
        fall_behind(connection, "it was put back", shop.clock())
    shop.sync()


def _with_rules(shop: Shop, side: str, **more: object) -> None:
    rules = shop.link.rules
    changed = replace(rules.sides[side], **more)  # type: ignore[arg-type]
    link = replace(shop.link, rules=replace(rules, sides={**rules.sides, side: changed}))
    shop.link = shop.worker.link = link
    shop.matcher = shop.worker.matcher = replace(shop.matcher, link=link)


SITUATIONS: dict[Situation, Provoked] = {
    Situation.FIRST_CONTACT: Provoked(first_contact),
    Situation.DONE_OTHERWISE: Provoked(done_otherwise),
    Situation.BOOK_REWRITTEN: Provoked(book_rewritten),
    Situation.OVERDRAFT: Provoked(overdraft),
    Situation.STATUS_DIFFERS: Provoked(status_differs),
    Situation.STATUS_UNKNOWN: Provoked(status_unknown, known_status),
    Situation.STATUS_NOT_SETTABLE: Provoked(status_not_settable, suspend_in_flow, flow_sets_no_status),
    Situation.CLOSED_ALONE: Provoked(closed_alone),
    Situation.EXPIRY: Provoked(two_dates),
    Situation.SERIAL: Provoked(short_number),
    Situation.CURRENCY: Provoked(other_currency, right_currency),
    Situation.NEW_CARD_CURRENCY: Provoked(new_in_other_currency, new_in_right_currency),
    Situation.OVER_LIMIT: Provoked(over_limit, raise_limit, limited),
    Situation.MISSING: Provoked(missing, back_again),
    Situation.UNREADABLE: Provoked(unreadable, readable),
    Situation.NEW_CARD_UNREADABLE: Provoked(new_unreadable, readable),
    Situation.LANDED_TWICE: Provoked(landed_twice),
    Situation.MARK_COPIED: Provoked(mark_copied),
    Situation.NEW_CARD_WITH_MARK: Provoked(new_card_with_mark, without_mark),
    Situation.OTHER_LEDGER: Provoked(other_ledger),
    Situation.IN_DOUBT: Provoked(doubtful),
    Situation.REFUSED: Provoked(refused),
    Situation.NOT_WRITABLE: Provoked(not_writable, longer, flow_tells_no_expiry),
    Situation.POOL_EMPTY: Provoked(pool_empty, shop=bought_online),
    Situation.OTHER_CARD: Provoked(other_number, own_number),
    Situation.TAMPERED: Provoked(tampered, put_back),
    Situation.HISTORY_CHANGED: Provoked(history_changed, history_put_back),
    Situation.CARD_GONE: Provoked(card_gone),
    Situation.BRAKE: Provoked(stopped),
    Situation.TWO_CARDS: Provoked(two_cards, told_apart),
    Situation.MAY_BE_STORE_CARD: Provoked(may_be_store_card, deactivated_online, with_numbers),
    Situation.ASSIGNED_TWICE: Provoked(sold_while_assigned, shop=with_numbers),
    Situation.ASSIGNMENT_CHANGED: Provoked(changed_while_assigned, shop=with_numbers),
    Situation.NOTIFICATION: Provoked(not_told, shop=tells_buyers),
    Situation.SECOND_LEDGER: Provoked(second_ledger),
    Situation.LEDGER_BEHIND: Provoked(ledger_behind),
}


def test_given_the_situations_that_there_are_then_each_is_provoked_here() -> None:
    assert set(SITUATIONS) == set(OFFERED) == set(Situation)


def the_case(shop: Shop, situation: Situation) -> cases.Shown:
    for one in cases.list_cases(shop.link):
        if causes.situation_of(ConflictKind(one.conflict.kind), one.conflict.cause) is situation:
            found = cases.show_case(shop.link, one.conflict.id)
            assert found is not None
            return found
    raise AssertionError(f"{situation} did not come about: {list(cases.list_cases(shop.link))}")


def said(option: Option) -> Resolution:
    """The option with what it needs besides."""
    amount = 7_000 if option.needs == "amount" else None
    card = CardRef(None, Serial(FREE)) if option.needs == "card" else None
    return Resolution(option.action, "kari", "I looked", option.side, amount, card)


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_what_is_told_names_the_card_the_place_and_the_deed(
    make_shop: Callable[..., Shop], situation: Situation
) -> None:
    provoked = SITUATIONS[situation]
    shop = provoked.shop(make_shop)
    provoked.make(shop)

    shown = the_case(shop, situation)

    advice = shown.advice
    assert advice is not None
    of_the_link = situation in OF_THE_LINK
    words = f"{shown.listed.what} {advice.deed}"
    assert of_the_link or "••••" in words, words
    assert shown.listed.next_step == advice.deed.strip()
    assert advice.deed.endswith(".")
    assert advice.options
    assert all(option.words for option in advice.options)
    told = f"{words} {advice.why} {advice.done} {[o.words for o in advice.options]}"
    assert "_minor" not in told
    assert "None" not in told
    for serial in (SERIAL, OTHER, "1234567"):
        assert serial not in told


#: What concerns more than one card.
OF_THE_LINK = (Situation.BRAKE, Situation.POOL_EMPTY, Situation.SECOND_LEDGER, Situation.LEDGER_BEHIND)

#: What can be said in each situation, with the words of the command.
OFFERED: dict[Situation, list[str]] = {
    Situation.FIRST_CONTACT: ["accept --side flow", "accept --side shopify", "value --amount AMOUNT"],
    Situation.BOOK_REWRITTEN: ["acknowledge"],
    Situation.DONE_OTHERWISE: ["accept --side flow", "accept --side shopify", "value --amount AMOUNT"],
    Situation.OVERDRAFT: ["acknowledge", "write_off"],
    Situation.STATUS_DIFFERS: ["acknowledge"],
    Situation.STATUS_UNKNOWN: ["retry", "ignore"],
    Situation.STATUS_NOT_SETTABLE: ["retry", "accept --side flow", "ignore"],
    Situation.CLOSED_ALONE: ["ignore", "accept --side shopify"],
    Situation.EXPIRY: ["acknowledge", "accept --side shopify"],
    Situation.SERIAL: ["link --card NUMBER", "ignore"],
    Situation.CURRENCY: ["retry", "ignore"],
    Situation.NEW_CARD_CURRENCY: ["ignore", "retry"],
    Situation.OVER_LIMIT: ["retry", "value --amount AMOUNT", "ignore"],
    Situation.MISSING: ["link --card NUMBER", "retry", "ignore"],
    Situation.UNREADABLE: ["retry", "ignore"],
    Situation.NEW_CARD_UNREADABLE: ["retry", "ignore"],
    Situation.LANDED_TWICE: ["acknowledge"],
    Situation.MARK_COPIED: ["ignore", "retry"],
    Situation.NEW_CARD_WITH_MARK: ["retry", "ignore"],
    Situation.OTHER_LEDGER: ["ignore"],
    Situation.IN_DOUBT: ["landed", "not_landed"],
    Situation.REFUSED: ["retry", "accept --side shopify", "value --amount AMOUNT", "ignore"],
    Situation.NOT_WRITABLE: ["retry", "accept --side flow", "ignore"],
    Situation.POOL_EMPTY: ["ignore"],
    Situation.OTHER_CARD: ["link --card NUMBER", "retry", "ignore"],
    Situation.TAMPERED: ["rebuild", "value --amount AMOUNT", "retry"],
    Situation.HISTORY_CHANGED: ["ignore", "retry"],
    Situation.CARD_GONE: ["ignore"],
    Situation.BRAKE: ["resume"],
    Situation.TWO_CARDS: ["retry", "ignore"],
    Situation.MAY_BE_STORE_CARD: ["acknowledge", "retry", "ignore"],
    Situation.ASSIGNED_TWICE: ["ignore"],
    Situation.ASSIGNMENT_CHANGED: ["ignore"],
    Situation.NOTIFICATION: ["acknowledge", "retry", "ignore"],
    Situation.SECOND_LEDGER: ["resume"],
    Situation.LEDGER_BEHIND: ["ignore"],
}

PAIRS = [(situation, command) for situation, offered in OFFERED.items() for command in offered]


@pytest.mark.parametrize(("situation", "command"), PAIRS, ids=[f"{s}: {c}" for s, c in PAIRS])
def test_every_decision_that_is_offered_settles_it_and_it_does_not_come_back(
    make_shop: Callable[..., Shop], situation: Situation, command: str
) -> None:
    provoked = SITUATIONS[situation]
    shop = provoked.shop(make_shop)
    provoked.make(shop)
    shown = the_case(shop, situation)
    assert shown.advice is not None
    offered = {option.command: option for option in shown.advice.options}
    assert list(offered) == OFFERED[situation]
    option = offered[command]
    if option.action is Action.RETRY:
        provoked.mend(shop)

    resolve(shop.link, shown.conflict.id, said(option))
    shop.clock.advance(700)
    shop.sync()

    again = [c.conflict.cause for c in cases.list_cases(shop.link)]
    assert shown.conflict.cause not in again


def test_given_a_history_that_was_changed_then_only_a_persons_value_is_offered(shop: Shop) -> None:
    tampered_history(shop)
    shown = the_case(shop, Situation.TAMPERED)
    assert shown.advice is not None
    assert [option.command for option in shown.advice.options] == ["value --amount AMOUNT", "retry"]

    resolve(
        shop.link, shown.conflict.id, Resolution(Action.VALUE, "kari", "the receipts say so", None, 7_000)
    )
    shop.sync()

    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}


def test_given_a_side_that_gave_the_card_another_number_then_link_goes_on_with_it(shop: Shop) -> None:
    other_number(shop)
    shown = the_case(shop, Situation.OTHER_CARD)

    resolve(
        shop.link,
        shown.conflict.id,
        Resolution(Action.LINK, "kari", "it was renumbered", card=CardRef(None, Serial(OTHER))),
    )
    shop.sides[FLOW].move(shop.native(FLOW, OTHER), -1_000)
    shop.sync()

    assert [c.balance_minor for side in shop.sides.values() for c in side.cards.values()] == [9_000, 9_000]
    assert list(cases.list_cases(shop.link)) == []
