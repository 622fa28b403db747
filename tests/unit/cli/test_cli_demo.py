"""The demo's own arithmetic: a proof that cannot fail proves nothing."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Engine

from cli.background import Background
from cli.demo.control import TrueCard
from cli.demo.director import Director, Outcome
from cli.demo.proof import Proof, proof_json, prove
from cli.demo.tally import OPENING, Entry, Tally
from cli.demo.truth import Ends, Group, Truth, read_truth
from cli.demo.venue import Calls
from cli.demo.wallet import Wallet
from cli.demo.watch import Watch

SIDES = ("flow", "shopify")


@dataclass
class FakeControl:
    """A side with the cards that a test puts there."""

    there: list[TrueCard] = field(default_factory=list)

    def cards(self) -> list[TrueCard]:
        return list(self.there)


def flow_card(number: str, minor: int, *, issued: bool = True) -> TrueCard:
    return TrueCard(f"f-{number}", number, minor, issued)


def shopify_card(code: str, minor: int) -> TrueCard:
    return TrueCard(f"s-{code}", code, minor)


def truth_of(
    flow: list[TrueCard], shopify: list[TrueCard], links: list[Ends] | None = None, **more: list[TrueCard]
) -> Truth:
    sides = {"flow": flow, "shopify": shopify, **more}
    return read_truth({side: cast(Calls, FakeControl(cards)) for side, cards in sides.items()}, links or [])


def group(flow: TrueCard, shopify: TrueCard) -> Group:
    return Group({"flow": flow, "shopify": shopify}, ("flow", "shopify"))


class TestTruth:
    def test_cards_are_paired_by_number_and_by_link(self) -> None:
        truth = truth_of(
            [flow_card("1", 100), flow_card("9", 50)],
            [shopify_card("1", 100), shopify_card("abc", 40)],
            [[("shopify", "s-abc"), ("flow", "f-9")]],
        )

        assert [{side: card.serial for side, card in one.cards.items()} for one in truth.groups] == [
            {"flow": "1", "shopify": "1"},
            {"shopify": "abc", "flow": "9"},
        ]
        assert [one.agrees for one in truth.groups] == [True, False]
        assert truth.totals_minor == {"flow": 150, "shopify": 140}

    def test_a_link_joins_three_sides_whatever_their_numbers(self) -> None:
        truth = truth_of(
            [flow_card("9", 40)],
            [shopify_card("abc", 40)],
            [[("flow", "f-9"), ("shopify", "s-abc"), ("till", "t-7")]],
            till=[TrueCard("t-7", "7", 40)],
        )

        assert [one.agrees for one in truth.groups] == [True]
        assert set(truth.groups[0].cards) == {"flow", "shopify", "till"}

    def test_a_link_of_two_cards_on_one_side_does_not_hide_either(self) -> None:
        truth = truth_of(
            [flow_card("1", 50), flow_card("2", 50)],
            [shopify_card("1", 50)],
            [[("shopify", "s-1"), ("flow", "f-2")]],
        )

        assert len(truth.groups) == 2
        assert not truth.in_step

    def test_a_card_with_money_on_one_side_only_does_not_agree(self) -> None:
        truth = truth_of([flow_card("1", 100)], [shopify_card("abc", 0)])

        assert [one.agrees for one in truth.groups] == [False, True]
        assert not truth.in_step

    def test_a_number_that_was_never_sold_is_no_card(self) -> None:
        assert truth_of([flow_card("1", 0, issued=False)], []).groups == ()

    def test_money_on_a_number_that_was_never_sold_is_not_overlooked(self) -> None:
        assert not truth_of([flow_card("1", 5, issued=False)], []).in_step


class TestProof:
    def tally(self) -> Tally:
        amounts = {Entry("sold online"): 500, Entry("loaded in the store"): 50, Entry("refunded online"): 20}
        amounts |= {Entry("spent in the store", -1): 300, Entry("spent online", -1): 70}
        tally = Tally()
        tally.entries = (OPENING, *amounts)
        tally.add(OPENING, 1_000, 2)
        for entry, amount in amounts.items():
            tally.add(entry, amount)
        return tally

    def test_it_holds_when_all_of_it_is_there(self, engine: Engine) -> None:
        truth = Truth((group(flow_card("1", 1_200), shopify_card("1", 1_200)),), SIDES)

        proof = prove(truth, self.tally(), engine, "NOK")

        assert proof.expected_minor == 1_200
        assert proof.holds
        assert proof_json(proof)["difference"] == "0.00"
        assert self.tally().movements == 5

    @pytest.mark.parametrize(("flow", "shopify"), [(1_199, 1_199), (1_201, 1_201), (1_200, 1_199), (0, 0)])
    def test_it_fails_by_a_single_minor_unit(self, engine: Engine, flow: int, shopify: int) -> None:
        truth = Truth((group(flow_card("1", flow), shopify_card("1", shopify)),), SIDES)

        assert not prove(truth, self.tally(), engine, "NOK").holds

    @pytest.mark.parametrize(
        ("asked", "findings", "waits"), [(1, (), True), (0, (), False), (1, ("x",), False)]
    )
    def test_a_card_that_differs_may_wait_for_a_person(
        self, engine: Engine, asked: int, findings: tuple[str, ...], waits: bool
    ) -> None:
        truth = Truth((group(flow_card("1", 1_200), shopify_card("1", 1_170)),), SIDES)
        proof = prove(truth, self.tally(), engine, "NOK")
        found = SimpleNamespace(
            proof=proof,
            asked=[SimpleNamespace(card_id=number) for number in range(asked)],
            findings=findings,
            audit=SimpleNamespace(exit_code=0),
        )

        assert proof.different == 1
        assert Outcome.waits_for_people.fget(found) is waits  # type: ignore[attr-defined]

    def test_it_fails_when_two_cards_differ_though_the_sums_agree(self, engine: Engine) -> None:
        truth = Truth(
            (
                group(flow_card("1", 600), shopify_card("1", 601)),
                group(flow_card("2", 600), shopify_card("2", 599)),
            ),
            SIDES,
        )

        proof = prove(truth, self.tally(), engine, "NOK")

        assert proof.different == 2
        assert not proof.holds

    def test_what_was_written_off_is_part_of_the_account(self) -> None:
        account = {OPENING: 100, Entry("spent online", -1): -130}
        proof = Proof("NOK", account, {}, 30, 1, 1, 0, {"flow": 0, "shopify": 0})

        assert proof.holds


class TestLag:
    @pytest.fixture
    def now(self) -> list[float]:
        return [100.0]

    @pytest.fixture
    def watch(self, engine: Engine, now: list[float]) -> Watch:
        clock: Callable[[], float] = lambda: now[0]  # noqa: E731 a clock that the test moves
        sides = {"flow": FakeControl([flow_card("1", 100)]), "shopify": FakeControl([shopify_card("1", 100)])}
        return Watch(cast(Mapping[str, Calls], sides), engine, Wallet(), clock)

    def test_it_lasts_until_both_sides_show_the_same(self, watch: Watch, now: list[float]) -> None:
        cast(FakeControl, watch.calls["flow"]).there = [flow_card("1", 80)]
        watch.acted("1", -2_000, "flow")
        now[0] = 101.0
        watch.look()
        assert watch.lags().waiting == 1
        assert watch.lags().p50 is None

        cast(FakeControl, watch.calls["shopify"]).there = [shopify_card("1", 80)]
        now[0] = 103.5
        watch.look()

        lags = watch.lags()
        assert (lags.count, lags.p50, lags.worst, lags.waiting) == (1, 3.5, 3.5, 0)

    def test_an_action_after_the_look_began_waits_for_the_next(self, watch: Watch, now: list[float]) -> None:
        # A look that began before the action may show both sides alike because neither has it yet.
        watch.acted("1", -2_000, "flow")
        watch.look()

        assert watch.lags().waiting == 1

    def test_percentiles(self, watch: Watch, now: list[float]) -> None:
        for lag in range(1, 101):
            now[0] = 1_000.0 - lag
            watch.acted("1", -2_000, "flow")
        now[0] = 1_000.0
        watch.look()

        lags = watch.lags()
        assert (lags.count, lags.worst) == (100, 100.0)
        assert lags.p50 == pytest.approx(50.5)
        assert lags.p95 == pytest.approx(95.05)


class TestWallet:
    def test_a_card_works_where_it_is_known_to_exist(self) -> None:
        wallet, chance = Wallet(), random.Random(1)
        card = wallet.hold({"flow": "1"}, 100)

        assert wallet.pick(chance, side="shopify", minimum_minor=1) is None
        assert wallet.pick(chance, side="flow", minimum_minor=101) is None
        assert wallet.pick(chance, side="flow", minimum_minor=100) == (card, "1")

    def test_a_card_that_was_seen_twice_becomes_one(self) -> None:
        """The store showed the card bought online before the ledger said that it is the same."""
        wallet, chance = Wallet(), random.Random(1)
        bought = wallet.hold({"shopify": "abc"}, 100)
        wallet.hold({"flow": "9"}, 100)

        both = wallet.hold({"shopify": "abc", "flow": "9"}, 100)

        assert both is bought
        picked = [wallet.pick(chance, side="flow", minimum_minor=1) for _ in range(20)]
        assert all(one is not None and one[0] is bought for one in picked)


class TestBackground:
    def test_what_ended_a_thread_is_raised_where_it_is_asked_for(self) -> None:
        def fail(_: object) -> None:
            raise ValueError("it broke")

        background = Background("test", fail)
        with background:
            pass

        with pytest.raises(ValueError, match="it broke"):
            background.check()


@pytest.mark.parametrize(
    ("intents", "asked", "at_rest"),
    [
        ([("shopify", "in_doubt")], 1, True),
        ([], 1, True),
        # What waits behind the doubt goes on when that is settled; what waits elsewhere goes on by itself.
        ([("shopify", "in_doubt"), ("shopify", "planned")], 1, True),
        ([("shopify", "in_doubt"), ("flow", "planned")], 1, False),
        ([("shopify", "in_doubt")], 0, False),
        ([], 0, False),
    ],
)
def test_given_a_card_that_differs_then_the_demo_waits_unless_only_a_person_can_go_on(
    monkeypatch: pytest.MonkeyPatch, intents: list[tuple[str, str]], asked: int, *, at_rest: bool
) -> None:
    apart = truth_of(
        [flow_card("1", 100), flow_card("2", 50)], [shopify_card("1", 80), shopify_card("2", 50)]
    )
    conflicts = [SimpleNamespace(kind="in_doubt", card_id=1, side="shopify")] * asked
    rows = [SimpleNamespace(side=side, state=state, ended_at=None) for side, state in intents]
    views = SimpleNamespace(
        status=lambda engine, at: SimpleNamespace(intents=Counter(state for _, state in intents), arrivals=0),
        list_intents=lambda engine, card_id: rows,
        list_conflicts=lambda engine: [*conflicts, SimpleNamespace(kind="overdraft", card_id=9)],
    )
    monkeypatch.setattr("cli.demo.director.views", views)
    watch = SimpleNamespace(truth=apart, lags=lambda: SimpleNamespace(waiting=0))
    director = Director(
        *cast(tuple[Any, Any, Any], (None, SimpleNamespace(engine=None), SimpleNamespace(watch=watch))),
        currency="NOK",
        seed=0,
        show=lambda snapshot: None,
        stop=threading.Event(),
    )

    assert director._is_at_rest() is at_rest
