"""`giftsync doctor`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, TypedDict

import typer
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from cli.build import open_ledger
from cli.checkup import LINK, Diagnosis, broken_off, examine, ledger_if_any, probe
from cli.errors import OperatorError, explain
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, plural
from cli.session import load_settings, opened_sides
from config.settings import Settings
from connectors import registry
from connectors.api.doctor import Examinable, Finding, Verdict
from connectors.api.errors import SideError
from connectors.api.side import Side
from mappings.serials import Serial, SerialError, mask
from sync.ledger.database.engine import only_worker

_STYLES = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.MISSING: "bold red",
    Verdict.UNKNOWN: "dim",
}
_TOGETHER = "All together"
_INDENT = " " * 11
LINE_CHARS_MAX = 256
_LEFT_OVER = {("probe", Verdict.WARNING)}


class FindingAnswer(TypedDict):
    """One point that was looked at."""

    side: str
    #: Stable, for scripts.
    point: str
    verdict: Verdict
    sentence: str
    #: How to grant or mend it; empty when there is nothing to do.
    remedy: str
    evidence: Mapping[str, str | int | bool | None]


class DoctorAnswer(TypedDict):
    """What works, and what is missing."""

    findings: list[FindingAnswer]
    #: What a probe found.
    probe: list[FindingAnswer]
    #: How many points keep the link from running.
    missing: int
    warnings: int


def doctor(
    config: ConfigOption = None,
    side: Annotated[str | None, typer.Option("--side", help="Only this side.", show_default=False)] = None,
    card: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="A test card to look at, and for --probe to try things on; - asks for it.",
            show_default=False,
        ),
    ] = None,
    try_out: Annotated[
        bool, typer.Option("--probe", help="Move 1.00 on the test card and back, to see what really happens.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before probing.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Ask every side what works, and say what is missing and how to mend it.

    Exit codes: 0 all good, 1 there are warnings, 3 the link cannot run.
    """
    output = Output(as_json)
    serial = _serial(card)
    if try_out and serial is None:
        raise OperatorError(
            "--probe needs a test card of your own", "Name it: giftsync doctor --probe --card NUMBER."
        )
    settings, tried = load_settings(config), Diagnosis()
    sections = settings.sides.by_name()
    if side is not None and side not in sections:
        raise OperatorError(f"there is no side {side}", f"There are: {', '.join(sections)}.")
    titles = _titles(settings)
    with opened_sides(settings) as sides:
        examinables = _examinable(sides, side)
        if try_out and serial is not None:
            _agree(serial, [titles[name] for name in examinables], output, yes=yes)
            tried = _probe_all(settings, examinables, serial, titles, output)
    # Opened anew: what was proved just now is switched on from here on.
    with opened_sides(settings) as sides, ledger_if_any(settings) as ledger:
        examinables = _examinable(sides, side)
        visit = examine(settings, examinables, ledger, serial)
    return _report(visit, tried, titles, output)


def _examinable(sides: Mapping[str, Side], only: str | None) -> dict[str, Examinable]:
    """The sides that can be examined, by name; with `only`, that one alone."""
    can = {name: one.abilities.examinable for name, one in sides.items() if only in (None, name)}
    return {name: one for name, one in can.items() if one is not None}


def _serial(card: str | None) -> Serial | None:
    if card is None:
        return None
    if card == "-":
        ask = sys.stdin.isatty()
        card = typer.prompt("The test card's number", hide_input=True, err=True) if ask else _line()
    try:
        return Serial(card)
    except SerialError as error:
        raise OperatorError(f"--card: {error}", "Give the whole number or code of one card.") from None


def _line() -> str:
    return sys.stdin.readline(LINE_CHARS_MAX)


def _titles(settings: Settings) -> dict[str, str]:
    """What each part of the report is called."""
    sections = settings.sides.by_name()
    kinds = [section.connector for section in sections.values()]
    titles = {LINK: _TOGETHER}
    for name, section in sections.items():
        title = registry.connector_type(section.connector).title
        titles[name] = title if kinds.count(section.connector) == 1 else f"{title} ({name})"
    return titles


