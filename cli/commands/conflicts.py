"""`giftsync conflicts list|show|resolve`."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Annotated, TypedDict

import typer

from cli.build import build_worker, now, open_ledger
from cli.cases import follow_up, show_case, show_list, show_resolved
from cli.conflict_walk import Answers, walk
from cli.errors import OperatorError
from cli.follow_up import carried_out_by
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output
from cli.reading import reading_link
from cli.session import load_settings, opened_sides, report_closed
from config.settings import Settings
from connectors.api.card import CardRef
from connectors.api.side import place_of
from mappings.money import MoneyError, minor_from_text
from mappings.serials import Serial, SerialError
from sync.decisions.resolutions import Action
from sync.ledger import views
from sync.ledger.views import IntentRow
from sync.reconcile.work import Link
from sync.support import cases
from sync.support import settle as settling
from sync.support.explain import Advice
from sync.worker.passes import PassReport

LIMIT = 50

app = typer.Typer(help="What a person should know or decide.", invoke_without_command=True)


class ListedAnswer(TypedDict):
    """A conflict, and what is known of it now. Amounts in minor units of `currency`."""

    id: int
    #: Null for a conflict of the whole link.
    card_id: int | None
    side: str | None
    kind: str
    #: One conflict is open per card and cause.
    cause: str
    summary: str
    #: What was at stake when it was last seen.
    amount_minor: int
    currency: str
    proposal: str
    evidence: Mapping[str, object]
    #: How often it was seen.
    seen: int
    opened_at: datetime
    last_seen_at: datetime
    #: Null while it is open.
    closed_at: datetime | None
    #: What was decided; `cause gone` when it closed by itself.
    resolution: str | None
    resolved_by: str | None
    resolved_why: str | None
    #: The card by its last four.
    card: str
    #: What happened, in a few words.
    what: str
    #: What is at stake now.
    at_stake_minor: int
    #: What to do next, in words.
    next_step: str


class ConflictsAnswer(TypedDict):
    """The conflicts that wait for a person, or all."""

    conflicts: list[ListedAnswer]
    #: Whether there are more than `--limit`.
    more: bool


class ConflictAnswer(TypedDict):
    """One conflict, and what can be decided."""

    conflict: ListedAnswer
    #: Null for a closed one.
    advice: Advice | None
    #: What can be decided, by the names that `conflicts resolve` takes.
    actions: list[Action]
    #: What was decided, in words; empty while it is open.
    decided: str
    #: What was written to the sides because of it.
    writes: tuple[IntentRow, ...]


class DecidedAnswer(TypedDict):
    """What came of a decision."""

    resolved: settling.Resolved


ConflictId = Annotated[
    int, typer.Argument(metavar="ID", help="The conflict's id, as `conflicts list` shows it.")
]


@app.callback()
def conflicts(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What a person should know or decide."""
    if context.invoked_subcommand is None:
        raise typer.Exit(list_conflicts(config, as_json=as_json))


@app.command("list")
def list_conflicts(
    config: ConfigOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = LIMIT,
    as_json: JsonOption = False,
) -> int:
    """List the conflicts that wait for a person, each with its card and the next step."""
    output = Output(as_json)
    with reading_link(load_settings(config)) as link:
        found = cases.list_cases(link, include_closed=everything)
        page = list(islice(found, limit))
        more = next(found, None) is not None
        waiting = next(views.list_conflicts(link.store.engine), None) is not None
    if page:
        show_list(page, now(), output)
        output.say("`giftsync conflicts show ID` tells more; `giftsync conflicts resolve` walks you through.")
    else:
        output.say("No conflicts.")
    if more:
        output.say("There are more; raise --limit.")
    code = ExitCode.CONFLICTS if waiting else ExitCode.IN_STEP
    output.emit(
        "conflicts list", ConflictsAnswer(conflicts=[_listed_json(one) for one in page], more=more), code
    )
    return code


