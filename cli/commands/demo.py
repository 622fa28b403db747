"""`giftsync demo`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption
from cli.output import ExitCode, Output, facts
from cli.signals import stop_on_signals
from config.logging import configure_logging

if TYPE_CHECKING:
    from cli.demo.director import Outcome

ERRORS_SHOWN = 5


def demo(
    duration: Annotated[
        float | None,
        typer.Option(
            min=1, max=86_400, help="Seconds of traffic; until Ctrl-C if left out.", show_default=False
        ),
    ] = None,
    cards: Annotated[
        int, typer.Option(min=0, max=100_000, help="Cards that are there when it begins.")
    ] = 500,
    faults: Annotated[
        bool, typer.Option("--faults", help="Lose 10 % of all answers, fail 5 % of all calls, throttle.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same cards and people.")] = 0,
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep the ledger in this empty folder, to look at afterwards.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Try it: both sides emulated, people who buy and spend, the worker, and a proof that it all adds up."""
    # The emulators take half a second to import, which every other command would pay.
    from cli.demo.scene import CONFIG_NAME, DemoOptions, scene
    from cli.demo.view import shown

    output = Output(as_json)
    # A log line in the middle of the live view would tear it apart.
    log = io.StringIO()
    configure_logging(level="ERROR", stream=log)
    options = DemoOptions(duration, cards, faults, seed, keep)
    with stop_on_signals(output.note) as stop, shown(output) as show, scene(options, show, stop) as director:
        outcome = director.perform(duration)
    errors = log.getvalue().splitlines()
    _show(outcome, errors, output)
    if keep is not None:
        output.say(f"The ledger is kept: giftsync audit --config {keep / CONFIG_NAME}")
    code = ExitCode.IN_STEP if outcome.proved else ExitCode.FAILED
    output.emit("demo", _json(outcome, errors), code)
    return code


def _show(outcome: Outcome, errors: list[str], output: Output) -> None:
    from cli.demo.proof import proof_table
    from cli.demo.view import lag_words, usage_words

    minutes = outcome.traffic_seconds / 60
    output.show(
        facts(
            [
                (
                    "Movements",
                    f"{outcome.movements} ({outcome.movements / minutes:.0f} a minute)" if minutes else "0",
                ),
                ("Payments refused at the till or checkout", outcome.refused),
                ("Sync lag, from the action to both sides alike", lag_words(outcome.lags)),
                ("Conflicts for a person", outcome.conflicts),
                *((f"{name.capitalize()} API", usage_words(usage)) for name, usage in outcome.usage.items()),
            ]
        )
    )
    output.say("")
    output.show(proof_table(outcome.proof))
    output.say("")
    for line in errors[:ERRORS_SHOWN]:
        output.note(line)
    for finding in outcome.findings[:ERRORS_SHOWN]:
        output.note(finding.summary)
    audit = outcome.audit
    output.say(
        f"Audit: {audit.movements} movements and {audit.intent_states} intent states of {audit.cards} cards "
        f"recomputed and read back from both sides, {len(outcome.findings)} discrepancies."
    )
    if outcome.proved:
        output.say("Proved: every card is the same on both sides, and nothing was created or lost.")
    else:
        output.say("NOT PROVED: the table shows where it does not add up. Please report it.")


def _json(outcome: Outcome, errors: list[str]) -> dict[str, object]:
    from cli.demo.proof import proof_json

    return {
        "proof": proof_json(outcome.proof),
        "audit": {
            "cards": outcome.audit.cards,
            "movements": outcome.audit.movements,
            "intent_states": outcome.audit.intent_states,
            "findings": len(outcome.findings),
        },
        "lag_seconds": outcome.lags,
        "movements": outcome.movements,
        "refused": outcome.refused,
        "traffic_seconds": round(outcome.traffic_seconds, 3),
        "conflicts": outcome.conflicts,
        "usage": outcome.usage,
        "errors": errors,
    }
