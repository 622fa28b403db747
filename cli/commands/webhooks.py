"""`giftsync webhooks add|list|remove|replay`: who is told of what happens to cards."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, TypedDict

import typer

from cli.build import now, open_ledger
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import Output, plural, rows, table, when
from cli.session import load_settings
from sync.authority.webhooks import new_webhook
from sync.ledger.hub.events import KINDS, Events, unknown_kinds

app = typer.Typer(help="Receivers of events, signed as Standard Webhooks.", no_args_is_help=True)


class ReceiverAnswer(TypedDict):
    """A receiver of events that was added."""

    id: str
    #: Shown this once; it signs what the receiver is told.
    secret: str


class ToldAnswer(TypedDict):
    """A receiver of events."""

    id: str
    events: list[str]
    #: Null while it is told.
    ended_at: datetime | None


class ReceiversAnswer(TypedDict):
    """Every receiver of events."""

    webhooks: list[ToldAnswer]


class EndedAnswer(TypedDict):
    """A receiver that is told nothing more."""

    id: str


class ReplayedAnswer(TypedDict):
    """A receiver that is told again."""

    id: str
    #: How many events.
    events: int


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where events are posted; https only.")],
    event: Annotated[
        list[str] | None, typer.Option("--event", help=f"One of {', '.join(KINDS)}; left out: all of them.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a receiver told of events from now on; prints the secret that proves them, once."""
    output = Output(as_json)
    unknown = unknown_kinds(event or ())
    if unknown:
        raise OperatorError(f"there is no event {unknown[0]}", f"There are {', '.join(KINDS)}.")
    try:
        webhook = new_webhook(url, tuple(event or ()), now())
    except ValueError as error:
        raise OperatorError(str(error), "Give an address that starts with https://.") from None
    with open_ledger(load_settings(config)) as ledger:
        Events(ledger.engine, ledger.vault).add(webhook)
    output.say(webhook.secret)
    output.note(f"Receiver {webhook.id}. The secret is shown once; the receiver checks signatures with it.")
    output.emit("webhooks add", ReceiverAnswer(id=webhook.id, secret=webhook.secret))


@app.command("list")
def list_webhooks(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every receiver."""
    output = Output(as_json)
    settings = load_settings(config)
    with open_ledger(settings) as ledger:
        found = Events(ledger.engine, ledger.vault).webhooks()
    lines = [
        (
            one.id,
            one.url.split("?")[0],
            ", ".join(one.events) or "everything",
            "" if one.ended_at is None else f"ended {when(one.ended_at, settings.link.zone)}",
        )
        for one in found
    ]
    if lines:
        output.show(rows(table("Id", "Address", "Told of", ""), lines))
    else:
        output.say("No receiver yet. `giftsync webhooks add` makes one.")
    output.emit(
        "webhooks list",
        ReceiversAnswer(
            webhooks=[ToldAnswer(id=w.id, events=list(w.events), ended_at=w.ended_at) for w in found]
        ),
    )


@app.command()
def remove(
    webhook: Annotated[str, typer.Argument(help="The id, as `giftsync webhooks list` shows it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a receiver nothing more."""
    output = Output(as_json)
    with open_ledger(load_settings(config)) as ledger:
        if not Events(ledger.engine, ledger.vault).end(webhook, now()):
            raise _unknown(webhook)
    output.say(f"Receiver {webhook} is told nothing more.")
    output.emit("webhooks remove", EndedAnswer(id=webhook))


@app.command()
def replay(
    webhook: Annotated[str, typer.Argument(help="The id, as `giftsync webhooks list` shows it.")],
    hours: Annotated[float, typer.Option(min=0.1, max=720, help="How far back.")] = 24.0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a receiver again of everything that happened; events keep their ids, so it knows them again."""
    output = Output(as_json)
    moment = now()
    with open_ledger(load_settings(config)) as ledger:
        events = Events(ledger.engine, ledger.vault)
        if webhook not in {one.id for one in events.webhooks() if one.ended_at is None}:
            raise _unknown(webhook)
        told = events.replay(webhook, moment - timedelta(hours=hours), moment)
    output.say(f"{plural(told, 'event')} will be told again while a worker works on the link.")
    output.emit("webhooks replay", ReplayedAnswer(id=webhook, events=told))


def _unknown(webhook: str) -> OperatorError:
    return OperatorError(f"no receiver {webhook} is told anything", "`giftsync webhooks list` shows them.")
