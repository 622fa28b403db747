"""The families of schedules that are tried: `BOUNDED` with every `make test`, `FULL` with `make simulate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connectors.api.effect import MOVES_MONEY, EffectKind
from connectors.memory import MemoryFault
from sync.decisions.authority import Mode
from sync.model import Unconfirmed
from tests.simulation.explore import Report, explore
from tests.simulation.world import Call, Event, Setup

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

#: A caller who pays, and repeats the request as if the answer had been lost.
PAYS_TWICE = (Call(7), Call(7))
PAYS_AND_REVERSES = (Call(7), Call(7, reverses=True))
PAYS_AND_GIVES_SOME_BACK = (Call(7), Call(3, reverses=True))
TWO_TILLS = (Call(7), Call(6, "b"))
#: Less than the quiet period.
SOON = 1.0
_RECORD: Mapping[str, Any] = {"mode": Mode.RECORD}

_ONCE: Mapping[str, Any] = {"applies_marker_once": True}
#: Like orders that are settled once, and cards whose number is taken.
_LANDS_ONCE: Mapping[str, Any] = {"lands_once": MOVES_MONEY}
#: What a look may meet before its request, at it, or never.
_HELD_UP = (MemoryFault.LATE, MemoryFault.DROPPED, MemoryFault.ANSWER_LOST)
_CREATION: Mapping[str, Any] = {"in_step": False}
_BOOK: Mapping[str, Any] = {"lists_entries": True, "lands_beyond_quiet": True}

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
    "a marker applies once on one side, two spend, one fault": Setup(TWO, SPENDING[:2], 1, once_on=("web",)),
    "money lands once, one spends, two faults": Setup(TWO, SPENDING[:1], 2, **_LANDS_ONCE),
    "money lands once, two overdraw, one fault": Setup(TWO, OVERDRAFTS[:2], 1, **_LANDS_ONCE),
    "money lands once, load and spend, one fault": Setup(TWO, LOADS[:2], 1, **_LANDS_ONCE),
    "money lands once, held up on the way, two spend, two faults, four runs": Setup(
        TWO, SPENDING[:2], 2, runs=4, faults=_HELD_UP, crashes=False, overtaking=False, **_LANDS_ONCE
    ),
    "creates land once, creation, two spend, one fault": Setup(
        TWO, SPENDING[:2], 1, lands_once=frozenset({EffectKind.CREATE}), **_CREATION
    ),
    "one side without top-up, two spend, one fault": Setup(TWO, SPENDING[:2], 1, no_top_up=("web",)),
    "one side without top-up, two overdraw, one fault": Setup(TWO, OVERDRAFTS[:2], 1, no_top_up=("web",)),
    "one side without top-up, load and spend, one fault": Setup(TWO, LOADS[:2], 1, no_top_up=("web",)),
    "one side is watched by rotation alone, two overdraw": Setup(
        TWO, OVERDRAFTS[:2], 0, hinted=True, rotated=("web",)
    ),
    "one side is watched by rotation alone, one spends there, one fault": Setup(
        TWO, SPENDING[1:2], 1, hinted=True, rotated=("web",)
    ),
    "a caller pays, one spends": Setup(TWO, OVERDRAFTS[:1], 0, calls=PAYS_TWICE),
    "a caller pays, one spends, one fault": Setup(TWO, OVERDRAFTS[:1], 1, calls=PAYS_TWICE),
    "two tills pay, one spends": Setup(TWO, OVERDRAFTS[1:2], 0, calls=TWO_TILLS),
    "two tills pay, one spends, one debit is lost": Setup(
        TWO,
        OVERDRAFTS[1:2],
        1,
        calls=TWO_TILLS,
        faults=(MemoryFault.DROPPED,),
        crashes=False,
        overtaking=False,
    ),
    "two tills pay, one fault": Setup(TWO, (), 1, calls=TWO_TILLS),
    "a caller pays and reverses, one spends, one fault": Setup(TWO, SPENDING[:1], 1, calls=PAYS_AND_REVERSES),
    "a caller pays and gives some back, one fault": Setup(TWO, (), 1, calls=PAYS_AND_GIVES_SOME_BACK),
    "record: a caller pays, one spends, one fault": Setup(
        TWO, OVERDRAFTS[:1], 1, calls=PAYS_TWICE, **_RECORD
    ),
    "record: two tills pay while a worker has the card, one spends": Setup(
        TWO, OVERDRAFTS[:1], 0, calls=TWO_TILLS, calls_within=True, **_RECORD
    ),
    "record: a caller pays while a worker has the card, one spends, one fault": Setup(
        TWO, OVERDRAFTS[:1], 1, calls=PAYS_TWICE[:1], calls_within=True, runs=2, **_RECORD
    ),
    "record, woken by hints: a caller pays while a worker has the card, one spends": Setup(
        TWO, OVERDRAFTS[:1], 0, calls=PAYS_TWICE, calls_within=True, hinted=True, **_RECORD
    ),
    "record: a caller pays and reverses, one fault": Setup(
        TWO, SPENDING[:1], 1, calls=PAYS_AND_REVERSES, **_RECORD
    ),
    "a caller pays and is refused while it is in doubt, one spends, one fault": Setup(
        TWO, OVERDRAFTS[:1], 1, calls=PAYS_TWICE[:1], pending_seconds=SOON
    ),
    "recorded when unconfirmed: a caller pays, one spends, one fault": Setup(
        TWO, OVERDRAFTS[:1], 1, calls=PAYS_TWICE[:1], unconfirmed=Unconfirmed.RECORD
    ),
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
    "a marker applies once on one side, two spend, two faults": Setup(TWO, SPENDING[:2], 2, once_on=("web",)),
    "money lands once, two spend, two faults": Setup(TWO, SPENDING[:2], 2, **_LANDS_ONCE),
    "money lands once, two overdraw, two faults": Setup(TWO, OVERDRAFTS[:2], 2, **_LANDS_ONCE),
    "money lands once, a caller pays, one spends, one fault": Setup(
        TWO, OVERDRAFTS[:1], 1, calls=PAYS_TWICE, **_LANDS_ONCE
    ),
    "creates land once, creation, two spend, two faults": Setup(
        TWO, SPENDING[:2], 2, lands_once=frozenset({EffectKind.CREATE}), **_CREATION
    ),
    "one side without top-up, three spend, two faults": Setup(TWO, SPENDING, 2, no_top_up=("web",)),
    "one side without top-up, load and spend, two faults": Setup(TWO, LOADS, 2, no_top_up=("web",)),
    "one side is watched by rotation alone, two spend, one fault": Setup(
        TWO, SPENDING[:2], 1, hinted=True, rotated=("web",)
    ),
    "one side is watched by rotation alone, two overdraw, one fault": Setup(
        TWO, OVERDRAFTS[:2], 1, hinted=True, rotated=("web",)
    ),
    "one side is watched by rotation alone, two spend, two faults": Setup(
        TWO, SPENDING[:2], 2, hinted=True, rotated=("web",)
    ),
    "a till like R-Series: no hints, no top-up elsewhere, three sides, two spend, one fault": Setup(
        THREE, SPENDING_3[:2], 1, hinted=True, rotated=("pos",), no_top_up=("app",)
    ),
    "woken by hints, two spend, two faults": Setup(TWO, SPENDING[:2], 2, hinted=True),
    "woken by hints, three sides, load and spend, one fault": Setup(THREE, LOADS_3[:2], 1, hinted=True),
    "woken by hints, creation, two spend, one fault": Setup(TWO, SPENDING[:2], 1, hinted=True, **_CREATION),
    "three sides, a caller pays, two spend, one fault": Setup(THREE, OVERDRAFTS_3[:2], 1, calls=PAYS_TWICE),
    "a caller pays, one spends, two faults": Setup(TWO, OVERDRAFTS[:1], 2, calls=PAYS_TWICE),
    "a caller pays and reverses, one spends, two faults": Setup(
        TWO, SPENDING[:1], 2, calls=PAYS_AND_REVERSES
    ),
    "two tills pay, one spends, one fault": Setup(TWO, OVERDRAFTS[1:2], 1, calls=TWO_TILLS),
    "second book, a caller pays, one spends, one fault": Setup(
        TWO, OVERDRAFTS[:1], 1, calls=PAYS_TWICE, **_BOOK
    ),
    "markers apply once, a caller pays, one spends, one fault": Setup(
        TWO, OVERDRAFTS[:1], 1, calls=PAYS_TWICE, **_ONCE
    ),
    "woken by hints, a caller pays, one spends, one fault": Setup(
        TWO, OVERDRAFTS[:1], 1, calls=PAYS_TWICE, hinted=True
    ),
    "creation, a caller pays, one fault": Setup(TWO, (), 1, calls=PAYS_TWICE, **_CREATION),
    **BOUNDED,
}


def explore_family(name: str) -> tuple[str, Report]:
    return name, explore(FULL[name])


def unpruned(setup: Setup) -> Setup:
    """With the choices that are left out because another choice leads to the same."""
    return replace(setup, pruned=False)
