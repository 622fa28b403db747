"""`giftsync people [list|add|remove]`: who may use the console."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, TypedDict

import typer

from cli.build import now, open_ledger
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import Output, rows, table, when
from cli.served import PORT
from cli.session import load_settings
from config.settings import Settings
from sync.ledger.support.people import Person
from sync.support.people import People, Refused, Role

app = typer.Typer(help="Who may use the console.", no_args_is_help=True)

_ROLES = {role.value.replace("_", "-"): role for role in Role}


class PersonAnswer(TypedDict):
    """Somebody who may use the console."""

    name: str
    role: str
    created_at: datetime
    #: Null: not yet.
    seen_at: datetime | None
    #: The row in the ledger was changed, not by giftsync: nothing lets the person in but a new link.
    altered: bool


class PeopleAnswer(TypedDict):
    """Who may use the console."""

    people: list[PersonAnswer]


class InvitedAnswer(TypedDict):
    """A one-time link."""

    #: Below the console's address.
    path: str
    role: str


class RemovedAnswer(TypedDict):
    """Somebody who may not use the console any more."""

    name: str


@app.command("list")
def list_people(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Everybody, with their role and when they were last seen."""
    output = Output(as_json)
    settings = load_settings(config)
    with _people(settings) as people:
        found = people.book.list()
    if found:
        zone = settings.link.zone
        lines = ((p.name, _role(p), when(p.seen_at, zone)) for p in found)
        output.show(rows(table("Name", "Role", "Last seen"), lines))
        if any(p.altered for p in found):
            output.note(
                "Who was changed comes in no more. `giftsync people add --name NAME --role ROLE` gives them "
                "a new link. Find out who writes into the database."
            )
    else:
        output.say("Nobody yet. `giftsync people add` makes a one-time link.")
    shown = [
        PersonAnswer(name=p.name, role=p.role, created_at=p.created_at, seen_at=p.seen_at, altered=p.altered)
        for p in found
    ]
    output.emit("people list", PeopleAnswer(people=shown))


@app.command()
def add(
    role: Annotated[
        str, typer.Option(help="merchant (all), support (cards, conflicts, imports) or read-only.")
    ] = "support",
    name: Annotated[
        str | None,
        typer.Option(
            help="For somebody who is there already: a new password. --role counts only if their row in "
            "the ledger was changed.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a one-time link that lets somebody in; it works once, for a day."""
    output = Output(as_json)
    settings = load_settings(config)
    if role not in _ROLES:
        raise OperatorError(f"there is no role {role}", f"Say one of: {', '.join(sorted(_ROLES))}.")
    with _people(settings) as people:
        person = None if name is None else people.book.by_name(name)
        if name is not None and person is None:
            raise OperatorError(f"there is nobody called {name}", "`giftsync people list` shows who is.")
        # The role of somebody whose row was changed is what the operator says.
        given = _ROLES[role] if person is None or person.altered else Role(person.role)
        token = people.invite(given, getpass.getuser(), person)
    section = settings.console
    address = section.public_url or f"http://{section.host}:{section.port or PORT}"
    output.say(f"{address.rstrip('/')}/join/{token}")
    output.note("It works once, for a day. The address is the one that `giftsync run` prints.")
    output.emit("people add", InvitedAnswer(path=f"/join/{token}", role=given.value))


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="As `people list` shows it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take somebody out; their sessions end at once."""
    output = Output(as_json)
    with _people(load_settings(config)) as people:
        try:
            people.remove(name, getpass.getuser())
        except Refused as error:
            raise OperatorError(str(error).rstrip(".")) from None
    output.say(f"{name} may not use the console any more.")
    output.emit("people remove", RemovedAnswer(name=name))


def _role(person: Person) -> str:
    return "changed in the ledger, not by giftsync" if person.altered else person.role.replace("_", "-")


@contextmanager
def _people(settings: Settings) -> Iterator[People]:
    with open_ledger(settings, create=False) as ledger:
        yield People(ledger.engine, ledger.vault, now)
