"""A person pauses the link, and lets a link that is stopped go on."""

from __future__ import annotations

from datetime import datetime

from sync.decisions import causes
from sync.decisions.resolutions import Action
from sync.ledger import views
from sync.ledger.conflicts.stops import STOPPING
from sync.ledger.database.engine import Engine
from sync.ledger.incoming.intake import Intake
from sync.ledger.views import ConflictRow
from sync.reconcile.work import Link
from sync.support import settle

WHY_CHARS_MAX = 300


class NotPaused(Exception):
    """The reason cannot be kept; the message says why."""


def pause(intake: Intake, by: str, why: str, now: datetime) -> bool:
    """Write nothing to any side until the link is resumed, as after a brake; whether that is new.

    Every process that works on the ledger obeys from its next effect on. A card whose effect is on its way is
    finished. Raises NotPaused.
    """
    words = " ".join(why.split()).rstrip(".")
    if not words or len(words) > WHY_CHARS_MAX:
        raise NotPaused(f"say why, in at most {WHY_CHARS_MAX} characters: it is kept with the conflict")
    return intake.report(causes.paused(by, words), now)


def stops(engine: Engine) -> list[ConflictRow]:
    """The open conflicts that stop the link."""
    return [one for one in views.list_conflicts(engine) if one.kind in STOPPING and one.card_id is None]


def is_pause(cause: str) -> bool:
    """Whether a person asked for the stop of this cause."""
    return cause == causes.PAUSED


def resume(link: Link, by: str, why: str) -> int:
    """Let the link go on; how many stops that ended. Raises NotResolved."""
    found = stops(link.store.engine)
    for one in found:
        settle.resolve(link, one.id, settle.Resolution(Action.RESUME, by, why))
    return len(found)
