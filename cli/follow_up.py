"""What happens next, in words: who carries out what was decided, and what a stopped command leaves."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from cli.output import plural
from sync.ledger.database.running import worker_runs
from sync.ledger.views import Status


def carried_out_by(engine: Engine, now: datetime, what: str = "what follows") -> str:
    """Who goes on with what was decided: the worker, or else a command."""
    if worker_runs(engine, now):
        return f"The worker that runs carries {what} out."
    return f"`giftsync sync` carries {what} out; no worker runs."


def left_words(status: Status) -> str:
    """What a command that was stopped leaves, and what goes on with it."""
    counts = [
        (status.due, "card to work on", "cards to work on"),
        (status.arrivals, "card not matched yet", "cards not matched yet"),
        (sum(status.intents.values()), "effect not carried out yet", "effects not carried out yet"),
    ]
    left = [plural(count, one, many) for count, one, many in counts if count]
    if not left:
        return "Nothing is left to do."
    return f"Left: {', '.join(left)}. `giftsync sync` goes on with it, and asks the sides what did land."
