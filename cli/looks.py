"""How long a change that no feed tells of can stay unseen, for `giftsync status`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from cli.build import worker_options
from cli.output import plural
from cli.show import age_words
from config.settings import Settings
from connectors.api.side import Side
from sync.ledger.incoming.looks import Looks


@dataclass(frozen=True)
class Late:
    """How late a side's news may become visible, and within what time a feed finds it all the same."""

    late: timedelta
    within: timedelta


def late_of(side: Side) -> Late | None:
    """Of its feed that reaches back furthest; None: no feed says so."""
    feed = max(side.feeds, key=lambda one: one.late_seconds, default=None)
    if feed is None or not feed.late_seconds:
        return None
    return Late(timedelta(seconds=feed.late_seconds), timedelta(seconds=feed.late_within_seconds))


def sweep_seconds(side: str, looks: Looks, settings: Settings) -> float:
    """Within how many seconds a running worker looks at every card of the side."""
    options = worker_options(settings)
    if looks.adaptive:
        return options.budget(side).bound_seconds(looks.cards)
    return math.ceil(looks.cards / options.sweep_slice) * options.sweep_interval_seconds


def look_lines(
    by_side: Mapping[str, Looks], late: Mapping[str, Late], settings: Settings, now: datetime
) -> list[tuple[str, str]]:
    """A line for each side: the oldest look at a card there, and what bounds it."""
    lines = [(f"Oldest look at {side}", _words(side, one, settings, now)) for side, one in by_side.items()]
    return lines + [(f"Late news on {side}", _late_words(late[side])) for side in by_side if side in late]


def _late_words(one: Late) -> str:
    late, within = span_words(one.late), span_words(one.within)
    return f"what is up to {late} late or misdated is found within {within}"


def _words(side: str, looks: Looks, settings: Settings, now: datetime) -> str:
    oldest = (
        "not every card was looked at yet" if looks.oldest_at is None else age_words(now - looks.oldest_at)
    )
    bound = span_words(timedelta(seconds=sweep_seconds(side, looks, settings)))
    words = f"{oldest} (while the worker runs, {plural(looks.cards, 'card')} within {bound})"
    return words + (f"; {plural(looks.unanswered, 'card')} gave no answer" if looks.unanswered else "")


def span_words(span: timedelta) -> str:
    """`3 hours`: a span, rounded up."""
    seconds = max(span.total_seconds(), 1.0)
    for size, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds > 2 * size:
            return plural(math.ceil(seconds / size), noun)
    return plural(math.ceil(seconds), "second")


class LooksAnswer(TypedDict):
    """How long a change that no feed tells of can stay unseen on a side."""

    #: Cards there that are looked at.
    cards: int
    #: No look is older than this; null: not every card was looked at yet.
    oldest_at: datetime | None
    #: Cards that were asked for last without an answer.
    unanswered: int
    #: Within how many seconds a running worker looks at every card.
    sweep_seconds: float
    #: News may be so late, or its time so wrong.
    late_seconds: float | None
    #: Within what time such news is found all the same.
    late_within_seconds: float | None


def looks_json(
    by_side: Mapping[str, Looks], late: Mapping[str, Late], settings: Settings
) -> dict[str, LooksAnswer]:
    return {
        side: LooksAnswer(
            cards=one.cards,
            oldest_at=one.oldest_at,
            unanswered=one.unanswered,
            sweep_seconds=sweep_seconds(side, one, settings),
            late_seconds=late[side].late.total_seconds() if side in late else None,
            late_within_seconds=late[side].within.total_seconds() if side in late else None,
        )
        for side, one in by_side.items()
    }
