"""The capacity page says what its arithmetic says, and a simulation on a virtual clock agrees with it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from bench.capacity import EXAMPLES, Outcome, check, fleet, table, waiting
from sync.fleet.queue import LATER, NOW
from sync.worker.until import TURN_SECONDS

PAGE = Path("docs/reference/capacity.md")
SECONDS = 300.0


@cache
def seen(imports: int, *, is_fair: bool) -> Outcome:
    return fleet(EXAMPLES[0], 2, 8, imports=imports, is_fair=is_fair).run(SECONDS)


def test_given_the_page_then_its_tables_are_what_the_arithmetic_and_the_simulation_say() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()

    assert [line for line in (*table(), *waiting()) if line not in lines] == []


def test_given_a_fleet_then_paper_and_simulation_agree_on_cores_and_places() -> None:
    paper, simulated = check()

    assert simulated.processor_seconds / simulated.seconds == pytest.approx(paper.worker_cores, rel=0.05)
    places = {line: held / simulated.seconds for line, held in simulated.place_seconds.items()}
    assert places[NOW] == pytest.approx(paper.places_now, rel=0.15)
    assert places[LATER] == pytest.approx(paper.places_later, rel=0.15)


def test_given_merchants_that_import_without_end_then_a_redemption_waits_less_than_a_turn() -> None:
    waits = [seen(imports, is_fair=True).p99_wait for imports in (0, 1, 3)]

    assert max(waits) < TURN_SECONDS / 2
    assert max(seen(3, is_fair=True).waits) < TURN_SECONDS


def test_given_one_line_for_all_then_imports_would_keep_redemptions_waiting() -> None:
    """The simulation tells good from bad: without lines and lanes the wait grows with the imports."""
    assert seen(3, is_fair=False).p99_wait > 2 * seen(3, is_fair=True).p99_wait
