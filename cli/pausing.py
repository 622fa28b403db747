"""Pausing a link and letting it go on, in the words of the command line."""

from __future__ import annotations

import getpass
from typing import TypedDict

from cli.build import build_link, known_currency, now, open_ledger
from cli.errors import OperatorError
from cli.follow_up import carried_out_by
from cli.output import Output, plural
from cli.session import opened_sides, report_closed
from config.settings import Settings
from sync.ledger.conflicts.stops import stopped_by
from sync.support import pausing, settle


class PauseAnswer(TypedDict):
    """A link that is paused."""

    #: Why nothing is written now, in words.
    stopped_by: list[str]


class ResumeAnswer(TypedDict):
    """A link that goes on."""

    #: Stops that ended: brakes and a pause.
    released: int


def pause_link(settings: Settings, why: str, output: Output, resume: str) -> list[str]:
    """Pause the link; why nothing is written now. `resume` is the command that ends it."""
    with open_ledger(settings) as ledger:
        try:
            is_new = pausing.pause(ledger.intake, getpass.getuser(), why, now())
        except pausing.NotPaused as error:
            raise OperatorError(str(error), 'Add --why "...".') from None
        stopped = stopped_by(ledger.engine)
    if is_new:
        output.say(f"The link is paused: nothing more is sent to its sides. {resume} lets it go on.")
    else:
        output.say(f"The link was paused before. {resume} lets it go on.")
    for words in stopped:
        output.say(f"STOPPED: {words}")
    return stopped


def resume_link(settings: Settings, why: str, output: Output) -> int:
    """End whatever stops the link; how many stops that were. Asks no side anything."""
    with open_ledger(settings, create=False) as ledger, opened_sides(settings) as sides:
        link = build_link(settings, ledger, sides, report_closed, known_currency(settings, ledger))
        try:
            released = pausing.resume(link, getpass.getuser(), why)
        except settle.NotResolved as error:
            raise OperatorError(str(error)) from None
        goes_on = carried_out_by(ledger.engine, now(), "the work")
    if released:
        output.say(f"Resumed: {plural(released, 'stop')} ended. {goes_on}")
    else:
        output.say("The link was not stopped.")
    return released
