"""`giftsync config init|check`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli.build import open_sides
from cli.checkup import ledger_if_any, stranger_to
from cli.errors import OperatorError, explain
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, rows, table
from config.load import FILE_DEFAULT, load
from config.settings import Settings
from config.template import render_toml
from connectors.api.side import Identity, Side
from sync.ledger.database.engine import parse_url
from sync.ledger.private_files import open_private

app = typer.Typer(help="Write and check the configuration.", no_args_is_help=True)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    passed: bool
    words: str


@app.command()
def init(
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a giftsync.toml with every key explained, readable by you only."""
    path = config or FILE_DEFAULT
    flags = os.O_WRONLY | (os.O_TRUNC if force else os.O_EXCL)
    try:
        with os.fdopen(open_private(path, flags), "w", encoding="utf-8") as file:
            file.write(render_toml())
    except FileExistsError:
        raise OperatorError(f"{path} is there already", "Edit it, or replace it with --force.") from None
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}") from None
    output = Output(as_json)
    output.say(f"Wrote {path}. Fill in the empty keys, then run `giftsync config check`.")
    output.emit("config init", {"file": path})


@app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Check the file, the ledger and its key, and ask both sides who they are."""
    output = Output(as_json)
    settings = load(config)
    checks = [_file_check(config or FILE_DEFAULT), _attempt("ledger", lambda: _ledger_words(settings))]
    identities: list[Identity] = []
    for name, side in open_sides(settings).items():
        checks.append(_attempt(name, lambda n=name, s=side: _side_words(settings, n, s, identities)))  # type: ignore[misc]
    if len({identity.currency for identity in identities}) > 1:
        checks.append(Check("currency", False, "The sides have different ones. Amounts are never converted."))
    shown = [("ok" if one.passed else "FAILED", one.what, one.words) for one in checks]
    output.show(rows(table("", "What", "Found"), shown))
    passed = all(one.passed for one in checks)
    code = ExitCode.IN_STEP if passed else ExitCode.COULD_NOT_RUN
    output.emit("config check", {"passed": passed, "checks": checks}, code)
    return code


def _file_check(path: Path) -> Check:
    if not path.exists():
        return Check("configuration", True, "Complete, from the environment.")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Check("configuration", True, f"{path} is complete, but others can read it: chmod 600 {path}")
    return Check("configuration", True, f"{path} is complete.")


def _attempt(what: str, action: Callable[[], str]) -> Check:
    try:
        return Check(what, True, action())
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        return Check(
            what, False, " ".join([f"{one}." for one in failure.messages] + [failure.remedy]).strip()
        )


def _ledger_words(settings: Settings) -> str:
    where = parse_url(settings.database).render_as_string(hide_password=True)
    with ledger_if_any(settings) as ledger:
        if ledger is not None:
            return where
    path = Path(parse_url(settings.database).database or "")
    # An empty ledger that a look has left behind would hide that the real one is elsewhere.
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OperatorError(
            f"the folder {path.parent} cannot be written, and the ledger is to be made there",
            "Change its owner or mode, or change `database`.",
        )
    return f"{where} is not there yet; the first `giftsync sync` makes it"


def _side_words(settings: Settings, name: str, side: Side, identities: list[Identity]) -> str:
    try:
        identity = side.identify()
    finally:
        side.close()
    with ledger_if_any(settings) as ledger:
        stranger = stranger_to(name, identity, ledger)
    if stranger is not None:
        raise OperatorError(stranger.sentence, stranger.remedy)
    identities.append(identity)
    return f"{identity.identity}, in {identity.currency}, time zone {identity.timezone}"
