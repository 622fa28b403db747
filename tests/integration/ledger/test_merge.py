"""Two cards of the hub are one real card: `link` makes them one, whole or not at all, and the proof holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from sqlalchemy import Engine

from cli.output import Output
from cli.statement import show_statement
from connectors.api.card import CardRef
from connectors.memory import CAPABILITIES, MemoryFault
from sync.decisions import resolutions
from sync.decisions.resolutions import Action
from sync.ledger.database.engine import open_engine
from sync.ledger.secrets.vault import Vault
from sync.model import Card, Decision, SideRules
from sync.reconcile.work import Work
from sync.support import claiming
from sync.support.audit import audit
from sync.support.finding import find
from sync.support.settle import NotResolved, Resolution, Resolved, resolve
from sync.support.statement import statement
from tests.integration.shop import FLOW, SHOPIFY, Shop
from tests.support import Clock, Crashed

#: Too short for the shop, so that support makes a card there by hand.
SHORT, BY_HAND = "1234567", "5000600070008000"
KEPT, ENDED = 1, 2
#: Cards that are made online stay there, which leaves the hub with two cards.
ONE_WAY = {FLOW: SideRules(creates=False)}


@pytest.fixture
def shop(engine: Engine, vault: Vault, clock: Clock) -> Shop:
    return Shop(engine, vault, clock, rules=ONE_WAY)


def two_cards(shop: Shop, in_store: int = 10_000, online: int = 10_000) -> Shop:
    shop.sell(FLOW, in_store, SHORT)
    shop.sync()
    shop.sell(SHOPIFY, online, BY_HAND)
    shop.sync()
    if [(c["id"], c["balance_minor"]) for c in shop.rows("cards")] != [(KEPT, in_store), (ENDED, online)]:
        raise AssertionError("the hub has not met two cards")
    return shop


def correct(shop: Shop, worth: int) -> None:
    """A person says what the card that was made by hand is worth; it is to be written there."""
    work, card = Work(shop.link, shop.claim(ENDED)), shop.card(ENDED)
    work.commit(
        card, resolutions.set_value(card, worth, shop.link.rules, shop.clock().date(), "a correction")
    )
    shop.store.release(work.lease, shop.clock())


def native(shop: Shop) -> str:
    return shop.native(SHOPIFY, BY_HAND)


def link(shop: Shop, conflict: str = "serial", *, preview: bool = False) -> Resolved:
    ref = CardRef(native(shop))
    said = Resolution(Action.LINK, "kari", "made by hand for the customer", card=ref)
    return resolve(shop.link, shop.row("conflicts", kind=conflict)["id"], said, preview=preview)


def proved(shop: Shop) -> bool:
    proof = audit(shop.engine, shop.vault, shop.clock, shop.sides)
    found = list(proof)
    totals = proof.totals["NOK"]
    return found == [] and proof.exit_code == 0 and totals.sum_minor == totals.hub_minor


def both_shown(shop: Shop) -> dict[str, int]:
    return shop.shown(SHORT) | shop.shown(BY_HAND)


def test_given_equal_balances_then_they_are_one_card_and_what_is_spent_counts_once(shop: Shop) -> None:
    two_cards(shop)

    done = link(shop)
    shop.sync()
    shop.move(FLOW, -1_000, SHORT)
    shop.sync()
    shop.move(SHOPIFY, -500, BY_HAND)
    shop.sync()

    assert (done.before_minor, done.after_minor, done.planned) == (10_000, 10_000, ())
    assert both_shown(shop) == {FLOW: 8_500, SHOPIFY: 8_500}
    assert [(c["balance_minor"], c["status"]) for c in shop.rows("cards")] == [
        (8_500, "active"),
        (0, "closed"),
    ]
    assert [c for c in shop.rows("conflicts") if c["closed_at"] is None] == []
    assert proved(shop)


def test_given_unequal_balances_then_nothing_moves_until_a_person_says_what_it_is_worth(shop: Shop) -> None:
    two_cards(shop, 10_000, 7_000)

    link(shop)
    shop.sync()
    held = both_shown(shop)
    question = shop.row("conflicts", kind="first_contact")["id"]
    resolve(shop.link, question, Resolution(Action.ACCEPT, "kari", "spent online", side=SHOPIFY))
    shop.sync()

    assert held == {FLOW: 10_000, SHOPIFY: 7_000}
    assert both_shown(shop) == {FLOW: 7_000, SHOPIFY: 7_000}
    assert proved(shop)


def test_given_a_merge_then_each_card_names_the_other_and_nothing_is_rewritten(shop: Shop) -> None:
    before = two_cards(shop).rows("movements")

    link(shop)

    after = shop.rows("movements")
    assert all(row in after for row in before)
    evidence = [(row["card_id"], key, value) for row in after for key, value in row["evidence"].items()]
    assert {(KEPT, "merged_from", ENDED), (ENDED, "merged_into", KEPT)} <= set(evidence)


def test_given_a_merge_then_people_see_where_each_card_went(shop: Shop) -> None:
    two_cards(shop)
    link(shop)
    output = Output(out=Console(file=StringIO(), width=200))

    for card_id in (KEPT, ENDED):
        found = statement(shop.link, card_id, {})
        assert found is not None
        show_statement(found, shop.link.timezone, output)

    shown = output.out.file.getvalue()  # type: ignore[attr-defined]
    assert "found to be the same card as card 2, which has ended" in shown
    assert "-100.00 NOK, balance 0.00 NOK: found to be the same card as card 1, which goes on" in shown
    assert ("not there" in shown, "not there yet" in shown) == (True, False)


def test_given_the_merge_then_a_second_run_writes_nothing_and_meets_no_card(shop: Shop) -> None:
    two_cards(shop)
    link(shop)
    shop.sync()
    before = shop.everything()["movements"], [len(side.writes) for side in shop.sides.values()]

    shop.sync()

    assert (shop.everything()["movements"], [len(side.writes) for side in shop.sides.values()]) == before
    assert len(shop.rows("cards")) == 2


def test_given_twice_or_as_a_preview_then_nothing_more_happens(shop: Shop) -> None:
    two_cards(shop)
    before = shop.everything()["presences"], shop.everything()["movements"]

    told = link(shop, preview=True)
    previewed = shop.everything()["presences"], shop.everything()["movements"]
    link(shop)
    after = shop.everything()

    assert (told.preview, told.after_minor, previewed) == (True, 10_000, before)
    assert link(shop) == Resolved(already_closed=True)
    assert shop.everything() == after


def test_given_the_order_that_it_was_bought_with_then_that_leads_to_the_card_that_goes_on(shop: Shop) -> None:
    shop.sell(FLOW, 10_000, SHORT)
    shop.sync()
    ref = shop.sell(SHOPIFY, 10_000, BY_HAND)
    details = {"order": "#1007", "order_id": "gid://shopify/Order/1007", "shipping_name": "Kari Nordmann"}
    shop.matcher.match(shop.arrive(SHOPIFY, ref, details=details))

    link(shop)

    assert [(row["card_id"], row["order_name"]) for row in shop.rows("origins")] == [(KEPT, "#1007")]
    assert {row["card_id"] for row in shop.rows("origin_names")} == {KEPT}
    assert [hit.card.id for hit in find(shop.link, "Nordmann Kari").hits] == [KEPT]


def test_given_what_giftsync_wrote_for_the_other_card_then_nobody_takes_it_for_a_copied_mark(
    shop: Shop,
) -> None:
    two_cards(shop, 10_000, 10_500)
    correct(shop, 10_000)
    shop.sync()

    link(shop)
    shop.move(SHOPIFY, -700, BY_HAND)
    shop.sync()

    assert [entry.marker is None for entry in shop.sides[SHOPIFY].cards[native(shop)].entries] == [
        False,
        True,
    ]
    assert shop.rows("conflicts", kind="duplicate") == []
    (paid,) = [m["evidence"] for m in shop.rows("movements", card_id=KEPT, kind="observed")]
    assert (paid["explained_minor"], paid["unexplained_minor"]) == (-700, 0)
    assert both_shown(shop) == {FLOW: 9_300, SHOPIFY: 9_300}


# --- When it is refused -------------------------------------------------------------------------------------


def put(shop: Shop, card_id: int, change: Callable[[Card], Card]) -> None:
    """The worker's last commit left the card so."""
    lease, card = shop.claim(card_id), shop.card(card_id)
    shop.store.commit(lease, card, Decision(change(card)), shop.clock())
    shop.store.release(lease, None)


