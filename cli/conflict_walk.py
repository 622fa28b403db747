"""`giftsync conflicts resolve` without a decision: a person is asked one thing after the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

import typer

from cli.build import now
from cli.cases import follow_up, show_case, show_list, show_resolved
from cli.errors import OperatorError
from cli.follow_up import carried_out_by
from cli.output import Output
from connectors.api.card import CardRef
from mappings.money import MoneyError, minor_from_text
from mappings.redaction import said
from mappings.serials import Serial, SerialError
from sync.reconcile.work import Link
from sync.support import cases
from sync.support import settle as settling
from sync.support.explain import Advice, Option

#: Whoever never gives an answer that fits is not asked for ever.
ASKED_MAX = 10


@dataclass(frozen=True)
class Answers:
    """What the person said with the command already."""

    conflict_id: int | None = None
    why: str = ""
    #: Whether only what would follow is to be shown.
    preview: bool = False


def walk(link: Link, zone: tzinfo, person: str, given: Answers, output: Output) -> None:
    """Which conflict, what is decided, why; then what follows, and a last yes before anything is changed."""
    waiting = list(cases.list_cases(link))
    if not waiting:
        output.say("No conflicts.")
        return
    conflict_id = given.conflict_id
    if conflict_id is None:
        show_list(waiting, now(), output)
        ids = [one.conflict.id for one in waiting]
        conflict_id = ids[0] if len(ids) == 1 else int(_one_of("Which one", [str(one) for one in ids]))
        output.say("")
    found = cases.show_case(link, conflict_id)
    if found is None or found.advice is None:
        raise OperatorError(f"conflict {conflict_id} does not wait for anybody")
    show_case(found, now(), zone, output, commands=False)
    option = _choose(found.advice, output)
    value, card = _needed(option, link.currency)
    why = given.why or _text("Why? It is kept with the conflict")
    decided = settling.Resolution(option.action, person, why, option.side, value, card)
    places = cases.places_of(link.sides)
    try:
        told = settling.resolve(link, conflict_id, decided, preview=True, places=places)
        show_resolved(told, link.currency, places, output)
        if given.preview or not typer.confirm("Settle it so?"):
            output.say("Nothing was changed.")
            return
        settling.resolve(link, conflict_id, decided, places=places)
    except settling.NotResolved as error:
        raise OperatorError(str(error)) from None
    goes_on = carried_out_by(link.store.engine, now(), "what follows")
    output.say(follow_up(conflict_id, told, goes_on))


def _choose(advice: Advice, output: Output) -> Option:
    output.say("")
    for number, option in enumerate(advice.options, 1):
        output.paragraph(f"{number}  {option.words[0].upper()}{option.words[1:]}.", after="   ")
    numbers = [str(number) for number in range(1, len(advice.options) + 1)]
    return advice.options[int(_one_of("What do you decide", numbers)) - 1]


def _needed(option: Option, currency: str) -> tuple[int | None, CardRef | None]:
    """The amount or the card that the decision needs besides."""
    for _ in range(ASKED_MAX):
        try:
            if option.needs == "amount":
                return minor_from_text(_text("What is the card worth, as 250.00"), currency), None
            if option.needs == "card":
                return None, CardRef(None, Serial(_text("Its number there (not shown)", hidden=True)))
            return None, None
        except (MoneyError, SerialError) as error:
            typer.echo(f"{error}.")
    raise typer.Abort


def _one_of(question: str, answers: list[str]) -> str:
    for _ in range(ASKED_MAX):
        answer = _text(f"{question} ({', '.join(answers)})")
        if answer in answers:
            return answer
        typer.echo(f"{said(answer)} is none of these; Ctrl-C leaves everything as it is.")
    raise typer.Abort


def _text(question: str, *, hidden: bool = False) -> str:
    for _ in range(ASKED_MAX):
        answer = str(typer.prompt(question, hide_input=hidden)).strip()
        if answer:
            return answer
    raise typer.Abort
