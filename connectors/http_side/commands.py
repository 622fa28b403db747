"""`giftsync contract check|show`: for the developers of a shop."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from connectors.api.commands import CommandHost, CommandOutput, JsonOption
from connectors.api.errors import SideError, Stopping
from mappings.addresses import is_private_channel

if TYPE_CHECKING:
    from connectors.http_side.conformance.receiver import Receiver
    from connectors.http_side.conformance.rules import CheckRun, Outcome

KEY_VARIABLE: Final = "GIFTSYNC_CONTRACT_KEY"
FAILED: Final = 2
COULD_NOT_RUN: Final = 3
#: The rules without which nothing else can be tried.
_FIRST: Final = frozenset({"answers", "shop"})
_FILE_BYTES_MAX: Final = 8192
#: Where the sentence of a rule begins on its line.
_WORDS_AT: Final = 27


@dataclass(frozen=True)
class Listening:
    """Where webhooks are taken during a check."""

    host: str
    port: int
    key: bytes


def make_commands(host: CommandHost) -> typer.Typer:
    """The commands of this connector."""
    app = typer.Typer(
        help="The HTTP contract, for the developers of a shop that joins by it.", no_args_is_help=True
    )

    @app.command()
    def show() -> None:
        """Print the contract, an OpenAPI 3.1 document."""
        sys.stdout.write(files("connectors.http_side").joinpath("contract.yaml").read_text("utf-8"))

    @app.command()
    def check(
        url: Annotated[str, typer.Argument(help="Where the shop answers; `/shop` is below it.")],
        key_file: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE",
                help=f"Holds the shop's key and nothing else; left out, {KEY_VARIABLE} has it.",
                show_default=False,
            ),
        ] = None,
        yes: Annotated[
            bool, typer.Option("--yes", help="Make a test card and move money on it without asking.")
        ] = False,
        webhook_port: Annotated[
            int | None,
            typer.Option(
                min=0,
                max=65_535,
                help="Take the shop's webhooks at this port, to check them.",
                show_default=False,
            ),
        ] = None,
        webhook_host: Annotated[
            str, typer.Option(help="The address of this machine to take them at.")
        ] = "127.0.0.1",
        webhook_secret_file: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="Holds the secret of the webhooks.", show_default=False),
        ] = None,
        as_json: JsonOption = False,
    ) -> int:
        """Try every rule of the contract on a shop, and say of each whether it is kept.

        Reading comes first. Then it asks, makes a test card of its own with 10.00 on it, tries the rest on
        that, and empties and closes it. Safe to repeat, also after it was interrupted.
        """
        output = host.output(as_json=as_json)
        if not is_private_channel(url):
            raise host.error(
                "the address must begin with https://, or be plain http:// on this machine",
                "Plain http shows the key to everybody on the way.",
            )
        key = _key(host, key_file)
        listening = _listening(host, webhook_host, webhook_port, webhook_secret_file)
        return _check(host, output, url, key, yes, listening)

    return app


def _check(
    host: CommandHost, output: CommandOutput, url: str, key: str, yes: bool, listening: Listening | None
) -> int:
    from connectors.http_side.conformance.asking import Caller
    from connectors.http_side.conformance.money_rules import MONEY
    from connectors.http_side.conformance.reading_rules import READING, THROTTLING
    from connectors.http_side.conformance.rules import CheckRun, Verdict, try_all

    # Set by a signal once there is something to put back; before that a signal just ends the command.
    stops = [threading.Event()]

    def pause(seconds: float) -> None:
        if stops[-1].wait(seconds):
            raise Stopping("the check is being stopped")

    outcomes: list[Outcome] = []
    kept: set[str] = set()
    with ExitStack() as stack:
        caller = Caller(url, key, pause, output.note)
        stack.callback(caller.close)
        run = CheckRun(caller, False, pause, _receiver(host, output, listening, stack))
        for outcome in try_all(READING, run, kept):
            outcomes.append(outcome)
            _tell(output, run, outcome)
            if outcome.rule.name in _FIRST and outcome.verdict is not Verdict.PASSED:
                # Whatever else is asked would fail in the same way.
                return _answer(output, run, outcomes, stopped=False)
        run.may_move = not run.is_given_up and _may_move(output, run, yes)
        stops.append(stack.enter_context(host.stopping(output)))
        with suppress(Stopping):
            try:
                for outcome in try_all((*MONEY, THROTTLING), run, kept):
                    outcomes.append(outcome)
                    _tell(output, run, outcome)
                    if stops[-1].is_set():
                        break
            finally:
                _empty(output, run)
    return _answer(output, run, outcomes, stopped=stops[-1].is_set())


def _receiver(
    host: CommandHost, output: CommandOutput, listening: Listening | None, stack: ExitStack
) -> Receiver | None:
    from connectors.http_side.conformance.receiver import Receiver

    if listening is None:
        return None
    receiver = Receiver(listening.key)
    try:
        stack.enter_context(receiver.served(listening.host, listening.port))
    except OSError as error:
        words = error.strerror or "not allowed"
        raise host.error(
            f"webhooks cannot be taken at port {listening.port}: {words}", "Choose another port."
        ) from None
    output.note(f"Have the shop send its webhooks to {receiver.url}")
    return receiver


def _answer(output: CommandOutput, run: CheckRun, outcomes: Sequence[Outcome], *, stopped: bool) -> int:
    from connectors.http_side.conformance.rules import Verdict

    counts = {verdict: sum(one.verdict is verdict for one in outcomes) for verdict in Verdict}
    failed = {one.rule.name for one in outcomes if one.verdict is Verdict.FAILED}
    code = FAILED if failed or stopped else 0
    if failed & _FIRST:
        code = COULD_NOT_RUN
    passed, _, untried = counts.values()
    output.say("")
    output.say(f"{passed} passed, {len(failed)} failed, {untried} not tried.")
    if stopped:
        output.say("The check was stopped before its end.")
    elif failed & _FIRST:
        output.say("Nothing else can be tried before that is mended.")
    elif run.is_given_up:
        output.say("The check ended early: the shop let it go no further. See what failed last.")
    elif failed:
        output.say("Mend what failed and check again; do not join the shop before.")
    else:
        output.say("The shop keeps what was tried." if untried else "The shop keeps the contract.")
    rules = [
        {
            "rule": one.rule.name,
            "outcome": one.verdict.name.lower(),
            "sentence": one.rule.sentence,
            "why": one.why,
            "remedy": one.remedy,
        }
        for one in outcomes
    ]
    shop = None if run.shop is None else run.shop.id
    sums = {verdict.name.lower(): count for verdict, count in counts.items()}
    output.emit("contract check", {"shop": shop, "rules": rules, **sums}, code)
    return code


def _may_move(output: CommandOutput, run: CheckRun, yes: bool) -> bool:
    if yes or run.shop is None or not {"create", "debit"} <= run.shop.features:
        return yes
    if not sys.stdin.isatty():
        return False
    words = (
        f"Make a test card in {run.shop.id[:40]} with 10 {run.shop.currency}, move money on it, empty it "
        "and close it? A giftsync that runs on this shop would bring the card to its other sides."
    )
    return typer.confirm(words, err=True)


def _tell(output: CommandOutput, run: CheckRun, outcome: Outcome) -> None:
    """Say what came of a rule; what was not tried for one reason is told at the end, once."""
    from connectors.http_side.conformance.rules import Verdict

    if run.is_given_up and outcome.verdict is Verdict.NOT_TRIED:
        return
    word = "FAILED" if outcome.verdict is Verdict.FAILED else outcome.verdict.value
    below = " " * _WORDS_AT
    head = f"{word:<10} {outcome.rule.name:<15} "
    output.paragraph(outcome.rule.sentence, head, below)
    if outcome.why:
        output.paragraph(outcome.why, below, below)
    if outcome.remedy:
        output.paragraph(f"To do: {outcome.remedy}", below, below)


def _empty(output: CommandOutput, run: CheckRun) -> None:
    """Take the money off the test card when the rule that does so was not reached."""
    from connectors.http_side.conformance.asking import RuleBroken
    from connectors.http_side.conformance.test_card import emptied
    from connectors.kit.fields import NotBelieved

    if run.card is None:
        return
    try:
        left = emptied(run.card)
    except (RuleBroken, NotBelieved, SideError):
        output.note("The test card could not be emptied; the next check does it.")
        return
    if left:
        output.note(
            f"{run.card.text(left)} {run.card.shop.currency} are left on the test card {run.card.id}."
        )


def _key(host: CommandHost, path: Path | None) -> str:
    text = os.environ.get(KEY_VARIABLE, "") if path is None else _read(host, path)
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise host.error(
            "the shop's key is needed", f"Put it into a file and say --key-file, or into {KEY_VARIABLE}."
        )
    return text


def _listening(host: CommandHost, address: str, port: int | None, secret: Path | None) -> Listening | None:
    from connectors.http_side.webhooks import key_of

    if port is None and secret is None:
        return None
    if port is None or secret is None:
        raise host.error("webhooks need a port and a secret", "Say --webhook-port and --webhook-secret-file.")
    try:
        return Listening(address, port, key_of(_read(host, secret)))
    except ValueError as error:
        raise host.error(f"{secret}: {error}") from None


def _read(host: CommandHost, path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            return file.read(_FILE_BYTES_MAX).strip()
    except OSError as error:
        raise host.error(f"{path} cannot be read: {error.strerror or 'it is not readable'}") from None
    except ValueError:
        raise host.error(f"{path} is not plain text") from None
