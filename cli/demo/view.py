"""What the demo shows while it runs: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Group
from rich.live import Live
from rich.text import Text

from cli.demo.watch import Lags
from cli.output import Output, facts
from connectors.base import Usage

LINE_EVERY_SECONDS = 10.0
REFRESHES_PER_SECOND = 4


@dataclass(frozen=True)
class Snapshot:
    """The demo at one moment."""

    phase: str
    seconds: float
    #: None: until stopped.
    seconds_max: float | None
    cards: int
    cards_in_step: int
    movements: int
    movements_per_minute: float
    refused: int
    lags: Lags
    open_intents: int
    in_doubt: int
    conflicts: int
    shopify: Usage
    flow: Usage


Show = Callable[[Snapshot], None]


@contextmanager
def shown(output: Output) -> Iterator[Show]:
    """Something to call with each snapshot."""
    if output.as_json:
        yield lambda snapshot: None
    elif output.err.is_terminal:
        with Live(console=output.err, refresh_per_second=REFRESHES_PER_SECOND, transient=True) as live:
            yield lambda snapshot: live.update(_picture(snapshot))
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
                f"{_clock(snapshot)}: {snapshot.cards_in_step} of {snapshot.cards} cards in step, "
                f"{snapshot.movements} movements, sync lag {lag_words(snapshot.lags)}, "
                f"{snapshot.open_intents} open intents, {snapshot.conflicts} conflicts"
            )


def _picture(snapshot: Snapshot) -> Group:
    in_step = f"{snapshot.cards_in_step} of {snapshot.cards}"
    doubt = f" ({snapshot.in_doubt} in doubt)" if snapshot.in_doubt else ""
    lines = [
        ("Cards in step", in_step),
        ("Movements", f"{snapshot.movements} ({snapshot.movements_per_minute:.0f} a minute)"),
        ("Payments refused", snapshot.refused),
        ("Sync lag", lag_words(snapshot.lags)),
        ("Open intents", f"{snapshot.open_intents}{doubt}"),
        ("Conflicts", snapshot.conflicts),
        ("Shopify API", usage_words(snapshot.shopify)),
        ("Flow API", usage_words(snapshot.flow)),
    ]
    return Group(Text(_clock(snapshot), style="bold"), facts(lines))


def _clock(snapshot: Snapshot) -> str:
    of = f" of {_minutes(snapshot.seconds_max)}" if snapshot.seconds_max is not None else ""
    return f"{snapshot.phase} {_minutes(snapshot.seconds)}{of}"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def lag_words(lags: Lags) -> str:
    if lags.p50 is None or lags.p95 is None:
        return "not measured yet"
    return f"p50 {lags.p50:.1f} s, p95 {lags.p95:.1f} s"


def usage_words(usage: Usage) -> str:
    points = f", {usage.points} points" if usage.points else ""
    return f"{usage.calls} calls{points}, {usage.throttled} throttled"