def waits_for_a_person(shop: Shop) -> None:
    put(shop, KEPT, lambda card: replace(card, held=True))


def moved_just_now(shop: Shop) -> None:
    shop.move(SHOPIFY, -300, BY_HAND)


def taken_by_the_worker(shop: Shop) -> None:
    shop.claim(ENDED, "worker 2")


def waits_for_a_look(shop: Shop) -> None:
    put(
        shop,
        ENDED,
        lambda card: replace(card, presences=tuple(replace(p, stale=True) for p in card.presences)),
    )


@pytest.mark.parametrize(
    ("hindrance", "words"),
    [
        (waits_for_a_person, "first_contact"),
        (moved_just_now, "has just changed on shopify"),
        (taken_by_the_worker, "the worker has card 2 right now"),
        (waits_for_a_look, "still to be done for it on shopify"),
    ],
)
def test_given_a_hindrance_then_it_says_why_and_nothing_changes(
    shop: Shop, hindrance: Callable[[Shop], None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "CLAIM_SECONDS", 0.0)
    hindrance(two_cards(shop))
    before = shop.everything()["presences"], shop.everything()["movements"]

    with pytest.raises(NotResolved, match=words):
        link(shop)

    assert (shop.everything()["presences"], shop.everything()["movements"]) == before


def test_given_a_request_that_was_in_doubt_there_then_it_is_refused(shop: Shop) -> None:
    two_cards(shop)
    correct(shop, 9_000)
    shop.fail(SHOPIFY, MemoryFault.DROPPED)
    shop.sync()

    with pytest.raises(NotResolved, match="was once in doubt"):
        link(shop)


# --- Whole or not at all ------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["merge.before", "merge.inside", "merge.written", "merge.after"])
def test_given_the_process_dies_then_it_was_done_whole_or_not_at_all(
    shop: Shop, crash_at: Callable[..., None], point: str
) -> None:
    two_cards(shop)
    crash_at(point)

    with pytest.raises(Crashed):
        link(shop)
    shop.store.free_all(shop.clock())

    assert proved(shop)
    assert link(shop).already_closed is (point == "merge.after")
    shop.sync()
    assert (both_shown(shop), shop.card(KEPT).in_step) == ({FLOW: 10_000, SHOPIFY: 10_000}, True)
    assert proved(shop)


def test_given_the_lease_on_either_is_lost_before_the_end_then_nothing_has_changed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_cards(shop)
    before = shop.everything()["presences"], shop.everything()["movements"]
    real = shop.sides[SHOPIFY].observe

    def slow(*args: Any, **more: Any) -> object:
        if more.get("entries"):
            shop.clock.advance(300)
            shop.claim(KEPT, "worker 2")
        return real(*args, **more)

    monkeypatch.setattr(shop.sides[SHOPIFY], "observe", slow)

    with pytest.raises(NotResolved, match="right now"):
        link(shop)

    assert (shop.everything()["presences"], shop.everything()["movements"]) == before


def test_given_a_side_that_is_read_card_by_card_then_only_the_card_that_goes_on_is_looked_at(
    engine: Engine, vault: Vault, clock: Clock
) -> None:
    one_by_one = {SHOPIFY: replace(CAPABILITIES, read_batch_max=1)}
    shop = two_cards(Shop(engine, vault, clock, rules=ONE_WAY, capabilities=one_by_one))
    ended = shop.row("presences", card_id=ENDED)["id"]
    queued = [row["presence_id"] for row in shop.rows("polls")]

    link(shop)
    shop.sync()
    shop.sides[SHOPIFY].move(native(shop), -400)
    shop.sync()

    kept = shop.row("presences", card_id=KEPT, side=SHOPIFY)["id"]
    assert (queued, [row["presence_id"] for row in shop.rows("polls")]) == ([ended], [kept])
    assert both_shown(shop) == {FLOW: 9_600, SHOPIFY: 9_600}


# --- Any history --------------------------------------------------------------------------------------------

MOVES = st.lists(st.tuples(st.sampled_from([FLOW, SHOPIFY]), st.integers(-3_000, 2_000)), max_size=6)
CRASHES = st.sampled_from([None, "merge.before", "merge.inside", "merge.written", "merge.after"])


@pytest.fixture
def new_shop(
    _migrated_file: Path, vault: Vault, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Shop]:
    """Another shop with an empty ledger each time."""

    def make() -> Shop:
        path = tmp_path_factory.mktemp("merge") / "ledger.db"
        path.write_bytes(_migrated_file.read_bytes())
        return Shop(open_engine(f"sqlite:///{path}"), vault, Clock(), rules=ONE_WAY, threads=1)

    return make


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=MOVES, after=MOVES, worth=st.integers(0, 20_000), crash=CRASHES)
def test_given_any_history_then_one_card_is_left_whose_balance_is_what_both_sides_show(
    before: list[tuple[str, int]],
    after: list[tuple[str, int]],
    worth: int,
    crash: str | None,
    new_shop: Callable[[], Shop],
    crash_at: Callable[..., None],
) -> None:
    shop = new_shop()
    try:
        two_cards(shop)
        moved = customers(shop, before)
        shop.sync()
        crash_at(crash or "none")
        try:
            link(shop)
        except Crashed:
            shop.store.free_all(shop.clock())
            link(shop)
        for question in shop.rows("conflicts", kind="first_contact"):
            # More than a side shows was never on the card, and is refused.
            worth = min(worth, max(both_shown(shop).values()))
            said = Resolution(Action.VALUE, "kari", "I looked", value_minor=worth)
            resolve(shop.link, question["id"], said)
        agreed = shop.card(KEPT).balance_minor
        shop.sync()
        moved_later = customers(shop, after)
        shop.sync()

        equal = moved[FLOW] == moved[SHOPIFY]
        written_off = sum(row["amount_minor"] for row in shop.rows("movements", kind="write_off"))
        held = shop.card(KEPT).balance_minor
        assert agreed == (10_000 + moved[FLOW] if equal else worth)
        assert held == agreed + sum(moved_later.values()) + written_off
        assert both_shown(shop) == {FLOW: held, SHOPIFY: held}
        assert (shop.card(ENDED).balance_minor, len(shop.rows("cards"))) == (0, 2)
        assert proved(shop)
    finally:
        shop.engine.dispose()


def customers(shop: Shop, moves: list[tuple[str, int]]) -> dict[str, int]:
    """What customers moved on each side; a till may refuse."""
    moved = {FLOW: 0, SHOPIFY: 0}
    for side, minor in moves:
        if minor and shop.move(side, minor, SHORT if side == FLOW else BY_HAND):
            moved[side] += minor
    return moved
