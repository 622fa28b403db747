"""The families of schedules that are tried: `BOUNDED` with every `make test`, `FULL` with `make simulate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from connectors.memory import MemoryFault
from tests.simulation.explore import Report, explore
from tests.simulation.world import Event, Setup

TWO = ("pos", "web")
THREE = ("pos", "web", "app")


def _events(*moves: tuple[str, int]) -> tuple[Event, ...]:
    return tuple(Event(side, amount) for side, amount in moves)


#: Amounts in minor units, on a card of 10: equal ones that look like one, and ones that empty the card
#: exactly.
SPENDING = _events(("pos", -3), ("web", -3), ("pos", -4))
SPENDING_THERE = _events(("web", -3), ("web", -3), ("web", -4))
#: Any two of them overdraw the card.
OVERDRAFTS = _events(("pos", -7), ("web", -7), ("pos", -6))
#: The second is covered only once the first is known.
LOADS = _events(("pos", 5), ("web", -8), ("web", -3))
SPENDING_3 = _events(("pos", -3), ("web", -3), ("app", -3))
OVERDRAFTS_3 = _events(("pos", -6), ("web", -6), ("app", -6))
LOADS_3 = _events(("pos", 5), ("web", -8), ("app", -8))
#: A load that can hide a debit that lands twice.
CANCELLING = _events(("pos", -3), ("web", 3))

_ONCE = {"applies_marker_once": True}
#: What a look may meet before its request, at it, or never.
_HELD_UP = (MemoryFault.LATE, MemoryFault.DROPPED, MemoryFault.ANSWER_LOST)
_CREATION = {"in_step": False}
_BOOK = {"lists_entries": True, "lands_beyond_quiet": True}

BOUNDED: Mapping[str, Setup] = {
    "two sides, three spend, one fault": Setup(TWO, SPENDING, 1),
    "two sides, one spends, two faults": Setup(TWO, SPENDING[:1], 2),
    "two sides, three overdraw": Setup(TWO, OVERDRAFTS, 0),
    "two sides, two overdraw, one fault": Setup(TWO, OVERDRAFTS[:2], 1),
    "two sides, load and spend, one fault": Setup(TWO, LOADS[:2], 1),
    "three sides, three spend": Setup(THREE, SPENDING_3, 0),
    "three sides, three overdraw": Setup(THREE, OVERDRAFTS_3, 0),
    "three sides, load and overdraw": Setup(THREE, LOADS_3, 0),
    "three sides, two spend, one fault": Setup(THREE, SPENDING_3[:2], 1),
    "three sides, load and spend, one fault": Setup(THREE, LOADS_3[:2], 1),
    "creation, two spend, one fault": Setup(TWO, SPENDING[:2], 1, **_CREATION),
    "creation on two sides, one spends, one fault": Setup(THREE, SPENDING_3[:1], 1, **_CREATION),
    "second book, one spends, two faults": Setup(TWO, SPENDING[:1], 2, **_BOOK),
    "second book, load and spend, one fault": Setup(TWO, CANCELLING, 1, **_BOOK),
    "second book, creation, one fault": Setup(TWO, SPENDING[:1], 1, **_BOOK, **_CREATION),
    "reads fail too, one spends, two faults": Setup(TWO, SPENDING[:1], 2, read_faults=True),
    "pauses, two spend, one fault": Setup(TWO, SPENDING[:2], 1, pauses=True),
    "looks in batches, two spend, one fault": Setup(TWO, SPENDING[:2], 1, prefetches=True),
    "held up on the way, two spend, two faults, four runs": Setup(
        TWO, SPENDING[:2], 2, runs=4, faults=_HELD_UP, crashes=False, overtaking=False
    ),
    "held up on the way, paused, one spends, two faults": Setup(
        TWO, SPENDING[:1], 2, faults=_HELD_UP, crashes=False, overtaking=False, pauses=True
    ),
    "markers apply once, one spends, two faults": Setup(TWO, SPENDING[:1], 2, **_ONCE),
    "markers apply once, two overdraw, one fault": Setup(TWO, OVERDRAFTS[:2], 1, **_ONCE),
    "markers apply once, creation, two spend, one fault": Setup(TWO, SPENDING[:2], 1, **_ONCE, **_CREATION),
    "woken by hints, two spend, one fault": Setup(TWO, SPENDING[:2], 1, hinted=True),
    "woken by hints, two overdraw, one fault": Setup(TWO, OVERDRAFTS[:2], 1, hinted=True),
}

#: The longest first, so that no process is left with one at the end.
FULL: Mapping[str, Setup] = {
    "three sides, three spend, two faults": Setup(THREE, SPENDING_3, 2),
    "three sides, three overdraw, two faults": Setup(THREE, OVERDRAFTS_3, 2),
    "three sides, load and overdraw, two faults": Setup(THREE, LOADS_3, 2),
    "three sides, two spend, two faults": Setup(THREE, SPENDING_3[:2], 2),
    "two sides, three spend, two faults": Setup(TWO, SPENDING, 2),
    "two sides, three spend there, two faults": Setup(TWO, SPENDING_THERE, 2),
    "two sides, three overdraw, two faults": Setup(TWO, OVERDRAFTS, 2),
    "two sides, load and spend, two faults": Setup(TWO, LOADS, 2),
    "three sides, three spend, one fault": Setup(THREE, SPENDING_3, 1),
    "three sides, three overdraw, one fault": Setup(THREE, OVERDRAFTS_3, 1),
    "three sides, load and overdraw, one fault": Setup(THREE, LOADS_3, 1),
    "two sides, three overdraw, one fault": Setup(TWO, OVERDRAFTS, 1),
    "two sides, two spend, two faults": Setup(TWO, SPENDING[:2], 2),
    "two sides, two spend, two faults, five runs": Setup(TWO, SPENDING[:2], 2, runs=5),
    "creation, two spend, two faults": Setup(TWO, SPENDING[:2], 2, **_CREATION),
    "creation, two overdraw, two faults": Setup(TWO, OVERDRAFTS[:2], 2, **_CREATION),
    "creation on two sides, two spend, one fault": Setup(THREE, SPENDING_3[:2], 1, **_CREATION),
    "creation on two sides, load and spend, one fault": Setup(THREE, LOADS_3[:2], 1, **_CREATION),
    "second book, two spend, two faults": Setup(TWO, SPENDING[:2], 2, **_BOOK),
    "second book, load and spend, two faults": Setup(TWO, CANCELLING, 2, **_BOOK),
    "second book, two overdraw, two faults": Setup(TWO, OVERDRAFTS[:2], 2, **_BOOK),
    "second book, creation, two faults": Setup(TWO, SPENDING[:1], 2, **_BOOK, **_CREATION),
    "reads fail too, two spend, two faults": Setup(TWO, SPENDING[:2], 2, read_faults=True),
    "pauses, two spend, two faults": Setup(TWO, SPENDING[:2], 2, pauses=True),
    "looks in batches, two spend, two faults": Setup(TWO, SPENDING[:2], 2, prefetches=True),
    "held up on the way, three spend, two faults, five runs": Setup(
        TWO, SPENDING, 2, runs=5, faults=_HELD_UP, crashes=False, overtaking=False
    ),
    "markers apply once, two spend, two faults": Setup(TWO, SPENDING[:2], 2, **_ONCE),
    "markers apply once, two overdraw, two faults": Setup(TWO, OVERDRAFTS[:2], 2, **_ONCE),
    "woken by hints, two spend, two faults": Setup(TWO, SPENDING[:2], 2, hinted=True),
    "woken by hints, three sides, load and spend, one fault": Setup(THREE, LOADS_3[:2], 1, hinted=True),
    "woken by hints, creation, two spend, one fault": Setup(TWO, SPENDING[:2], 1, hinted=True, **_CREATION),
    **BOUNDED,
}


def explore_family(name: str) -> tuple[str, Report]:
    return name, explore(FULL[name])


def unpruned(setup: Setup) -> Setup:
    """With the choices that are left out because another choice leads to the same."""
    return replace(setup, pruned=False)
