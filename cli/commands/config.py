"""`giftsync config init|check`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from cli.books import check_accounts
from cli.build import open_sides
from cli.checkup import ledger_if_any, same_systems, stranger_to
from cli.errors import OperatorError, explain
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, rows, table
from config.load import FILE_DEFAULT, load
from config.rewrite import OldForm
from config.settings import Settings
from config.template import render_toml
from connectors import registry
from connectors.api.capabilities import Identity
from connectors.api.plugin import CONTRACT_VERSION
from connectors.api.side import Side
from connectors.installed import installed, shipped
from sync.ledger.database.engine import parse_url
from sync.ledger.database.private_files import open_private

app = typer.Typer(help="Write and check the configuration.", no_args_is_help=True)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    passed: bool
    words: str


class WrittenAnswer(TypedDict):
    """A configuration that was written."""

    file: Path


class ConnectorAnswer(TypedDict):
    """A type of side that can be linked."""

    connector: str
    #: The system's name; empty where it cannot be used.
    title: str
    #: Where it comes from, in words.
    origin: str
    #: Why it cannot be used; empty: it can.
    problem: str


class ConnectorsAnswer(TypedDict):
    """The connectors that are installed."""

    #: The version of the contract that giftsync speaks.
    contract: str
    connectors: list[ConnectorAnswer]


class ChecksAnswer(TypedDict):
    """What was looked at."""

    #: Whether all of it is well.
    passed: bool
    checks: list[Check]


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
    output.emit("config init", WrittenAnswer(file=path))


@app.command()
def connectors(as_json: JsonOption = False) -> None:
    """List the connectors that are installed: what `connector` of a side may be."""
    output = Output(as_json)
    found: list[ConnectorAnswer] = []
    for name in installed():
        origin = "giftsync" if name in shipped() else "installed beside giftsync"
        try:
            title, problem = registry.connector_type(name).title, ""
        except registry.ConnectorUnusable as error:
            title, problem = "", str(error)
        found.append(ConnectorAnswer(connector=name, title=title, origin=origin, problem=problem))
    shown = [(one["connector"], one["title"], one["problem"] or one["origin"]) for one in found]
    output.show(rows(table("Connector", "System", "From"), shown))
    contract = ".".join(map(str, CONTRACT_VERSION))
    output.emit("config connectors", ConnectorsAnswer(contract=contract, connectors=found))


@app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Check the file, the ledger and its key, and ask every side who it is.

    For a file of an older form it prints what the file has to say now.
    """
    output = Output(as_json)
    try:
        settings = load(config)
    except OldForm as old:
        output.say(old.text)
        raise
    checks = [_file_check(config or FILE_DEFAULT), _attempt("ledger", lambda: _ledger_words(settings))]
    if settings.books.standard_accounts is not None:
        checks.append(_attempt("accounts", lambda: check_accounts(settings)))
    identities: dict[str, Identity] = {}
    for name, side in open_sides(settings).items():
        checks.append(_attempt(name, lambda n=name, s=side: _side_words(settings, n, s, identities)))  # type: ignore[misc]
    for name, first in same_systems(identities).items():
        words = f"It is the same system as {first}: each payment would count twice."
        checks.append(Check(name, False, words))
    if len({identity.currency for identity in identities.values()}) > 1:
        checks.append(Check("currency", False, "The sides have different ones. Amounts are never converted."))
    shown = [("ok" if one.passed else "FAILED", one.what, one.words) for one in checks]
    output.show(rows(table("", "What", "Found"), shown))
    passed = all(one.passed for one in checks)
    code = ExitCode.IN_STEP if passed else ExitCode.COULD_NOT_RUN
    output.emit("config check", ChecksAnswer(passed=passed, checks=checks), code)
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


def _side_words(settings: Settings, name: str, side: Side, identities: dict[str, Identity]) -> str:
    try:
        identity = side.identify()
    finally:
        side.close()
    with ledger_if_any(settings) as ledger:
        stranger = stranger_to(name, identity, ledger)
    if stranger is not None:
        raise OperatorError(stranger.sentence, stranger.remedy)
    identities[name] = identity
    return f"{identity.identity}, in {identity.currency}, time zone {identity.timezone}"
