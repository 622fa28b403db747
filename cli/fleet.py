"""A fleet: many links, each in a folder of its own with its settings, its key and its ledger or the schema of
it. So one merchant's data never meets another's, and a folder is all there is to know of a link."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from cli.errors import OperatorError
from config.errors import ConfigError
from config.load import FILE_DEFAULT, key_path, load
from config.template import render_toml, toml_value
from sync.crashpoints import crashpoint
from sync.ledger.database.engine import (
    SCHEMA,
    LedgerUnavailable,
    check_engine,
    database_file,
    has_schema,
    open_engine,
    parse_url,
    schema_of,
)
from sync.ledger.database.private_files import make_private_folder, write_private

FLEET_DEFAULT = Path("links")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
FILE = FILE_DEFAULT.name
LEDGER = "sqlite:///giftsync.db"
KEY = "giftsync.key"
_OWN = re.compile(r"""\s*(database|key_file|["'](database|key_file)["'])\s*=""")
#: What every link has for itself, and the environment would give to all.
_NOT_SHARED = ("GIFTSYNC_DATABASE", "GIFTSYNC_KEY", "GIFTSYNC_KEY_FILE")


@dataclass(frozen=True)
class FleetLink:
    """One link of a fleet."""

    name: str
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / FILE

    @property
    def key(self) -> Path | None:
        """Where its key is; None while its settings cannot be read."""
        try:
            return key_path(load(self.config))
        except ConfigError:
            return None

    @property
    def ledger(self) -> str | None:
        """Where its ledger is, without a password; None while its settings cannot be read."""
        try:
            return ledger_of(load(self.config).database)
        except (ConfigError, LedgerUnavailable):
            return None


class ReadLink(Protocol):
    """What somebody keeps of a link's settings."""

    @property
    def version(self) -> int:
        """Of the settings' file, as it was read."""

    @property
    def trouble(self) -> str:
        """Why the settings cannot be used, in words; empty where they can."""


R = TypeVar("R", bound=ReadLink)


@dataclass(frozen=True)
class Fleet:
    """The links in a folder."""

    folder: Path

    def __post_init__(self) -> None:
        shared = [name for name in _NOT_SHARED if os.environ.get(name)]
        if shared:
            raise OperatorError(
                f"the environment has {', '.join(shared)}, which all links would share",
                "Unset it: each link has its own ledger and key.",
            )

    def links(self) -> list[FleetLink]:
        """Every link, by name. A folder without settings is none, nor is one that is still being made."""
        if not self.folder.is_dir():
            return []
        found = (one for one in sorted(self.folder.iterdir()) if _NAME.fullmatch(one.name))
        return [FleetLink(one.name, one) for one in found if (one / FILE).is_file()]

    def read_anew(
        self, known: Mapping[str, R], read: Callable[[FleetLink, int], R], say: Callable[[str], None]
    ) -> dict[str, R]:
        """The links by name, where `known` has what was read before; `read` reads those that are new or whose
        settings have changed, by the link and its version. `say` is told of what is wrong with these.
        """
        found: dict[str, R] = {}
        for link in self.links():
            try:
                version = link.config.stat().st_mtime_ns
            except OSError:
                # It was erased or moved just now.
                continue
            one = known.get(link.name)
            if one is None or one.version != version:
                one = read(link, version)
                if one.trouble:
                    say(f"{link.name}: {one.trouble}")
            found[link.name] = one
        return found

    def link(self, name: str) -> FleetLink:
        found = next((one for one in self.links() if one.name == name), None)
        if found is None:
            raise OperatorError(f"there is no link {name} in {self.folder}", "`giftsync links list` has all.")
        return found

    def add(self, name: str, source: Path | None, postgres: str | None) -> FleetLink:
        """Make a link with the settings of `source`, or with empty ones to fill in.

        Its ledger is a file in its folder, or a schema of its own in the database `postgres`. The link is
        there as a whole or not at all. Raises ConfigError for settings that cannot be used.
        """
        self.check_new(name)
        if source is not None:
            where = _postgres_of(source)
            postgres = postgres or where
        database = LEDGER if postgres is None else _new_schema(postgres, name)
        text = own_settings(None if source is None else source.read_text(encoding="utf-8"), database)
        with self.making(name) as unfinished:
            write_private(unfinished / FILE, text.encode())
            if source is not None:
                load(unfinished / FILE)
        return FleetLink(name, self.folder / name)

    def check_new(self, name: str) -> None:
        """Raises OperatorError for a name that is none, or taken."""
        if not _NAME.fullmatch(name):
            raise OperatorError(
                f"{name!r} cannot be the name of a link",
                "Use at most 40 small letters, digits and -, and begin with a letter.",
            )
        folder = self.folder / name
        if folder.exists():
            raise OperatorError(f"{folder} is there already and is left as it is", "Choose a new name.")

    @contextmanager
    def making(self, name: str) -> Iterator[Path]:
        """A folder that becomes the link's at the end; what a crash leaves of it is no link."""
        unfinished, folder = self.folder / f".{name}.new", self.folder / name
        try:
            make_private_folder(self.folder)
            shutil.rmtree(unfinished, ignore_errors=True)
            make_private_folder(unfinished)
            yield unfinished
            crashpoint("link.prepared")
            # Fails where somebody else has made the link meanwhile, since its folder is not empty.
            unfinished.rename(folder)
        except OSError as error:
            raise OperatorError(f"{folder} cannot be made: {error.strerror}") from None
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def ledger_of(database: str) -> str:
    """What tells one ledger from another, without a password."""
    url = parse_url(database)
    return url.set(password=None).render_as_string()


def _postgres_of(source: Path) -> str | None:
    """The database of settings that keep their ledger in PostgreSQL."""
    settings = load(source)
    url = parse_url(settings.database)
    if url.get_backend_name() == "postgresql":
        return url.difference_update_query([SCHEMA]).render_as_string(hide_password=False)
    engine = open_engine(settings.database)
    file = database_file(engine)
    engine.dispose()
    if file is not None and file.exists():
        raise OperatorError(
            f"{source} has a ledger, {file}: a second one for the same cards would take what the first does "
            "for its customers' doing",
            "Stop its worker and move its folder, with ledger, key and what is beside them, into the fleet.",
        )
    return None


def own_schema(address: str, name: str) -> str:
    """The address with the schema of the link, which may be there already."""
    url = parse_url(address)
    if url.get_backend_name() != "postgresql":
        raise OperatorError("the address of a PostgreSQL begins with postgresql://")
    schema = f"link_{name.replace('-', '_')}"
    return url.update_query_dict({SCHEMA: schema}).render_as_string(hide_password=False)


def _new_schema(address: str, name: str) -> str:
    """The address with a schema that is not there yet."""
    database = own_schema(address, name)
    engine = open_engine(database)
    try:
        check_engine(engine)
        if has_schema(engine):
            raise OperatorError(
                f"the database has a schema {schema_of(database)} already and it is left as it is",
                "It may be the ledger of a link that was here. Choose another name.",
            )
    finally:
        engine.dispose()
    return database


def own_settings(text: str | None, database: str) -> str:
    """The settings with a ledger and a key of the link's own; None: empty ones to fill in."""
    if text is None:
        return render_toml({("database",): database, ("key_file",): KEY})
    lines = text.splitlines()
    first_table = next((at for at, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    head = [line for line in lines[:first_table] if not _OWN.match(line)]
    own = [f"database = {toml_value(database)}", f"key_file = {toml_value(KEY)}"]
    text = "\n".join([*own, *head, *lines[first_table:]]) + "\n"
    data = tomllib.loads(text)
    if (data.get("database"), data.get("key_file")) != (database, KEY):
        raise OperatorError("`database` or `key_file` in the settings is not written on a line of its own")
    return text
