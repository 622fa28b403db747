"""`giftsync privacy`: the privacy requests that were answered."""

from __future__ import annotations

from typing import TypedDict

import typer

from cli.build import open_ledger
from cli.options import ConfigOption, JsonOption
from cli.output import Output, rows, table, when
from cli.session import load_settings
from sync.ledger.support.privacy_requests import Answer, answers

app = typer.Typer(help="Privacy requests that sides passed on.", no_args_is_help=True)


class PrivacyAnswer(TypedDict):
    """Privacy requests that were answered."""

    answers: list[Answer]


@app.command("list")
def list_answers(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The requests that were answered, and how. Exports are files next to the ledger, in `privacy`."""
    output = Output(as_json)
    settings = load_settings(config)
    with open_ledger(settings, create=False) as ledger:
        found = answers(ledger.engine)
    zone = settings.link.zone
    if found:
        shown = ((one.id, when(one.answered_at, zone), one.topic, one.cards, one.outcome) for one in found)
        head = table("Id", "Answered", "Request", "Cards", "Outcome", right=["Id", "Cards"])
        output.show(rows(head, shown))
    else:
        output.say("No privacy requests came.")
    output.emit("privacy list", PrivacyAnswer(answers=found))


@app.callback()
def _group() -> None:
    """Privacy requests that sides passed on."""