@app.command()
def show(conflict_id: ConflictId, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """One conflict: what each side says, what is at stake now, what to do next, and what can be decided."""
    output = Output(as_json)
    settings = load_settings(config)
    with reading_link(settings) as link:
        found = cases.show_case(link, conflict_id)
    if found is None:
        raise _unknown(conflict_id)
    show_case(found, now(), settings.link.zone, output)
    advice = found.advice
    output.emit(
        "conflicts show",
        ConflictAnswer(
            conflict=_listed_json(found.listed),
            advice=advice,
            actions=[] if advice is None else sorted({option.action for option in advice.options}),
            decided=found.decided,
            writes=found.writes,
        ),
    )


@app.command()
def resolve(
    conflict_id: Annotated[
        int | None,
        typer.Argument(
            metavar="[ID]", help="The conflict's id; left out, you are asked.", show_default=False
        ),
    ] = None,
    action: Annotated[
        Action | None,
        typer.Argument(help="What you decide; left out, you are asked. `conflicts show` says what fits."),
    ] = None,
    why: Annotated[str, typer.Option(help="Why; it is kept with the conflict. Required.")] = "",
    side: Annotated[str | None, typer.Option(help="For accept: the side that is right.")] = None,
    amount: Annotated[str | None, typer.Option(help="For value: what the card is worth, as 250.00.")] = None,
    card: Annotated[
        str | None,
        typer.Option(help="For link: the card's number on that side; - reads standard input."),
    ] = None,
    native_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="For link: its id, as its address on that side ends."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who decides; your user name if left out.")] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Say what would follow, and do nothing.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Settle a conflict. Without ID or ACTION you are walked through."""
    output = Output(as_json)
    settings = load_settings(config)
    person = by or getpass.getuser()
    if conflict_id is None or action is None:
        if as_json or not sys.stdin.isatty():
            raise _undecided(conflict_id)
        with _writing_link(settings, limits=True) as link:
            walk(link, settings.link.zone, person, Answers(conflict_id, why, preview), output)
        return ExitCode.IN_STEP
    names = list(settings.sides.by_name())
    if action is Action.ACCEPT and side not in names:
        wrong = "accept needs the side that is right" if side is None else f"{side} is no side of this link"
        raise OperatorError(wrong, f"Say {' or '.join(f'--side {name}' for name in names)}.")
    with _writing_link(settings, limits=action in (Action.ACCEPT, Action.VALUE)) as link:
        value = _value(action, amount, link.currency)
        ref = _card(action, card, native_id, link, conflict_id)
        said = settling.Resolution(action, person, why, side, value, ref)
        done = _settle(link, conflict_id, said, output, preview=preview)
    output.emit("conflicts resolve", DecidedAnswer(resolved=done))
    return ExitCode.IN_STEP


def _settle(
    link: Link, conflict_id: int, said: settling.Resolution, output: Output, *, preview: bool
) -> settling.Resolved:
    """Carry the decision out, or say what would follow."""
    places = cases.places_of(link.sides)
    try:
        done = settling.resolve(link, conflict_id, said, preview=preview, places=places)
    except settling.NotResolved as error:
        raise OperatorError(str(error)) from None
    if done.already_closed:
        output.say(f"Conflict {conflict_id} was closed already; nothing was changed.")
        return done
    show_resolved(done, link.currency, places, output)
    if preview:
        output.say("Nothing was changed. Say it again without --preview.")
    else:
        output.say(follow_up(conflict_id, done, carried_out_by(link.store.engine, now())))
    return done


@contextmanager
def _writing_link(settings: Settings, *, limits: bool) -> Iterator[Link]:
    """The link for a decision; with `limits`, sides are asked how much one card may hold."""
    with open_ledger(settings, create=False) as ledger, opened_sides(settings) as sides:
        worker = build_worker(settings, ledger, sides, report_closed)
        if limits:
            worker.read_limits(PassReport())
        yield worker.link


def _undecided(conflict_id: int | None) -> OperatorError:
    """Where nobody can be walked through."""
    if conflict_id is None:
        return OperatorError(
            "say which conflict and what you decide", "`giftsync conflicts list` shows what waits."
        )
    return OperatorError(
        f"say what you decide of conflict {conflict_id}",
        f"`giftsync conflicts show {conflict_id}` shows what can be decided.",
    )


def _unknown(conflict_id: int) -> OperatorError:
    return OperatorError(
        f"there is no conflict {conflict_id}", "`giftsync conflicts list --all` shows the ids."
    )


def _listed_json(one: cases.Listed) -> ListedAnswer:
    """The conflict's row with what is known of it now."""
    row = one.conflict
    return ListedAnswer(
        id=row.id,
        card_id=row.card_id,
        side=row.side,
        kind=row.kind,
        cause=row.cause,
        summary=row.summary,
        amount_minor=row.amount_minor,
        currency=one.currency,
        proposal=row.proposal,
        evidence=row.evidence,
        seen=row.seen,
        opened_at=row.opened_at,
        last_seen_at=row.last_seen_at,
        closed_at=row.closed_at,
        resolution=row.resolution,
        resolved_by=row.resolved_by,
        resolved_why=row.resolved_why,
        card=one.ends_in,
        what=one.what,
        at_stake_minor=one.at_stake_minor,
        next_step=one.next_step,
    )


def _card(
    action: Action, number: str | None, native_id: str | None, link: Link, conflict_id: int
) -> CardRef | None:
    if action is not Action.LINK:
        return None
    if native_id is not None:
        return CardRef(_native_id(native_id, link, conflict_id))
    if number is None:
        raise OperatorError("link needs the card that it is on that side", "Add --card NUMBER, or --id ID.")
    try:
        return CardRef(None, Serial(sys.stdin.readline().strip() if number == "-" else number))
    except SerialError as error:
        raise OperatorError(f"--card: {error}") from None


def _native_id(text: str, link: Link, conflict_id: int) -> str:
    """The side's own id from what people read there: the side of the conflict knows their form."""
    row = next(
        (
            one
            for one in views.list_conflicts(link.store.engine, include_closed=True)
            if one.id == conflict_id
        ),
        None,
    )
    side = None if row is None or row.side is None else link.sides.get(row.side)
    found = None if side is None else place_of(side).id_of(text)
    if found is None:
        raise OperatorError("--id: no card of that side has such an id", "Add --card NUMBER instead.")
    return found


def _value(action: Action, amount: str | None, currency: str) -> int | None:
    if action is not Action.VALUE:
        return None
    if amount is None:
        raise OperatorError("value needs the amount that the card is worth", "Add --amount 250.00.")
    try:
        return minor_from_text(amount, currency)
    except MoneyError as error:
        raise OperatorError(f"--amount: {error}", "For example: --amount 250.00.") from None
