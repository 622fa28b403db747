"""Erasing a link: its key, its ledger, its settings, and nothing of any other link.

The ledger is frozen first and the folder is renamed, so that nothing of the link can work any more; then the
key is destroyed, without which no row can be read; then the rest. Whatever cuts it short, the same command
goes on.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from cli.build import NO_SCHEMA, now, open_ledger
from cli.errors import OperatorError
from cli.fleet import FILE, Fleet, FleetLink
from config.load import key_path, load
from config.settings import Settings
from sync.crashpoints import crashpoint
from sync.ledger import views
from sync.ledger.database.engine import (
    check_engine,
    database_file,
    has_schema,
    only_worker,
    open_engine,
    schema_of,
)
from sync.ledger.database.erase import drop_ledger
from sync.ledger.database.frozen import Frozen, freeze, frozen
from sync.ledger.database.migrations import check_same_release
from sync.ledger.database.news import forget

#: Beside a ledger in a file: SQLite's log, the worker's lock, the generation.
_BESIDE = ("-wal", "-shm", "-journal", ".worker", ".wake", ".console", ".generation")


@dataclass(frozen=True)
class Owed:
    """What a link holds before it is erased. Amounts in minor units, by currency."""

    cards: int
    balance_minor: Mapping[str, int]
    open_intents: int
    open_conflicts: int


def half_erased(fleet: Fleet, name: str) -> Path | None:
    """The folder of a link whose erasure was cut short."""
    folder = fleet.folder / f".{name}.erased"
    return folder if folder.is_dir() else None


def owed(link: FleetLink) -> Owed:
    """What remains owed on the link's cards, and what is under way."""
    settings = load(link.config)
    try:
        with open_ledger(settings, create=False) as ledger:
            counts = views.status(ledger.engine, now())
    except SQLAlchemyError as error:
        raise OperatorError("the database does not answer", "Nothing was erased.") from error
    return Owed(
        counts.cards,
        counts.balance_minor,
        sum(counts.intents.values()),
        sum(counts.conflicts.values()),
    )


def has_ledger(link: FleetLink) -> bool:
    """Whether there is anything to ask about: a ledger that is not frozen by an erasure before."""
    settings = load(link.config)
    engine = open_engine(settings.database)
    try:
        file = database_file(engine)
        if file is not None and not file.exists():
            return False
        check_engine(engine)
        return has_schema(engine) and frozen(engine) is None
    finally:
        engine.dispose()


def erase(fleet: Fleet, link: FleetLink) -> None:
    """Freeze the ledger, take the link out of the fleet, and remove all that is of it."""
    settings = load(link.config)
    _check_own(fleet, link, settings)
    engine = open_engine(settings.database)
    try:
        file = database_file(engine)
        if (file is None or file.exists()) and has_schema(engine):
            with only_worker(engine):
                if frozen(engine) is None:
                    check_same_release(engine)
                    words = (
                        f"the link {link.name} is being erased; `giftsync links erase {link.name}` goes on"
                    )
                    freeze(engine, Frozen(uuid.uuid4().hex, words), now())
                crashpoint("erase.frozen")
                _take_out(fleet, link)
        else:
            _take_out(fleet, link)
    finally:
        engine.dispose()
    finish(fleet, link.name)


def _take_out(fleet: Fleet, link: FleetLink) -> None:
    link.folder.rename(fleet.folder / f".{link.name}.erased")
    crashpoint("erase.renamed")


def finish(fleet: Fleet, name: str) -> None:
    """Remove what is left of a link that was taken out of the fleet."""
    folder = fleet.folder / f".{name}.erased"
    config = folder / FILE
    if config.is_file():
        settings = load(config)
        key = key_path(settings)
        if key is not None:
            _destroy(_where_now(key, fleet.folder / name, folder))
        crashpoint("erase.key_destroyed")
        _drop(settings, fleet.folder / name, folder)
        crashpoint("erase.ledger_dropped")
        for one in folder.iterdir():
            if one != config:
                _remove(one)
        crashpoint("erase.emptied")
        # Last of all, since what is left is found by it.
        config.unlink()
    shutil.rmtree(folder)


def _check_own(fleet: Fleet, link: FleetLink, settings: Settings) -> None:
    """Raises OperatorError when another link needs what would be removed."""
    key = key_path(settings)
    for other in fleet.links():
        if other.name == link.name:
            continue
        if other.ledger is not None and other.ledger == link.ledger:
            raise OperatorError(f"the link {other.name} has the same ledger; nothing was erased")
        if key is not None and other.key == key:
            raise OperatorError(f"the link {other.name} has the same key file; nothing was erased")


def _where_now(path: Path, before: Path, folder: Path) -> Path:
    """A file of the link, whose folder has another name by now."""
    whole, old = path.absolute(), before.absolute()
    return folder / whole.relative_to(old) if whole.is_relative_to(old) else whole


def _destroy(key: Path) -> None:
    """Write over the key before it is removed; copies of it are elsewhere, if anybody made some."""
    if not key.is_file():
        return
    with key.open("r+b") as file:
        file.write(os.urandom(max(key.stat().st_size, 1)))
        file.flush()
        os.fsync(file.fileno())
    crashpoint("erase.key_overwritten")
    key.unlink()


def _drop(settings: Settings, before: Path, folder: Path) -> None:
    engine = open_engine(settings.database)
    try:
        file = database_file(engine)
        if file is not None:
            file = _where_now(file, before, folder)
            for one in (file, *(Path(f"{file}{end}") for end in _BESIDE)):
                one.unlink(missing_ok=True)
            return
        if has_schema(engine):
            drop_ledger(engine)
        forget(engine, schema_of(settings.database) or NO_SCHEMA)
    finally:
        engine.dispose()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
