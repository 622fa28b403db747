"""`giftsync demo`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption
from cli.output import ExitCode, Output, facts, number, plural
from cli.signals import stop_on_signals
from config.logging import configure_logging

if TYPE_CHECKING:
    from cli.demo.director import Outcome

ERRORS_SHOWN = 5
#: As `link.quiet_seconds` is by default: the demo's lags are those of a real shop.
QUIET_SECONDS = 60.0


def demo(
    duration: Annotated[
        float | None,
        typer.Option(
            min=1, max=86_400, help="Seconds of traffic; until Ctrl-C if left out.", show_default=False
        ),
    ] = None,
    cards: Annotated[
        int, typer.Option(min=0, max=100_000, help="Cards that are there when it begins.")
    ] = 100,
    faults: Annotated[
        bool, typer.Option("--faults", help="Lose 10 % of all answers, fail 5 % of all calls, throttle.")
    ] = False,
    quiet_seconds: Annotated[
        float,
        typer.Option(
            min=0.1, max=3600, help="How long a lost request may still land; the default is a real shop's."
        ),
    ] = QUIET_SECONDS,
    sides: Annotated[
        str,
        typer.Option(
            help="The types of systems, such as lightspeed-x,shopify; or how many: with 3, a third side by "
            "an installed connector's stand-in."
        ),
    ] = "flow,shopify",
    third: Annotated[
        str | None,
        typer.Option(help="Which connector a third side is of, if several bring one.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same cards and people.")] = 0,
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep the ledger in this empty folder, to look at afterwards.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Try it: every side emulated, people who buy and spend, the worker, and a proof that it all adds up.

    Exit codes: 0 proved, 1 not proved yet, since cards wait for a person, 2 not proved.
    """
    output = Output(as_json)
    # The emulators take half a second to import, which every other command would pay.
    from cli.demo.answer import demo_json
    from cli.demo.scene import CONFIG_NAME, DemoOptions, scene
    from cli.demo.venue import chosen_sides, sides_words
    from cli.demo.view import shown
    from cli.emulators import SIDES_DEFAULT

    # A log line in the middle of the live view would tear it apart.
    log = io.StringIO()
    configure_logging(level="ERROR", stream=log)
    kinds = chosen_sides(sides, third)
    output.note(f"Starting {sides_words(kinds)} on this machine, with {plural(cards, 'card')} in them.")
    options = DemoOptions(duration, cards, faults, seed, keep, quiet_seconds, kinds)
    with (
        stop_on_signals(output.note) as stop,
        shown(output) as show,
        scene(options, show, stop, output) as director,
    ):
        outcome = director.perform(duration)
    errors = log.getvalue().splitlines()
    _show(outcome, errors, output)
    again = "giftsync demo --duration 60" + (f" --sides {','.join(kinds)}" if kinds != SIDES_DEFAULT else "")
    kept = None if keep is None else keep / CONFIG_NAME
    _show_next(kept, outcome, again, faults=faults, output=output)
    code = exit_code_of(outcome)
    output.emit("demo", demo_json(outcome, errors), code)
    return code


def _show(outcome: Outcome, errors: list[str], output: Output) -> None:
    from cli.demo.proof import proof_table

    output.show(facts(_figures(outcome)))
    output.say("")
    output.show(proof_table(outcome.proof))
    output.say("")
    for line in errors[:ERRORS_SHOWN]:
        output.note(line)
    for finding in outcome.findings[:ERRORS_SHOWN]:
        output.note(finding.summary)
    audit = outcome.audit
    output.say(
        f"Audit: {plural(audit.movements, 'movement')} and {plural(audit.intent_states, 'intent state')} of "
        f"{plural(audit.cards, 'card')} recomputed and read back from {_all(outcome)} sides, "
        f"{plural(len(outcome.findings), 'discrepancy', 'discrepancies')}."
    )
    output.say(_verdict(outcome))
    if outcome.waits_for_people:
        for one in outcome.asked:
            output.say(f"  Card {one.card_id}, conflict {one.id}: {one.summary}")


def exit_code_of(outcome: Outcome) -> ExitCode:
    """What a script is told: proved, waiting for a person, or wrong."""
    if outcome.proved:
        return ExitCode.IN_STEP
    return ExitCode.CONFLICTS if outcome.waits_for_people else ExitCode.FAILED


def _figures(outcome: Outcome) -> list[tuple[str, object]]:
    """What happened, in numbers, each with its name."""
    from cli.demo.view import lag_words, usage_words

    minutes = outcome.traffic_seconds / 60
    rate = f" ({number(round(outcome.movements / minutes))} a minute)" if minutes else ""
    return [
        ("Movements", number(outcome.movements) + rate),
        ("Payments refused", number(outcome.refused)),
        (f"Lag until {_all(outcome)} sides showed it", lag_words(outcome.lags)),
        ("Conflicts for a person", number(outcome.conflicts)),
        *(
            (f"{outcome.places.system(name)} API", usage_words(usage))
            for name, usage in outcome.usage.items()
        ),
    ]


def _verdict(outcome: Outcome) -> str:
    if outcome.proved:
        return f"Proved: every card is the same on {_all(outcome)} sides, and nothing was created or lost."
    if outcome.waits_for_people:
        different = outcome.proof.different
        wait = f"{plural(different, 'card')} {'waits' if different == 1 else 'wait'}"
        return f"Not proved yet: {wait} for a person to say what became of a write whose answer was lost."
    return "NOT PROVED: the table shows where it does not add up. Please report it."


def _all(outcome: Outcome) -> str:
    """Of the sides."""
    return "both" if len(outcome.usage) == 2 else f"all {len(outcome.usage)}"


def _show_next(config: Path | None, outcome: Outcome, again: str, *, faults: bool, output: Output) -> None:
    """Commands that go on from here, each with what it is for."""
    steps: list[tuple[str, str]] = []
    if config is not None:
        steps += [
            (f"giftsync cards --config {config}", "every card, and whether it is in step"),
            (f"giftsync cards show {outcome.busiest_card} --config {config}", "the card that moved most"),
            (f"giftsync audit --config {config}", "the proof again, from the ledger alone"),
            (f"giftsync liability --config {config}", "what is owed on the cards, and how it came about"),
        ]
        if outcome.conflicts:
            steps.append((f"giftsync conflicts list --config {config}", "what a person should know"))
    if not faults:
        steps.append((f"{again} --faults", "the same while answers get lost"))
    if config is None:
        steps.append((f"{again} --keep demo", "keep the ledger, to look into it"))
    steps += [
        ("docs/tutorial/first-sync.md", "be the cashier and the shopper yourself"),
        ("giftsync config init", "begin with a shop of your own"),
    ]
    output.say("")
    output.say("What to try next:")
    for command, words in steps:
        output.say(f"  {words}:")
        output.say(f"    {command}")