def _agree(serial: Serial, titles: Sequence[str], output: Output, *, yes: bool) -> None:
    """Nothing is tried without a yes."""
    names = " and ".join(titles)
    output.note(
        f"The probe moves 1.00 on the card {mask(serial.last_chars)} in {names} and back again. "
        "The card's list of transactions, and orders for it, keep showing it. "
        "Use a test card, not a customer's."
    )
    if yes:
        return
    if not sys.stdin.isatty():
        raise OperatorError("nobody is there to say yes", "Add --yes.")
    if not typer.confirm("Go on?", err=True):
        raise OperatorError("nothing was tried", "Run it without --probe to look only.")


def _probe_all(
    settings: Settings,
    examinables: Mapping[str, Examinable],
    serial: Serial,
    titles: Mapping[str, str],
    output: Output,
) -> Diagnosis:
    """Probe each side; whatever goes wrong on one is said, and the other is still tried."""
    tried = Diagnosis()
    # A worker would take the probe for a customer, and carry it to the other side.
    with open_ledger(settings) as ledger, only_worker(ledger.engine):
        for name, examinable in examinables.items():
            output.say("")
            output.say(f"Probe of {titles[name]}")
            try:
                for finding in probe(settings, name, examinable, ledger, serial):
                    tried.add(name, finding)
                    _show(finding, output)
                if name not in tried.findings:
                    output.say("  Nothing is left open that a probe could tell.")
            except SideError as error:
                failure = explain(error)
                remedy = failure.remedy if failure is not None else ""
                finding = broken_off(error, remedy)
                tried.add(name, finding)
                _show(finding, output)
            except KeyboardInterrupt:
                output.note("The probe was cut short. Run it again with the same card to put it back.")
                raise
    return tried


def _report(visit: Diagnosis, tried: Diagnosis, titles: Mapping[str, str], output: Output) -> int:
    for name, findings in visit.findings.items():
        output.say("")
        output.say(titles[name])
        for finding in findings:
            _show(finding, output)
    missing = visit.count(Verdict.MISSING)
    # What was tried and kept is in the visit already; what is left of a probe is not.
    left = [
        one for found in tried.findings.values() for one in found if (one.point, one.verdict) in _LEFT_OVER
    ]
    warnings = visit.count(Verdict.WARNING) + len(left)
    code = ExitCode.COULD_NOT_RUN if missing else ExitCode.CONFLICTS if warnings else ExitCode.IN_STEP
    output.say("")
    if missing:
        output.say(
            f"The link cannot run: {plural(missing, 'thing')} missing, {plural(warnings, 'warning')} besides."
        )
    elif warnings:
        output.say(f"The link can run, with {plural(warnings, 'warning')}.")
    else:
        output.say("All is well.")
    output.emit(
        "doctor",
        DoctorAnswer(findings=_rows(visit), probe=_rows(tried), missing=missing, warnings=warnings),
        code,
    )
    return code


def _rows(visit: Diagnosis) -> list[FindingAnswer]:
    return [
        FindingAnswer(
            side=name,
            point=one.point,
            verdict=one.verdict,
            sentence=one.sentence,
            remedy=one.remedy,
            evidence=one.evidence,
        )
        for name, findings in visit.findings.items()
        for one in findings
    ]


def _show(finding: Finding, output: Output) -> None:
    """One finding: its verdict, a sentence, and below it what to do."""
    if output.as_json:
        return
    style = _STYLES[finding.verdict]
    words = [finding.sentence, *([f"→ {finding.remedy}"] if finding.remedy else [])]
    if output.out.is_terminal:
        # Two columns, so that what is wrapped stays beside its verdict.
        grid = Table.grid(Column(width=len(_INDENT) - 1), Column(), padding=(0, 1, 0, 0))
        for head, text in zip((f"  {finding.verdict.value}", ""), words, strict=False):
            grid.add_row(Text(head, style=style), Text(text))
        output.out.print(grid)
        return
    heads = (f"  [{style}]{finding.verdict.value:<8}[/{style}] ", _INDENT)
    for head, text in zip(heads, words, strict=False):
        output.out.print(f"{head}{escape(text)}", soft_wrap=True)
