"""What the demo shows while it runs: a live view on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo

from rich.live import Live

from cli.demo.watch import Lags
from cli.live.picture import PLOT_WIDTH_MAX, Picture, Travel
from cli.output import Output, number, plural
from cli.places import Places
from connectors.api.capabilities import Usage

LINE_EVERY_SECONDS = 10.0
REFRESHES_PER_SECOND = 4
LAGS_SHOWN = PLOT_WIDTH_MAX
#: Where the emulated shop is.
ZONE = ZoneInfo("Europe/Oslo")


class Phase(StrEnum):
    """What the demo does."""

    GATHERING = "Bringing the cards together"
    ACTING = "Buying and spending"
    SETTLING = "Waiting for the last movements"


@dataclass(frozen=True)
class Snapshot:
    """The demo at one moment. Amounts in minor units."""

    phase: Phase
    seconds: float
    #: How long it goes on, or may take; None: until stopped.
    seconds_max: float | None
    cards: int
    cards_in_step: int
    currency: str
    totals_minor: Mapping[str, int]
    apart_minor: Sequence[int]
    travels: Sequence[Travel]
    newest_lags: Sequence[float]
    movements: int
    movements_per_minute: float
    refused: int
    lags: Lags
    open_intents: int
    in_doubt: int
    conflicts: int
    usage: Mapping[str, Usage]
    places: Places


Show = Callable[[Snapshot], None]


@contextmanager
def shown(output: Output) -> Iterator[Show]:
    """Something to call with each snapshot."""
    if output.as_json:
        yield lambda snapshot: None
    elif output.err.is_terminal:
        with Live(console=output.err, refresh_per_second=REFRESHES_PER_SECOND, transient=True) as live:
            yield lambda snapshot: live.update(picture(snapshot))
    else:
        yield _Lines(output).show


class _Lines:
    """A line when the phase changes, and every few seconds."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last: tuple[str, float] | None = None

    def show(self, snapshot: Snapshot) -> None:
        now = (snapshot.phase, snapshot.seconds // LINE_EVERY_SECONDS)
        if now != self._last:
            self._last = now
            self._output.note(
                f"{_clock(snapshot)}: {_headline(snapshot)} {plural(snapshot.movements, 'movement')}, lag "
                f"{lag_words(snapshot.lags)}, {plural(snapshot.open_intents, 'open intent')}, "
                f"{plural(snapshot.conflicts, 'conflict')}."
            )


def picture(snapshot: Snapshot) -> Picture:
    """The demo as the live view draws it."""
    doubt = f" ({number(snapshot.in_doubt)} in doubt)" if snapshot.in_doubt else ""
    pace = number(round(snapshot.movements_per_minute))
    people = (
        f"{plural(snapshot.movements, 'movement')} ({pace} a minute), {snapshot.refused} payments refused"
    )
    if snapshot.phase is Phase.GATHERING:
        people = "People begin to buy and spend as soon as every card is the same."
    lines = [
        people,
        f"{plural(snapshot.open_intents, 'open intent')}{doubt}, {plural(snapshot.conflicts, 'conflict')}",
    ]
    lines += [
        f"{snapshot.places.system(name)} API: {usage_words(usage)}" for name, usage in snapshot.usage.items()
    ]
    return Picture(
        headline=_headline(snapshot),
        well=snapshot.cards_in_step == snapshot.cards,
        corner=_clock(snapshot),
        currency=snapshot.currency,
        zone=ZONE,
        totals_minor=snapshot.totals_minor,
        apart_minor=snapshot.apart_minor,
        travels=snapshot.travels,
        lags=snapshot.newest_lags,
        lag_words=lag_words(snapshot.lags),
        lines=lines,
        places=snapshot.places,
    )


def _headline(snapshot: Snapshot) -> str:
    if not snapshot.cards:
        return "Looking for cards."
    same, cards = f"are the same on {_all(snapshot)} sides.", plural(snapshot.cards, "card")
    if snapshot.cards_in_step == snapshot.cards:
        return f"All {cards} {same}"
    return f"{number(snapshot.cards_in_step)} of {cards} {same}"


def _all(snapshot: Snapshot) -> str:
    return "both" if len(snapshot.totals_minor) == 2 else f"all {len(snapshot.totals_minor)}"


def _clock(snapshot: Snapshot) -> str:
    passed = _minutes(snapshot.seconds)
    if snapshot.seconds_max is None:
        return f"{snapshot.phase}, {passed}"
    if snapshot.phase is Phase.ACTING:
        return f"{snapshot.phase}, {passed} of {_minutes(snapshot.seconds_max)}"
    return f"{snapshot.phase}, {passed} ({_minutes(snapshot.seconds_max)} at most)"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def lag_words(lags: Lags) -> str:
    if lags.p50 is None or lags.p95 is None:
        return "not measured yet"
    return f"half within {lags.p50:.1f} s, 95 % within {lags.p95:.1f} s"


def usage_words(usage: Usage) -> str:
    points = f", {number(usage.points)} points" if usage.points else ""
    return f"{plural(usage.calls, 'call')}{points}, {number(usage.throttled)} throttled"
