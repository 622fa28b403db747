"""The `giftsync` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from cli.commands import (
    audit,
    cards,
    conflicts,
    demo,
    doctor,
    importer,
    pool,
    privacy,
    recover,
    shopify,
    status,
)
from cli.commands import config as config_command
from cli.commands import sandbox as sandbox_command
from cli.commands import sync as sync_command
from cli.errors import report
from cli.output import ExitCode, Output, console_for
from cli.signals import leave
from config.logging import configure_logging

EPILOG = "Exit codes: 0 in step, 1 conflicts are waiting, 2 some work failed, 3 could not run."

app = typer.Typer(
    name="giftsync",
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
    """Keep every gift card the same in the store (Flow Retail) and online (Shopify)."""


@app.command("help")
def show_help(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="A command, as `conflicts list`.")
    ] = None,
) -> int:
    """Show what a command does; without one, what there is."""
    return run([*(command or ()), "--help"])


app.command("demo")(demo.demo)
app.command("sync")(sync_command.sync)
app.command("run")(sync_command.run)
app.command("status")(status.status)
app.command("resume")(status.resume)
app.command("audit")(audit.audit)
app.command("backup")(recover.backup)
app.command("recover")(recover.recover)
app.command("doctor")(doctor.doctor)
app.add_typer(cards.app, name="cards")
app.add_typer(conflicts.app, name="conflicts")
app.add_typer(pool.app, name="pool")
app.add_typer(importer.app, name="import")
app.add_typer(privacy.app, name="privacy")
app.add_typer(config_command.app, name="config")
app.add_typer(shopify.app, name="shopify")
app.add_typer(sandbox_command.app, name="sandbox")


def main() -> None:
    """The console script."""
    # A name in a customer's note must not break a terminal that cannot show it.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every exception ends here."""
    output = Output(as_json="--json" in arguments)
    configure_logging(level="WARNING")
    try:
        result = app(_shared_last(arguments), standalone_mode=False, prog_name="giftsync")
    except typer.TyperException as error:
        return _misused(error, output)
    except (typer.Abort, KeyboardInterrupt):
        output.note("Stopped.")
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.IN_STEP)
    except Exception as error:  # noqa: BLE001 the last resort: shown as a bug
        return int(report(error, output))
    return int(result or 0)


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


def _misused(error: typer.TyperException, output: Output) -> int:
    """A command line that makes no sense, or none at all, which shows the help."""
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        console_for().file.write(message + "\n")
        return int(ExitCode.IN_STEP)
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "giftsync")
    output.note(f"error: {message}")
    output.note(f"`{path} --help` lists what there is.")
    output.emit("error", {"error": message, "remedy": f"{path} --help"}, ExitCode.COULD_NOT_RUN)
    return int(ExitCode.COULD_NOT_RUN)
