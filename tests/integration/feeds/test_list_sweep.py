"""The sweep by a side's own list: what it finds, what it leaves alone, and that a crash loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import update

from connectors.api.bulk import ListedCards, ListedLine, ListState
from connectors.api.card import Absent, CardRef, Seen
from connectors.api.errors import InDoubt, NotSent
from connectors.memory import MemorySide
from sync.feeds.list_sweep import LIST_SECONDS, ListSweep
from sync.feeds.reader import Swept
from sync.ledger.database import tables
from sync.reconcile.brakes import EMPTY_SIDE_CARDS_MIN, BrakeTripped
from tests.integration.shop import FLOW, SHOPIFY, Shop
from tests.support import Crashed

OTHER = "5000600070008000"
BATCH = 500


def line_of(seen: Seen, bought: bool) -> ListedLine:
    assert seen.status is not None
    expires_on = None if seen.expires_on is None else seen.expires_on.isoformat()
    return ListedLine(
        seen.native_id,
        seen.balance_minor,
        seen.currency,
        seen.status.value,
        expires_on,
        seen.last_chars,
        seen.created_by,
        bought,
    )


@dataclass
class Lists:
    """Lists of a side in memory, taken at the moment that they are ordered."""

    side: MemorySide
    state: ListState = ListState.READY
    made: dict[str, list[ListedLine]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    #: What was skipped in each reading.
    skipped: list[int] = field(default_factory=list)
    bought: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def order_list(self, tag: str) -> str:
        operation = f"list {len(self.made) + 1}"
        refs = [CardRef(card.native_id) for card in self.side.cards.values()]
        found = [one for one in self.side.observe(refs) if not isinstance(one, Absent)]
        self.made[operation] = [
            line_of(one, one.native_id in self.bought) for one in found if isinstance(one, Seen)
        ]
        self.tags[tag] = operation
        return operation

    def find_list(self, tag: str) -> str | None:
        return self.tags.get(tag)

    def list_state(self, operation: str) -> ListState:
        return self.state

    def read_list(self, operation: str, skip: int = 0) -> Iterator[ListedCards]:
        self.skipped.append(skip)
        lines = self.made[operation][skip:]
        return (ListedCards.of(lines[start : start + BATCH]) for start in range(0, len(lines), BATCH))

    def details_of(self, native_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        return {one: self.bought[one] for one in native_ids}


@pytest.fixture
def lists(shop: Shop) -> Lists:
    return Lists(shop.sides[SHOPIFY])


@pytest.fixture
def sweep(shop: Shop, lists: Lists) -> ListSweep:
    return ListSweep(shop.link, shop.intake, SHOPIFY, lists, from_cards=1)


def step(sweep: ListSweep) -> Swept:
    return sweep.step(lambda: False)


def spend_unseen(shop: Shop, amount_minor: int, serial: str) -> None:
    """A movement that no feed tells of."""
    shop.sides[SHOPIFY].cards[shop.native(SHOPIFY, serial)].balance_minor -= amount_minor


def test_given_a_change_that_no_feed_told_of_then_only_its_card_is_due_for_that_side(
    shop: Shop, sweep: ListSweep
) -> None:
    first, second = shop.in_step(), shop.in_step(4_000, OTHER)
    spend_unseen(shop, 1_000, OTHER)

    assert step(sweep) == Swept(looked_at=2, differ=1, absent=0, finished=True)

    assert shop.row("cards", id=first)["due_at"] is None
    assert shop.row("cards", id=second)["due_for"] == SHOPIFY
    shop.work_until_quiet(second)
    assert shop.shown(OTHER) == {FLOW: 3_000, SHOPIFY: 3_000}


def test_given_a_list_that_is_older_than_a_change_then_the_card_is_looked_at_in_vain(
    shop: Shop, sweep: ListSweep, lists: Lists
) -> None:
    card_id = shop.in_step()
    lists.state = ListState.GATHERING
    step(sweep)
    shop.move(SHOPIFY, -2_000)
    shop.sync()
    lists.state = ListState.READY
    movements = shop.rows("movements")

    assert step(sweep).differ == 1

    shop.work_until_quiet(card_id)
    assert shop.rows("movements") == movements
    assert shop.shown() == {FLOW: 8_000, SHOPIFY: 8_000}


def test_given_a_list_that_is_being_gathered_then_it_is_waited_for_and_ordered_once(
    shop: Shop, sweep: ListSweep, lists: Lists
) -> None:
    shop.in_step()
    lists.state = ListState.GATHERING
    assert [step(sweep).finished for _ in range(3)] == [False] * 3
    lists.state = ListState.READY

    assert step(sweep).finished
    assert list(lists.made) == ["list 1"]


def test_given_a_list_was_read_then_the_next_is_due_after_the_interval_and_not_for_few_cards(
    shop: Shop, sweep: ListSweep, lists: Lists
) -> None:
    assert not sweep.is_due()  # There is no card yet.
    shop.in_step()
    assert sweep.is_due()
    step(sweep)
    assert not sweep.is_due()
    shop.clock.advance(LIST_SECONDS)
    assert sweep.is_due()
    assert not ListSweep(shop.link, shop.intake, SHOPIFY, lists, from_cards=2).is_due()


@pytest.mark.parametrize("point", ["list.before", "list.ordered"])
def test_given_a_crash_around_the_order_then_the_same_list_is_taken_up(
    shop: Shop, sweep: ListSweep, lists: Lists, crash_at: Callable[..., None], point: str
) -> None:
    shop.in_step()
    crash_at(point)
    with pytest.raises(Crashed):
        step(sweep)

    assert step(sweep).finished
    assert list(lists.made) == ["list 1"]


def test_given_a_crash_in_the_middle_then_it_goes_on_from_the_line_that_was_reached(
    shop: Shop, sweep: ListSweep, lists: Lists, crash_at: Callable[..., None]
) -> None:
    card_id = shop.in_step()
    spend_unseen(shop, 1_000, "1000200030004000")
    lists.order_list("seed")
    (row,) = lists.made.pop("list 1")
    unchanged = ListedLine("elsewhere", 0, "NOK", "active", None, "", None, False)
    shop.sides[SHOPIFY].cards.clear()
    crash_at("list.batch")
    lists.state = ListState.GATHERING
    step(sweep)
    lists.made["list 1"] = [unchanged] * BATCH + [row]
    lists.state = ListState.READY
    with pytest.raises(Crashed):
        step(sweep)
    assert shop.row("cards", id=card_id)["due_at"] is None

    assert step(sweep) == Swept(looked_at=1, differ=1, absent=0, finished=True)

    assert lists.skipped == [0, BATCH]
    assert shop.row("cards", id=card_id)["due_for"] == SHOPIFY


def test_given_a_list_in_an_order_of_its_own_then_what_differs_is_unknown_or_lacks_is_told_apart(
    shop: Shop, sweep: ListSweep, lists: Lists
) -> None:
    serials = [f"100020003000400{n}" for n in range(4)]
    ids = [shop.in_step(1_000, serial) for serial in serials]
    spend_unseen(shop, 100, serials[2])
    lists.state = ListState.GATHERING
    step(sweep)
    rows = {row.native_id: row for row in lists.made["list 1"]}
    # Of another length, and in between.
    unknown = ListedLine("0", 5_000, "NOK", "active", None, "9999", None, False)
    listed = [shop.native(SHOPIFY, serials[n]) for n in (2, 0, 3)]
    lists.made["list 1"] = [rows[listed[0]], unknown, rows[listed[1]], rows[listed[2]], rows[listed[1]]]
    lists.state = ListState.READY

    assert step(sweep) == Swept(looked_at=5, differ=2, absent=1, finished=True)

    due = [card["id"] for card in shop.rows("cards") if card["due_at"]]
    assert due == [ids[1], ids[2]]
    (arrival,) = shop.intake.due_arrivals(shop.clock(), 10)
    assert arrival.card.native_id == "0"


def test_given_a_card_that_is_not_made_yet_then_the_list_that_shows_it_hides_no_lacking_one(
    shop: Shop, sweep: ListSweep, lists: Lists
) -> None:
    ids = [shop.in_step(1_000, f"100020003000400{n}") for n in range(2)]
    table = tables.presences
    with shop.engine.begin() as connection:
        unborn = table.c.card_id == ids[0], table.c.side == SHOPIFY
        connection.execute(update(table).where(*unborn).values(born=False))
    lists.state = ListState.GATHERING
    step(sweep)
    lists.made["list 1"] = [lists.made["list 1"][0]]
    lists.state = ListState.READY

    assert step(sweep).absent == 1


def test_given_it_is_told_to_stop_then_it_ends_between_two_batches_and_goes_on_later(
    shop: Shop, sweep: ListSweep
) -> None:
    shop.in_step()
    assert sweep.step(lambda: True) == Swept(0, 0, 0, False)
    assert step(sweep).finished


def test_given_a_card_that_the_hub_does_not_know_then_it_arrives_with_what_its_order_tells(
    shop: Shop, sweep: ListSweep, lists: Lists
) -> None:
    shop.in_step()
    ref = shop.sell(SHOPIFY, 5_000, OTHER)
    lists.bought = {ref.native_id or "": {"order": "#1007", "shipping_name": "Kari"}}

    assert step(sweep).differ == 0

    (arrival,) = shop.intake.due_arrivals(shop.clock(), 10)
    assert (arrival.card.native_id, arrival.sold_here) == (ref.native_id, True)
    assert arrival.details == lists.bought[ref.native_id or ""]


def test_given_a_card_that_the_list_lacks_then_it_is_due(shop: Shop, sweep: ListSweep) -> None:
    for n in range(EMPTY_SIDE_CARDS_MIN):
        shop.in_step(1_000, f"100020003000400{n}")
    del shop.sides[SHOPIFY].cards[shop.native(SHOPIFY, "1000200030004003")]

    assert step(sweep).absent == 1

    assert [card["id"] for card in shop.rows("cards") if card["due_at"]] == [4]


def test_given_a_list_that_lacks_most_cards_then_the_link_stops_and_nothing_is_due(
    shop: Shop, sweep: ListSweep
) -> None:
    for n in range(EMPTY_SIDE_CARDS_MIN):
        shop.in_step(1_000, f"100020003000400{n}")
    shop.sides[SHOPIFY].cards.clear()

    with pytest.raises(BrakeTripped, match="lacks 10 of 10 cards"):
        step(sweep)

    assert [card for card in shop.rows("cards") if card["due_at"]] == []
    assert not sweep.is_due()  # The next list tells whether the cards are back.


def test_given_a_list_that_the_side_gave_up_then_it_is_said_and_another_is_ordered_later(
    shop: Shop, sweep: ListSweep, lists: Lists
) -> None:
    shop.in_step()
    lists.state = ListState.LOST
    with pytest.raises(InDoubt, match="gave up its list"):
        step(sweep)
    assert not sweep.is_due()

    lists.state = ListState.READY
    shop.clock.advance(LIST_SECONDS)
    assert step(sweep).finished
    assert len(lists.made) == 2


def test_given_a_side_with_many_cards_then_a_pass_sweeps_by_its_list(
    shop: Shop, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.in_step()
    shop.sync()
    spend_unseen(shop, 1_000, "1000200030004000")
    shop.worker.catalogues = {SHOPIFY: lists}
    monkeypatch.setattr(ListSweep, "is_worth_it", lambda self: True)

    report = shop.sync()

    assert (report.errors, list(lists.made)) == ([], ["list 1"])
    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 9_000}


def test_given_a_list_that_cannot_be_had_then_a_pass_says_so_and_ends(
    shop: Shop, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.in_step()
    shop.worker.catalogues = {SHOPIFY: lists}
    monkeypatch.setattr(ListSweep, "is_worth_it", lambda self: True)
    lists.state = ListState.GATHERING
    assert shop.sync().errors == ["shopify: its list of cards is not ready; the next pass goes on with it."]

    def fail(_: str) -> ListState:
        raise NotSent("no connection")

    monkeypatch.setattr(lists, "list_state", fail)
    assert shop.sync().errors == ["shopify: no connection."]
