"""The demo's own arithmetic: a proof that cannot fail proves nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest
from sqlalchemy import Engine

from cli.background import Background
from cli.demo.control import Control, TrueCard
from cli.demo.proof import Proof, proof_json, prove
from cli.demo.tally import Entry, Tally
from cli.demo.truth import Pair, Truth, read_truth
from cli.demo.wallet import Wallet
from cli.demo.watch import Watch


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


def truth_of(flow: list[TrueCard], shopify: list[TrueCard], links: dict[str, str] | None = None) -> Truth:
    return read_truth(
        cast(Control, FakeControl(flow)),
        cast(Control, FakeControl(shopify)),
        links if links is not None else {},
    )


class TestTruth:
    def test_cards_are_paired_by_number_and_by_link(self) -> None:
        truth = truth_of(
            [flow_card("1", 100), flow_card("9", 50)],
            [shopify_card("1", 100), shopify_card("abc", 40)],
            {"s-abc": "f-9"},
        )

        assert [(p.flow and p.flow.serial, p.shopify and p.shopify.serial) for p in truth.pairs] == [
            ("1", "1"),
            ("9", "abc"),
        ]
        assert [p.agrees for p in truth.pairs] == [True, False]
        assert (truth.flow_minor, truth.shopify_minor) == (150, 140)

    def test_a_card_with_money_on_one_side_only_does_not_agree(self) -> None:
        truth = truth_of([flow_card("1", 100)], [shopify_card("abc", 0)])

        assert [p.agrees for p in truth.pairs] == [True, False]
        assert not truth.in_step

    def test_a_number_that_was_never_sold_is_no_card(self) -> None:
        assert truth_of([flow_card("1", 0, issued=False)], []).pairs == ()

    def test_money_on_a_number_that_was_never_sold_is_not_overlooked(self) -> None:
        assert not truth_of([flow_card("1", 5, issued=False)], []).in_step


class TestProof:
    def tally(self) -> Tally:
        tally = Tally()
        tally.add(Entry.OPENING, 1_000, 2)
        tally.add(Entry.SOLD_ONLINE, 500)
        tally.add(Entry.LOADED, 50)
        tally.add(Entry.REFUNDED, 20)
        tally.add(Entry.SPENT_IN_STORE, 300)
        tally.add(Entry.SPENT_ONLINE, 70)
        return tally

    def test_it_holds_when_all_of_it_is_there(self, engine: Engine) -> None:
        truth = Truth((Pair(flow_card("1", 1_200), shopify_card("1", 1_200)),))

        proof = prove(truth, self.tally(), engine, "NOK")

        assert proof.expected_minor == 1_200
        assert proof.holds
        assert proof_json(proof)["difference"] == "0.00"
        assert self.tally().movements == 5

    @pytest.mark.parametrize(("flow", "shopify"), [(1_199, 1_199), (1_201, 1_201), (1_200, 1_199), (0, 0)])
    def test_it_fails_by_a_single_minor_unit(self, engine: Engine, flow: int, shopify: int) -> None:
        truth = Truth((Pair(flow_card("1", flow), shopify_card("1", shopify)),))

        assert not prove(truth, self.tally(), engine, "NOK").holds

    def test_it_fails_when_two_cards_differ_though_the_sums_agree(self, engine: Engine) -> None:
        truth = Truth(
            (
                Pair(flow_card("1", 600), shopify_card("1", 601)),
                Pair(flow_card("2", 600), shopify_card("2", 599)),
            )
        )

        proof = prove(truth, self.tally(), engine, "NOK")

        assert proof.different == 2
        assert not proof.holds

    def test_what_was_written_off_is_part_of_the_account(self) -> None:
        proof = Proof("NOK", {Entry.OPENING: 100, Entry.SPENT_ONLINE: -130}, {}, 30, 1, 1, 0, 0, 0)

        assert proof.holds


class TestLag:
    @pytest.fixture
    def now(self) -> list[float]:
        return [100.0]

    @pytest.fixture
    def watch(self, engine: Engine, now: list[float]) -> Watch:
        clock: Callable[[], float] = lambda: now[0]  # noqa: E731 a clock that the test moves
        flow, shopify = FakeControl([flow_card("1", 100)]), FakeControl([shopify_card("1", 100)])
        return Watch(cast(Control, flow), cast(Control, shopify), engine, Wallet(), clock)

    def test_it_lasts_until_both_sides_show_the_same(self, watch: Watch, now: list[float]) -> None:
        cast(FakeControl, watch.flow).there = [flow_card("1", 80)]
        watch.acted("1", -2_000, "flow")
        now[0] = 101.0
        watch.look()
        assert watch.lags().waiting == 1
        assert watch.lags().p50 is None

        cast(FakeControl, watch.shopify).there = [shopify_card("1", 80)]
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
        wallet.hold(number="1", code=None, balance_minor=100)

        assert wallet.pick(chance, online=True, minimum_minor=1) is None
        assert wallet.pick(chance, online=False, minimum_minor=101) is None
        found = wallet.pick(chance, online=False, minimum_minor=100)
        assert found is not None
        assert found.number == "1"

    def test_a_card_that_was_seen_twice_becomes_one(self) -> None:
        """The store showed the card bought online before the ledger said that it is the same."""
        wallet, chance = Wallet(), random.Random(1)
        bought = wallet.hold(number=None, code="abc", balance_minor=100)
        wallet.hold(number="9", code=None, balance_minor=100)

        both = wallet.hold(number="9", code="abc", balance_minor=100)

        assert both is bought
        assert all(wallet.pick(chance, online=False, minimum_minor=1) is bought for _ in range(20))


class TestBackground:
    def test_what_ended_a_thread_is_raised_where_it_is_asked_for(self) -> None:
        def fail(_: object) -> None:
            raise ValueError("it broke")

        background = Background("test", fail)
        with background:
            pass

        with pytest.raises(ValueError, match="it broke"):
            background.check()
