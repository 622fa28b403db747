"""The live view at one moment, drawn to the width of the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from cli.live.plot import bar, sparkline
from cli.places import Places
from mappings.money import format_money
from mappings.serials import mask

#: Movements that are listed.
TRAVELS_SHOWN = 8
PLOT_WIDTH_MAX = 60


@dataclass(frozen=True)
class Travel:
    """Money that moved on one side and goes to the others."""

    at: datetime
    last_chars: str
    amount_minor: int
    origin: str
    #: Empty: nothing had to be written elsewhere.
    to: tuple[str, ...]
    #: None: on its way.
    seconds: float | None


@dataclass(frozen=True)
class Picture:
    """All that the live view shows. Amounts in minor units."""

    headline: str
    #: Whether nothing needs anybody's attention.
    well: bool
    #: At the right end of the first line.
    corner: str
    currency: str
    zone: tzinfo
    #: What each side shows on all cards, by side.
    totals_minor: Mapping[str, int]
    #: How far the sides were apart lately, oldest first.
    apart_minor: Sequence[int]
    travels: Sequence[Travel]
    #: Seconds, oldest first.
    lags: Sequence[float]
    lag_words: str
    #: What else is worth a line.
    lines: Sequence[str]
    #: What the sides are called.
    places: Places = field(default_factory=Places)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        style = "bold green" if self.well else "bold yellow"
        gap = max(2, width - len(self.headline) - len(self.corner))
        if len(self.headline) + len(self.corner) + 2 <= width:
            yield Text.assemble((self.headline, style), " " * gap, self.corner)
        else:
            yield Text(self.headline, style=style)
            yield Text(self.corner)
        yield Text("")
        yield from self._totals(width)
        yield Text("")
        yield from self._travels(width)
        yield Text("")
        yield Text("Lag    ", style="bold", end="")
        plot = sparkline(self.lags, min(PLOT_WIDTH_MAX, width - 7 - len(self.lag_words) - 2))
        yield Text.assemble((plot, "cyan"), "  " if plot else "", self.lag_words)
        for line in self.lines:
            yield Text(line)

    def _totals(self, width: int) -> RenderResult:
        amounts = {side: format_money(minor, self.currency) for side, minor in self.totals_minor.items()}
        apart = self.apart_minor[-1] if self.apart_minor else 0
        shown = {**amounts, "apart": format_money(apart, self.currency)}
        column = max(len(words) for words in shown.values())
        top = max(self.totals_minor.values(), default=0)
        left = width - 8 - column - 2
        for side, minor in self.totals_minor.items():
            drawn = bar(minor / top if top > 0 else 0.0, left)
            yield Text.assemble(
                (f"{self.places.where(side).capitalize():<8}", "bold"),
                amounts[side].rjust(column),
                "  ",
                (drawn, "blue"),
            )
        plot = sparkline(self.apart_minor, min(PLOT_WIDTH_MAX, left))
        yield Text.assemble(("Apart   ", "bold"), shown["apart"].rjust(column), "  ", (plot, "magenta"))

    def _travels(self, width: int) -> RenderResult:
        yield Text("Last movements", style="bold")
        if not self.travels:
            yield Text("none yet", style="dim")
        column = max((len(_signed(one, self.currency)) for one in self.travels), default=0)
        for one in self.travels[:TRAVELS_SHOWN]:
            at = one.at.astimezone(self.zone).strftime("%H:%M:%S")
            way = (
                " → ".join((self.places.where(one.origin), ", ".join(map(self.places.where, one.to))))
                if one.to
                else self.places.where(one.origin)
            )
            row = Text(f"{at}  {mask(one.last_chars)}  {_signed(one, self.currency):>{column}}  {way:<15}  ")
            row.append(*_arrival(one))
            row.truncate(width)
            yield row


def _signed(travel: Travel, currency: str) -> str:
    return f"{'+' if travel.amount_minor > 0 else ''}{format_money(travel.amount_minor, currency)}"


def _arrival(travel: Travel) -> tuple[str, str]:
    if not travel.to:
        return "nothing to write", "dim"
    if travel.seconds is None:
        return "on its way", "yellow"
    return f"after {travel.seconds:.1f} s", "green"
