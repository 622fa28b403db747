"""How long a change that no feed tells of can stay unseen, for `giftsync status`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from cli.build import FLOW, SHOPIFY, worker_options
from cli.output import plural
from cli.show import age_words
from config.settings import Settings
from connectors.flow import FlowSettings
from connectors.shopify.feeds import WIDE_OVERLAP, WIDE_WALKS
from sync.decisions.poll_order import PollBudget
from sync.ledger.incoming.looks import Looks

#: How late news may become visible, or by how much its time may be wrong, and within what time a feed finds
#: it all the same.
_LATE = {
    FLOW: (
        timedelta(seconds=FlowSettings.receipts_late_seconds),
        timedelta(seconds=FlowSettings.receipts_late_every_seconds),
    ),
    SHOPIFY: (WIDE_OVERLAP, WIDE_WALKS),
}


def sweep_seconds(looks: Looks, settings: Settings) -> float:
    """Within how many seconds a running worker looks at every card of the side."""
    options = worker_options(settings)
    if looks.adaptive:
        return PollBudget(options.polls_per_second).bound_seconds(looks.cards)
    return math.ceil(looks.cards / options.sweep_slice) * options.sweep_interval_seconds


def look_lines(by_side: Mapping[str, Looks], settings: Settings, now: datetime) -> list[tuple[str, str]]:
    """A line for each side: the oldest look at a card there, and what bounds it."""
    lines = [(f"Oldest look at {side}", _words(one, settings, now)) for side, one in by_side.items()]
    return lines + [(f"Late news on {side}", _late_words(side)) for side in by_side if side in _LATE]


def _late_words(side: str) -> str:
    late, within = _LATE[side]
    return f"what is up to {span_words(late)} late or misdated is found within {span_words(within)}"


def _words(looks: Looks, settings: Settings, now: datetime) -> str:
    oldest = (
        "not every card was looked at yet" if looks.oldest_at is None else age_words(now - looks.oldest_at)
    )
    bound = span_words(timedelta(seconds=sweep_seconds(looks, settings)))
    words = f"{oldest} (while the worker runs, {plural(looks.cards, 'card')} within {bound})"
    return words + (f"; {plural(looks.unanswered, 'card')} gave no answer" if looks.unanswered else "")


def span_words(span: timedelta) -> str:
    """`3 hours`: a span, rounded up."""
    seconds = max(span.total_seconds(), 1.0)
    for size, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds > 2 * size:
            return plural(math.ceil(seconds / size), noun)
    return plural(math.ceil(seconds), "second")


def looks_json(by_side: Mapping[str, Looks], settings: Settings) -> dict[str, object]:
    return {
        side: {
            "cards": one.cards,
            "oldest_at": one.oldest_at,
            "unanswered": one.unanswered,
            "sweep_seconds": sweep_seconds(one, settings),
            "late_seconds": _LATE[side][0].total_seconds() if side in _LATE else None,
            "late_within_seconds": _LATE[side][1].total_seconds() if side in _LATE else None,
        }
        for side, one in by_side.items()
    }
