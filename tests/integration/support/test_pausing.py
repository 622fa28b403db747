"""A person pauses the link from another process than the one that works on its cards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.memory import MemoryFault
from sync import crashpoints
from sync.importer.apply import Mode
from sync.importer.planfile import choose_rows
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.incoming.intake import Intake
from sync.model import LinkStopped, RedemptionState
from sync.support import pausing
from tests.integration.authority.till import Till
from tests.integration.importer.import_desk import Desk
from tests.integration.shop import FLOW, SHOPIFY, Shop, effects

WORDS = "ada has paused the link: stocktaking."


def pause(shop: Shop) -> bool:
    """As `giftsync pause` does, which has objects of its own."""
    return pausing.pause(Intake(shop.engine, shop.vault), "ada", " stocktaking. ", shop.clock())


def resume(shop: Shop) -> int:
    return pausing.resume(shop.link, "ada", "counted")


@pytest.fixture
def pause_at() -> Iterator[Callable[[Shop, str, int], list[int]]]:
    """The link is paused when the point is reached for the n-th time; how many writes there were by then."""
    written: list[int] = []

    def install(shop: Shop, point: str, nth: int) -> list[int]:
        left = [nth]

        def reached(name: str) -> None:
            if name == point:
                left[0] -= 1
                if left[0] == -1:
                    pause(shop)
                    written.append(writes(shop))

        crashpoints.install(reached)
        return written

    yield install
    crashpoints.install(None)


def writes(shop: Shop) -> int:
    return sum(len(side.writes) for side in shop.sides.values())


def sent(shop: Shop) -> int:
    """How many effects were committed as sent, ever."""
    return len(shop.rows("intent_states", state="sent"))


def test_given_a_pause_then_the_worker_claims_no_card_and_goes_on_once_it_is_resumed(shop: Shop) -> None:
    card_id = shop.in_step(10_000)
    shop.move(FLOW, -2_500)

    assert pause(shop)
    assert not pause(shop)
    assert stopped_by(shop.engine) == [WORDS]
    report = shop.sync()

    assert report.errors == [WORDS]
    assert shop.shown() == {FLOW: 7_500, SHOPIFY: 10_000}
    # What happened meanwhile was read and is kept.
    assert shop.row("cards", id=card_id)["due_at"] is not None
    assert shop.store.claim_due("worker 2", shop.clock(), 120.0, 5) == []
    assert resume(shop) == 1
    assert resume(shop) == 0
    assert shop.sync().errors == []
    assert shop.shown() == {FLOW: 7_500, SHOPIFY: 7_500}


@pytest.mark.parametrize("nth", range(4))
@pytest.mark.parametrize(
    "point", ["reconcile.observed", "commit.before", "commit.after", "execute.sent", "execute.called"]
)
def test_given_a_pause_at_any_step_of_a_card_then_nothing_is_sent_after_it(
    shop: Shop, pause_at: Callable[[Shop, str, int], list[int]], point: str, nth: int
) -> None:
    shop.meet(FLOW, 10_000)
    shop.move(FLOW, -2_500)
    card_id = shop.card_id()
    written = pause_at(shop, point, nth)

    try:
        shop.work(card_id)
        shop.move(SHOPIFY, -500)
        shop.work(card_id)
    except LinkStopped:
        assert stopped_by(shop.engine) == [WORDS]
    crashpoints.install(None)

    if written:
        # The one effect that was committed as sent before is carried out; nothing after it.
        assert writes(shop) <= written[0] + (point in ("execute.sent", "commit.after"))
        assert writes(shop) == sent(shop)
        assert shop.row("cards", id=card_id)["lease_owner"] is None
        assert resume(shop) == 1
    card = shop.work_until_quiet(card_id)
    assert set(shop.shown().values()) == {card.balance_minor}
    assert len(effects(shop.sides[SHOPIFY])) <= 2


def test_given_a_pause_when_something_is_in_doubt_then_it_is_read_back_and_not_sent_again(shop: Shop) -> None:
    card_id = shop.in_step(10_000)
    shop.move(FLOW, -2_500)
    shop.fail(SHOPIFY, MemoryFault.DROPPED)
    shop.work(card_id)
    pause(shop)
    before = writes(shop)
    shop.clock.advance(600)

    with pytest.raises(LinkStopped):
        shop.work(card_id)

    assert writes(shop) == before
    resume(shop)
    shop.work_until_quiet(card_id)
    assert shop.shown() == {FLOW: 7_500, SHOPIFY: 7_500}


@pytest.mark.parametrize("point", ["authority.taken", "commit.before", "execute.called"])
def test_given_a_pause_while_a_caller_pays_then_the_sides_and_the_answer_say_the_same(
    shop: Shop, pause_at: Callable[[Shop, str, int], list[int]], point: str
) -> None:
    till, card_id = Till(shop), shop.in_step(10_000)
    before = writes(shop)
    pause_at(shop, point, 0)

    try:
        paid = till.pay(card_id, 3_000).state is RedemptionState.COMPLETED
    except LinkStopped:
        paid = False
    crashpoints.install(None)

    assert writes(shop) <= before + 1
    resume(shop)
    balance = shop.work_until_quiet(card_id).balance_minor
    assert balance == (7_000 if paid else 10_000)
    assert set(shop.shown().values()) == {balance}


@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.BULK])
@pytest.mark.parametrize("point", ["batch.create", "batch.commit", "batch.committed"])
@pytest.mark.parametrize("nth", range(3))
def test_given_a_pause_while_an_import_runs_then_it_stops_and_goes_on_where_it_was(
    shop: Shop,
    tmp_path: Path,
    pause_at: Callable[[Shop, str, int], list[int]],
    mode: Mode,
    point: str,
    nth: int,
) -> None:
    desk = Desk(shop, tmp_path)
    numbers = [f"10002000300041{n:02d}" for n in range(8)]
    for number in numbers:
        shop.sell(FLOW, 1_000, number)
    plan = desk.plan(desk.write(*(f"{number};10,00;ACTIVE" for number in numbers)))
    choose_rows(desk.path, desk.imports, plan)
    written = pause_at(shop, point, nth)

    done = desk.importer(mode).apply(plan)
    crashpoints.install(None)

    if written:
        assert writes(shop) <= sent(shop)
        assert done or WORDS in desk.progress.errors[0]
        resume(shop)
    assert desk.apply(plan, mode)
    assert desk.totals() == (8_000, 8_000)
    assert desk.in_step()
    assert writes(shop) == len(numbers)


@pytest.mark.parametrize("why", ["", "  ", ".", "x" * 301])
def test_given_no_reason_that_can_be_kept_then_nothing_is_paused(shop: Shop, why: str) -> None:
    with pytest.raises(pausing.NotPaused, match="say why"):
        pausing.pause(shop.intake, "ada", why, shop.clock())

    assert stopped_by(shop.engine) == []
