"""`giftsync conflicts list|show|resolve`."""

from __future__ import annotations

import getpass
from itertools import islice
from typing import Annotated

import typer

from cli.build import FLOW, SHOPIFY, build_worker, now, open_ledger
from cli.errors import OperatorError
from cli.follow_up import carried_out_by
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, plural, rows, table, when
from cli.session import load_settings, opened_sides, report_closed
from cli.show import age_words, conflicts_table, date_words, evidence_lines, presences_table
from connectors.api.side import CardRef, EffectKind
from connectors.shopify.mapping import card_id
from mappings.money import MoneyError, format_money, minor_from_decimal
from mappings.serials import Serial, SerialError
from sync.ledger import views
from sync.ledger.views import ConflictRow
from sync.model import ConflictKind, NewIntent
from sync.support import settle as settling
from sync.support.explain import meaning_of, words_for

LIMIT = 50

app = typer.Typer(help="What a person should know or decide.", no_args_is_help=True)

ConflictId = Annotated[
    int, typer.Argument(metavar="ID", help="The conflict's id, as `conflicts list` shows it.")
]


@app.command("list")
def list_conflicts(
    config: ConfigOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = LIMIT,
    as_json: JsonOption = False,
) -> int:
    """List the conflicts that wait for a person."""
    output = Output(as_json)
    settings = load_settings(config)
    with open_ledger(settings, create=False) as ledger:
        found = views.list_conflicts(ledger.engine, include_closed=everything)
        page = list(islice(found, limit))
        more = next(found, None) is not None
    if page:
        output.show(conflicts_table(page, settings.link.zone))
        output.say("`giftsync conflicts show ID` tells more, and what can be done.")
    else:
        output.say("No conflicts.")
    if more:
        output.say("There are more; raise --limit.")
    waiting = any(one.closed_at is None for one in page)
    code = ExitCode.CONFLICTS if waiting else ExitCode.IN_STEP
    output.emit("conflicts list", {"conflicts": page, "more": more}, code)
    return code


