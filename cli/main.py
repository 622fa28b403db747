"""The `giftsync` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.help_index import recorded_help
from cli.lazy import Later, lazy_group
from cli.signals import leave

if TYPE_CHECKING:
    from cli.output import Output

_PLAINLY: Final = {
    "Value error, ": "",
    "does not match the formats '%Y-%m-%d'": "is no date such as 2026-12-31",
    "Input should be a valid integer, unable to parse string as an integer": "it takes a whole number",
}
#: As `ExitCode.IN_STEP`, which costs an import.
_NOTHING_WRONG: Final = 0
EPILOG = "Exit codes: 0 in step, 1 conflicts are waiting, 2 some work failed, 3 could not run."

#: In the order of the help, each with a line that 80 columns hold.
COMMANDS: Final = {
    "demo": Later("cli.commands.demo:demo", "Try it: every side emulated, shoppers, the worker, a proof."),
    "sync": Later("cli.commands.sync:sync", "Make one pass: read every side, bring every card in step."),
    "run": Later("cli.commands.sync:run", "Keep all sides in step until stopped."),
    "serve": Later("cli.commands.serve:serve", "Receive webhooks, serve console and API, beside a worker."),
    "worker": Later("cli.commands.worker:worker", "Work on a fleet's links, beside other workers."),
    "status": Later("cli.commands.status:status", "The ledger at a glance."),
    "pause": Later("cli.commands.status:pause", "Write nothing more to any side until it is resumed."),
    "resume": Later("cli.commands.status:resume", "Let a link go on that a brake or a person has stopped."),
    "audit": Later("cli.commands.audit:audit", "Recompute every card, and print the proof."),
    "liability": Later(
        "cli.commands.books:liability", "What is owed to the holders of cards, for any period."
    ),
    "settlement": Later("cli.commands.books:settlement", "Which store owes which for redeemed cards."),
    "close": Later("cli.commands.close:app", "Close a month for good, and prove a closed one."),
    "books": Later("cli.commands.books:app", "The rows behind what is owed: entries and cards."),
    "backup": Later("cli.commands.recover:backup", "Copy the ledger into a file, while a worker goes on."),
    "recover": Later("cli.commands.recover:recover", "After a restore: read back what giftsync did since."),
    "doctor": Later("cli.commands.doctor:doctor", "Ask every side what works, and say what is missing."),
    "cards": Later("cli.commands.cards:app", "The cards that the ledger knows."),
    "conflicts": Later("cli.commands.conflicts:app", "What a person should know or decide."),
    "pool": Later("cli.commands.pool:app", "Numbers made in advance, for cards that need one."),
    "import": Later("cli.commands.importer:app", "Bring the cards that exist on two sides into step, once."),
    "tokens": Later("cli.commands.tokens:app", "Tokens of the API: each lets one caller in."),
    "webhooks": Later("cli.commands.webhooks:app", "Receivers of events, signed as Standard Webhooks."),
    "privacy": Later("cli.commands.privacy:app", "Privacy requests that sides passed on."),
    "people": Later("cli.commands.people:app", "Who may use the console."),
    "links": Later("cli.commands.links:app", "Many links, each with its own settings, key and ledger."),
    "config": Later("cli.commands.config:app", "Write and check the configuration."),
    "sandbox": Later("cli.commands.sandbox:app", "Emulators of both systems on this machine, to try it on."),
}

app = typer.Typer(
    name="giftsync",
    cls=lazy_group(COMMANDS),
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"giftsync {metadata.version('giftsync')}")
        raise typer.Exit


@app.callback()
def _giftsync(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version."),
    ] = False,
) -> None:
    """Keep every gift card the same on every side that it can be used on: in the store, online, and
    elsewhere."""


@app.command("help")
def show_help(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="A command, as `conflicts list`.")
    ] = None,
) -> int:
    """Show what a command does; without one, what there is."""
    return run([*(command or ()), "--help"])


def main() -> None:
    """The console script."""
    # A name in a customer's note must not break a terminal that cannot show it.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every exception ends here."""
    if arguments and arguments[0] == "help":
        # Before typer reads it: its reading of a list of words loads pydantic.
        arguments = [*(one for one in arguments[1:] if one != "--help"), "--help"]
    arguments = _shared_last(arguments)
    try:
        words = recorded_help(arguments)
        if words is not None:
            typer.echo(words)
            return _NOTHING_WRONG
        result = app(arguments, standalone_mode=False, prog_name="giftsync")
    except typer.TyperException as error:
        return _misused(error, arguments)
    except (typer.Abort, KeyboardInterrupt):
        _output(arguments).note("Stopped.")
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOTHING_WRONG
    except Exception as error:  # noqa: BLE001 the last resort: shown as a bug
        from cli.errors import report

        return int(report(error, _output(arguments)))
    return int(result or 0)


def _output(arguments: Sequence[str]) -> Output:
    """Loaded only where there is something to say."""
    from cli.output import Output

    return Output(as_json="--json" in arguments)


def _shared_last(arguments: Sequence[str]) -> list[str]:
    """Let `--config FILE` and `--json` stand before the command too, where many expect them."""
    shared: list[str] = []
    rest = list(arguments)
    while rest:
        if rest[0] == "--json" or rest[0].startswith("--config="):
            shared.append(rest.pop(0))
        elif rest[0] in ("--config", "-c") and len(rest) > 1:
            shared += [rest.pop(0), rest.pop(0)]
        else:
            break
    return [*rest, *shared]


def _in_plain_words(message: str) -> str:
    """Without the words of Python and of its libraries."""
    for theirs, ours in _PLAINLY.items():
        message = message.replace(theirs, ours)
    return message


def _misused(error: typer.TyperException, arguments: Sequence[str]) -> int:
    """A command line that makes no sense, or none at all, which shows the help."""
    from cli.errors import ErrorAnswer
    from cli.output import ExitCode

    message = _in_plain_words(error.format_message())
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message)
        return _NOTHING_WRONG
    output = _output(arguments)
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "giftsync")
    output.note(f"error: {message}")
    output.note(f"`{path} --help` lists what there is.")
    output.emit("error", ErrorAnswer(error=message, remedy=f"{path} --help"), ExitCode.COULD_NOT_RUN)
    return int(ExitCode.COULD_NOT_RUN)
