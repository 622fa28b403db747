"""How every link of a fleet stands, read with one connection for each server and few queries each."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from sqlalchemy import Engine

from cli.build import brands_of, now, open_ledger, sharing, wants_creates
from cli.errors import explain
from cli.fleet import FleetLink, ledger_of
from cli.output import plural
from cli.session import load_settings, opened_sides
from config.load import key_path
from config.settings import Settings
from mappings.redaction import redact
from sync.ledger.database.engine import (
    LedgerUnavailable,
    check_engine,
    database_file,
    of_schema,
    open_engine,
    parse_url,
    schema_of,
    schemas_of,
)
from sync.ledger.database.frozen import refuse_frozen_current
from sync.ledger.database.migrations import is_current
from sync.ledger.imports.rows import Import, queued_imports
from sync.ledger.secrets.key_proof import prove_key
from sync.ledger.secrets.vault import Vault, VaultError, load_keys
from sync.ledger.sides.outages import read_outages
from sync.standing import Brief, read_brief
from sync.support.outages import side_outages
from sync.support.pausing import is_pause


class LinkRow(TypedDict):
    """The standing of one link."""

    link: str
    #: `unusable`, `new` (it has no ledger yet), `paused`, `stopped`, `runs` or `idle` (no worker runs).
    state: str
    #: Why, where something is wrong.
    words: str
    #: Its settings.
    config: Path
    cards: int
    #: Cards that are the same on every side that they should be on.
    in_step: int
    #: Open conflicts.
    conflicts: int


@dataclass(frozen=True)
class _Server:
    """A PostgreSQL database that several ledgers share."""

    engine: Engine
    schemas: frozenset[str]


class FleetReader(ExitStack):
    """Reads links one after another; what is wrong with one does not hide the others."""

    def __init__(self) -> None:
        super().__init__()
        self._servers: dict[str, _Server] = {}
        #: The link of each ledger that was seen so far.
        self._owners: dict[str, str] = {}

    def row(self, link: FleetLink) -> LinkRow:
        try:
            return self._standing(link)
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            return _line(link, "unusable", redact(" ".join(failure.messages)))

    def _standing(self, link: FleetLink) -> LinkRow:
        settings = load_settings(link.config)
        owner = self._owners.setdefault(ledger_of(settings.database), link.name)
        if owner != link.name:
            return _line(link, "unusable", f"Its `database` is the ledger of the link {owner}.")
        with ExitStack() as opened:
            engine = self._engine(settings, opened)
            return _line(link, "new", "") if engine is None else _read(link, settings, engine)

    def _engine(self, settings: Settings, opened: ExitStack) -> Engine | None:
        """The ledger, brought to this release; None: there is none yet."""
        schema = schema_of(settings.database)
        if schema is None:
            engine = open_engine(settings.database)
            opened.callback(engine.dispose)
            file = database_file(engine)
            if file is not None and not file.exists():
                return None
            check_engine(engine)
        else:
            server = self._server(settings.database)
            if schema not in server.schemas:
                return None
            engine = of_schema(server.engine, schema)
        if not is_current(engine):
            with open_ledger(settings, create=False):
                pass
        refuse_frozen_current(engine)
        return engine

    def _server(self, database: str) -> _Server:
        url = parse_url(database).difference_update_query(["schema"])
        key = url.render_as_string(hide_password=False)
        if key not in self._servers:
            engine = open_engine(key)
            self.callback(engine.dispose)
            check_engine(engine)
            self._servers[key] = _Server(engine, schemas_of(engine))
        return self._servers[key]


def _read(link: FleetLink, settings: Settings, engine: Engine) -> LinkRow:
    names = list(settings.sides.by_name())
    wanted = [name for name in names if wants_creates(settings, name)]
    brief = read_brief(engine, wanted, brands_of(settings), now(), sharing(settings))
    _check_key(settings, engine, brief)
    words = [one.summary for one in brief.stops]
    if brief.has_outages:
        with opened_sides(settings) as sides:
            found = read_outages(engine)
            told = side_outages(found, sides, settings.link.zone, now(), asked=brief.worker_runs)
            words += [one.words for one in told]
    if brief.queued_imports:
        words += [queued_words(plan) for plan in queued_imports(engine)]
    return _line(link, _state(brief), redact(" ".join(words)), brief)


def queued_words(plan: Import) -> str:
    """How far an import is that workers carry out."""
    left = "" if plan.rows_left is None else f", {plural(plan.rows_left, 'row')} left"
    return f"Import {plan.id} is under way{left}." + (f" It waits: {plan.trouble}." if plan.trouble else "")


def _check_key(settings: Settings, engine: Engine, brief: Brief) -> None:
    """Raises VaultError when the key is gone or another one; without cards there is nothing to lose."""
    path = key_path(settings)
    if path is None:
        raise LedgerUnavailable("key_file is missing in its settings")
    if path.exists():
        prove_key(engine, Vault(*load_keys(path)))
    elif brief.cards:
        raise VaultError(f"the ledger holds cards, but its key file {path} is gone; put it back")


def _state(brief: Brief) -> str:
    if brief.stops:
        return "paused" if all(is_pause(one.cause) for one in brief.stops) else "stopped"
    return "runs" if brief.worker_runs else "idle"


def _line(link: FleetLink, state: str, words: str, brief: Brief | None = None) -> LinkRow:
    return LinkRow(
        link=link.name,
        state=state,
        words=words,
        config=link.config,
        cards=0 if brief is None else brief.cards,
        in_step=0 if brief is None else brief.in_step,
        conflicts=0 if brief is None else brief.conflicts,
    )