@app.command()
def show(conflict_id: ConflictId, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """One conflict with its evidence, and what can be said about it."""
    output = Output(as_json)
    settings = load_settings(config)
    zone = settings.link.zone
    with open_ledger(settings, create=False) as ledger:
        found = _find(list(views.list_conflicts(ledger.engine, conflict_id=conflict_id)), conflict_id)
        at = now()
        card = next(views.list_cards(ledger.engine, card_id=found.card_id), None) if found.card_id else None
    kind = ConflictKind(found.kind)
    actions = sorted(settling.actions_for(kind))
    output.say(f"Conflict {found.id}: {found.kind.replace('_', ' ')}")
    output.say(found.summary)
    if found.amount_minor and found.currency:
        output.say(f"At stake: {format_money(found.amount_minor, found.currency)}")
    output.say(
        f"Since {when(found.opened_at, zone)} ({age_words(at - found.opened_at)}), seen "
        f"{plural(found.seen, 'time')}, last {when(found.last_seen_at, zone)}."
    )
    output.say(f"Why: {meaning_of(kind).why}")
    output.say(f"Done already: {meaning_of(kind).done}")
    if found.card_id is not None:
        output.say(f"Card {found.card_id}: `giftsync cards show {found.card_id}`")
    if card is not None:
        output.show(presences_table(card))
    for line in evidence_lines(found.evidence, found.currency):
        output.say(line)
    if found.proposal:
        output.say(f"Proposal: {found.proposal}")
    if found.closed_at is None:
        output.say(f'Settle it: giftsync conflicts resolve {found.id} ACTION --why "..." [--preview], with')
        output.show(rows(table("Action", "It says"), ((one, words_for(kind, one)) for one in actions)))
    else:
        by = f" by {found.resolved_by}" if found.resolved_by else ""
        why = f", because: {found.resolved_why}" if found.resolved_why else ""
        said = (found.resolution or "").replace("_", " ")
        output.say(f"Closed {when(found.closed_at, zone)}{by}: {said}{why}")
    output.emit("conflicts show", {"conflict": found, "meaning": meaning_of(kind), "actions": actions})


@app.command()
def resolve(
    conflict_id: ConflictId,
    action: Annotated[
        settling.Action, typer.Argument(help="What you decide; `conflicts show` says what fits.")
    ],
    why: Annotated[str, typer.Option(help="Why; it is kept with the conflict.")],
    side: Annotated[str | None, typer.Option(help="For accept: flow or shopify.")] = None,
    amount: Annotated[str | None, typer.Option(help="For value: what the card is worth, as 250.00.")] = None,
    card: Annotated[
        str | None, typer.Option(help="For link: the number or code of the card that it is on that side.")
    ] = None,
    native_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="For link: its id, as its address in Shopify Admin ends."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who decides; your user name if left out.")] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Say what would follow, and do nothing.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Settle a conflict. The next run carries out what follows from it."""
    output = Output(as_json)
    if action is settling.Action.ACCEPT and side not in (FLOW, SHOPIFY):
        raise OperatorError(
            "accept needs the side whose balance is right", "Add --side flow or --side shopify."
        )
    settings = load_settings(config)
    with open_ledger(settings, create=False) as ledger, opened_sides(settings) as sides:
        found = _find(list(views.list_conflicts(ledger.engine, conflict_id=conflict_id)), conflict_id)
        value = _value(action, amount, found.currency)
        said = settling.Resolution(
            action, by or getpass.getuser(), why, side, value, _card(action, card, native_id)
        )
        link = build_worker(settings, ledger, sides, report_closed).link
        try:
            done = settling.resolve(link, conflict_id, said, preview=preview)
        except settling.NotResolved as error:
            raise OperatorError(str(error)) from None
        goes_on = carried_out_by(ledger.engine, now())
    if done.already_closed:
        output.say(f"Conflict {conflict_id} was closed already; nothing was changed.")
    else:
        _show_resolved(done, found.currency, output)
        output.say(
            "Nothing was changed. Say it again without --preview."
            if preview
            else f"Conflict {conflict_id} is settled. {goes_on}"
        )
    output.emit("conflicts resolve", {"resolved": done})
    return ExitCode.IN_STEP


def _show_resolved(done: settling.Resolved, currency: str | None, output: Output) -> None:
    """The card's balance before and after, and what will be written where."""
    if currency is None or done.before_minor is None or done.after_minor is None:
        return
    if done.before_minor != done.after_minor:
        before, after = format_money(done.before_minor, currency), format_money(done.after_minor, currency)
        output.say(f"The card is worth {after} instead of {before}.")
    for intent in done.planned:
        output.say(f"To be written: {intent.side}: {_effect_words(intent, currency)}.")
    for side in done.looks:
        output.say(f"To be looked at first: {side}; what is owed there follows.")
    for words in done.opened:
        output.say(f"To be decided next: {words}")


def _find(found: list[ConflictRow], conflict_id: int) -> ConflictRow:
    if not found:
        raise OperatorError(
            f"there is no conflict {conflict_id}", "`giftsync conflicts list --all` shows the ids."
        )
    return found[0]


def _effect_words(intent: NewIntent, currency: str) -> str:
    match intent.kind:
        case EffectKind.SET_STATUS:
            return f"set status to {intent.status}"
        case EffectKind.SET_EXPIRY:
            return f"set expiry to {date_words(intent.expires_on)}"
        case EffectKind.NOTIFY:
            return "tell the buyer"
    return f"{intent.kind} {format_money(abs(intent.amount_minor), currency)}"


def _card(action: settling.Action, number: str | None, native_id: str | None) -> CardRef | None:
    if action is not settling.Action.LINK:
        return None
    if native_id is not None and native_id.isdecimal():
        return CardRef(card_id(int(native_id)))
    if number is None:
        raise OperatorError("link needs the card that it is on that side", "Add --card NUMBER, or --id ID.")
    try:
        return CardRef(None, Serial(number))
    except SerialError as error:
        raise OperatorError(f"--card: {error}") from None


def _value(action: settling.Action, amount: str | None, currency: str | None) -> int | None:
    if action is not settling.Action.VALUE:
        return None
    if amount is None or currency is None:
        raise OperatorError("value needs the amount that the card is worth", "Add --amount 250.00.")
    try:
        return minor_from_decimal(amount, currency)
    except MoneyError as error:
        raise OperatorError(f"--amount: {error}", "For example: --amount 250.00.") from None
