"""`giftsync audit`: the proof, or each place where the ledger contradicts itself."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, TypedDict

import typer
from rich.table import Table

from cli.build import now, open_ledger, open_sides
from cli.options import ConfigOption, JsonOption
from cli.output import Output, plural, rows, table
from cli.session import load_settings
from mappings.money import decimal_from_minor, format_money
from sync.ledger.proof.findings import Finding
from sync.support.audit import Audit, Totals
from sync.support.audit import audit as begin_audit

FINDINGS_SHOWN_MAX = 1_000


def audit(
    config: ConfigOption = None,
    live: Annotated[
        bool, typer.Option("--live", help="Also read every card on every side and compare.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Recompute every card from its movements, check that no row was touched, and print the proof.

    Exit code 0 when everything comes out, 2 when something does not.
    """
    output = Output(as_json)
    settings = load_settings(config)
    with open_ledger(settings, create=False) as ledger:
        sides = open_sides(settings) if live else {}
        try:
            found = begin_audit(ledger.engine, ledger.vault, now, sides)
            findings = _walk(found, output)
        finally:
            for side in sides.values():
                side.close()
    for currency, totals in found.totals.items():
        output.show(_proof(totals, currency, live))
    checked = (
        f"{plural(found.cards, 'card')}, {found.movements} movements, {found.intent_states} intent states"
    )
    if found.discrepancies:
        output.say(f"{plural(found.discrepancies, 'discrepancy', 'discrepancies')} in {checked}.")
    else:
        output.say(f"The ledger is whole: {checked} checked.")
    output.emit("audit", _as_json(found, findings, live), found.exit_code)
    return found.exit_code


def _walk(found: Audit, output: Output) -> list[Finding]:
    """Run the audit, showing each finding as it comes; keeps the first of them for --json."""
    findings = iter(found)
    kept: list[Finding] = list(islice(findings, FINDINGS_SHOWN_MAX))
    for finding in kept:
        where = "" if finding.card_id is None else f"Card {finding.card_id}: "
        output.say(f"{where}{finding.summary}")
    more = sum(1 for _ in findings)
    if more:
        output.say(f"… and {more} more.")
    return kept


def _proof(totals: Totals, currency: str, live: bool) -> Table:
    def money(minor: int) -> str:
        return format_money(minor, currency)

    made = table("The account", "Amount", right=["Amount"])
    rows(
        made,
        [
            ("Opening balances", money(totals.opening_minor)),
            ("Came in on the sides", money(totals.came_in_minor)),
            ("Went out on the sides", money(totals.went_out_minor)),
            ("Written off", money(totals.written_off_minor)),
            ("Settled by people and policies", money(totals.resolved_minor)),
            ("Ended with closed cards", money(totals.closed_minor)),
            ("= the movements come to", money(totals.sum_minor)),
        ],
    )
    made.add_section()
    rows(made, [("The hub's balances", money(totals.hub_minor))])
    if totals.unverified:
        words = f"… of which not verified ({plural(totals.unverified, 'card')})"
        rows(made, [(words, money(totals.unverified_minor))])
    for name, side in sorted(totals.sides.items()):
        rows(made, [(f"{name} shows, as far as is known", money(side.shadow_minor))])
        if side.on_the_way_minor:
            rows(made, [(f"… of which is on the way to {name}", money(side.on_the_way_minor))])
        if live:
            rows(made, [(f"{name} shows now ({plural(side.read, 'card')} read)", money(side.shown_minor))])
    return made


class SideTotalsAnswer(TypedDict):
    """One side's part of the proof. Amounts are decimal strings."""

    cards: int
    #: What the side shows once everything on the way has landed.
    shadow: str
    on_the_way: str
    #: Live: cards that were read, and what they show together.
    read: int
    shown: str
    #: Live: cards that show something else than expected, and by how much together.
    moved: int
    moved_amount: str
    #: Live: cards that the side does not show, that could not be read, or that were being worked on.
    absent: int
    unread: int
    busy: int


class TotalsAnswer(TypedDict):
    """The proof for one currency: `opening` to `closed` come to `hub`. Amounts are decimal strings."""

    cards: int
    opening: str
    came_in: str
    went_out: str
    written_off: str
    resolved: str
    closed: str
    #: The balances of all cards.
    hub: str
    #: Cards that do not verify, and what of `hub` is theirs: it is not owed before it is proved.
    unverified: int
    unverified_amount: str
    sides: dict[str, SideTotalsAnswer]


class AuditAnswer(TypedDict):
    """The ledger recomputed."""

    clean: bool
    #: Whether the sides were read, too.
    live: bool
    cards: int
    movements: int
    intents: int
    intent_states: int
    discrepancies: int
    #: The first thousand.
    findings: list[Finding]
    #: By currency.
    totals: dict[str, TotalsAnswer]


def _totals_json(totals: Totals, currency: str) -> TotalsAnswer:
    def text(minor: int) -> str:
        return decimal_from_minor(minor, currency)

    return TotalsAnswer(
        cards=totals.cards,
        opening=text(totals.opening_minor),
        came_in=text(totals.came_in_minor),
        went_out=text(totals.went_out_minor),
        written_off=text(totals.written_off_minor),
        resolved=text(totals.resolved_minor),
        closed=text(totals.closed_minor),
        hub=text(totals.hub_minor),
        unverified=totals.unverified,
        unverified_amount=text(totals.unverified_minor),
        sides={
            name: SideTotalsAnswer(
                cards=side.cards,
                shadow=text(side.shadow_minor),
                on_the_way=text(side.on_the_way_minor),
                read=side.read,
                shown=text(side.shown_minor),
                moved=side.moved,
                moved_amount=text(side.moved_minor),
                absent=side.absent,
                unread=side.unread,
                busy=side.busy,
            )
            for name, side in totals.sides.items()
        },
    )


def _as_json(found: Audit, findings: list[Finding], live: bool) -> AuditAnswer:
    return AuditAnswer(
        clean=found.exit_code == 0,
        live=live,
        cards=found.cards,
        movements=found.movements,
        intents=found.intents,
        intent_states=found.intent_states,
        discrepancies=found.discrepancies,
        findings=findings,
        totals={currency: _totals_json(totals, currency) for currency, totals in found.totals.items()},
    )
