"""Moving a link's ledger to another database, with its key or with a new one: the old ledger is frozen first,
and never works again beside the new one.

Each step can be cut short; the same command goes on. What is known of a move is in the old ledger, which its
database keeps from being written, and in the settings, which name the new one last of all.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from cli.build import NO_SCHEMA, generation_file, now, open_ledger, open_vault
from cli.errors import OperatorError
from cli.fleet import Fleet, FleetLink, ledger_of, own_schema
from config.edit import Value, edit
from config.load import key_path, load
from config.settings import Settings
from sync.crashpoints import crashpoint
from sync.ledger.database.engine import (
    check_engine,
    database_file,
    has_schema,
    only_worker,
    open_engine,
    parse_url,
    reading,
    schema_of,
)
from sync.ledger.database.frozen import FROZEN, Frozen, freeze, frozen, thaw
from sync.ledger.database.generation import COPIED, GENERATION, PLACE, Generation
from sync.ledger.database.marks import read_mark, write_mark
from sync.ledger.database.migrations import check_same_release, upgrade
from sync.ledger.database.news import forget
from sync.ledger.database.private_files import write_private
from sync.ledger.database.rows import (
    columns_of,
    is_empty,
    read_rows,
    remove_rows,
    revision_of,
    sums_of,
    write_rows,
)
from sync.ledger.imports.rows import Imports
from sync.ledger.proof.pages import read_pages
from sync.ledger.proof.rotation import Rotation
from sync.ledger.proof.row_proofs import prove_rows_from
from sync.ledger.secrets.vault import Vault, load_keys, make_key, write_keys
from sync.support.audit import audit

#: Says in the new ledger which move brought it there whole.
MOVE = "move"
#: Marks that a move makes or changes.
_OWN_MARKS = {"marks": (FROZEN, MOVE, GENERATION, PLACE, COPIED)}
FINDINGS_SHOWN = 5


@dataclass(frozen=True)
class Moved:
    """A ledger that was moved."""

    #: The old and the new place, without passwords.
    came_from: str
    is_in: str
    cards: int
    rows: int
    #: What the proof of the new ledger found; the old one has the same.
    findings: tuple[str, ...] = ()


@contextmanager
def _opened(database: str) -> Iterator[Engine]:
    engine = open_engine(database)
    try:
        check_engine(engine)
        yield engine
    finally:
        engine.dispose()


def move(
    fleet: Fleet, link: FleetLink, to: str | None, say: Callable[[str], None], *, new_key: bool = False
) -> Moved:
    """Move the link's ledger to the database `to`, or go on with a move that was cut short.

    With `new_key` everything there is under a key that is made for it. Raises OperatorError, and
    LedgerUnavailable while a worker uses a ledger in a file.
    """
    settings = _with_key(load(link.config))
    with _opened(settings.database) as source, only_worker(source):
        check_same_release(source)
        why = frozen(source)
        if why is None:
            if to is None:
                raise OperatorError("no move is under way", "Say where to: --postgres ADDRESS or --file.")
            why, to = _begin(fleet, link, settings, source, to, new_key=new_key)
            say("The old ledger is frozen: nobody can write it any more.")
        vault = open_vault(settings, source)
        known = vault.open_words(why.to_sealed)
        if not known:
            raise OperatorError(f"the link {link.name} is being erased")
        if to is not None and ledger_of(to) != ledger_of(known):
            raise OperatorError(
                f"a move to {ledger_of(known)} is under way",
                f"`giftsync links move {link.name}` goes on with it, and --undo takes it back.",
            )
        moved = _carry(settings, source, vault, known, why, say)
    _switch(link, settings, known, Path(why.new_key) if why.new_key else settings.key_file)
    with _opened(settings.database) as source:
        forget(source, schema_of(settings.database) or NO_SCHEMA)
    return moved


def undo(link: FleetLink) -> None:
    """Give a move up: the new ledger is emptied, then the old one may be written again."""
    settings = _with_key(load(link.config))
    with _opened(settings.database) as source, only_worker(source):
        check_same_release(source)
        why = frozen(source)
        known = "" if why is None else open_vault(settings, source).open_words(why.to_sealed)
        if why is None or not known:
            raise OperatorError("no move is under way", "What is done is undone by moving it back.")
        with _opened(known) as target:
            if has_schema(target):
                # Before the old one works again: the new one must never begin beside it.
                remove_rows(target)
        crashpoint("move.emptied")
        thaw(source)
    if why.new_key:
        # Nothing was ever written under it but the copy.
        Path(why.new_key).unlink(missing_ok=True)


def _with_key(settings: Settings) -> Settings:
    """The settings with the place of the key, which may follow from the ledger's. Raises OperatorError."""
    path = key_path(settings)
    if path is None:
        raise OperatorError("key_file is missing in the settings of the link")
    return settings.model_copy(update={"key_file": path})


def _begin(
    fleet: Fleet, link: FleetLink, settings: Settings, source: Engine, to: str, *, new_key: bool
) -> tuple[Frozen, str]:
    """Check all that can be checked, then freeze the old ledger."""
    for other in fleet.links():
        if other.name != link.name and other.ledger == ledger_of(to):
            raise OperatorError(f"the link {other.name} keeps its ledger there")
    if ledger_of(to) == ledger_of(settings.database):
        raise OperatorError(f"the link {link.name} keeps its ledger there already")
    with open_ledger(settings, create=False) as ledger:
        vault = ledger.vault
    with _opened(to) as target:
        upgrade(target)
        if not is_empty(target):
            raise OperatorError(f"{ledger_of(to)} is in use and is left as it is", "Name another place.")
    key_file = "" if not new_key else str(_make_key(link, settings, source, vault))
    how = "rotate" if new_key else "move"
    words = (
        f"this ledger was moved to {ledger_of(to)}, or is on its way there "
        f"(`giftsync links {how} {link.name}` goes on); nothing is written to it any more"
    )
    why = Frozen(uuid.uuid4().hex, words, vault.seal_words(to), key_file)
    crashpoint("move.prepared")
    freeze(source, why, now())
    crashpoint("move.frozen")
    return why, to


def _make_key(link: FleetLink, settings: Settings, source: Engine, vault: Vault) -> Path:
    """A file with a new key, and those before it."""
    if settings.key is not None or settings.key_file is None:
        raise OperatorError("the key is given in the environment", "Keep it in a file: `key_file`.")
    if Imports(source, vault).is_under_way():
        raise OperatorError(
            "an import is under way", "Its plan names cards by the present key: let it come to its end first."
        )
    keys = (make_key(), *load_keys(Path(settings.key_file)))
    for number in range(len(keys), 100):
        file = link.folder.absolute() / f"giftsync-{number}.key"
        with suppress(FileExistsError):
            write_keys(file, keys)
            crashpoint("move.key_made")
            return file
    raise OperatorError(f"{link.folder} has a hundred keys; remove some")


def _carry(
    settings: Settings, source: Engine, vault: Vault, to: str, why: Frozen, say: Callable[[str], None]
) -> Moved:
    """Copy every row in one transaction, unless that was done, and prove what arrived."""
    new_vault, rotation = vault, None
    if why.new_key:
        new_vault = Vault(*load_keys(Path(why.new_key)))
        rotation = Rotation(vault, new_vault)
    with _opened(to) as target:
        generation = Generation(target, generation_file(settings.model_copy(update={"database": to}), target))
        # The old schema may be of the release that has begun the move.
        with reading(source) as connection:
            revision = revision_of(connection)
        upgrade(target, revision)
        if read_mark(target, MOVE) != why.id:
            if not is_empty(target):
                raise OperatorError(
                    f"{ledger_of(to)} is in use and is left as it is", "--undo gives the move up."
                )
            with reading(source) as connection, target.begin() as writing:
                rows = read_rows(connection, {"marks": (FROZEN,)})
                write_rows(writing, rows if rotation is None else rotation.pages(rows))
                if rotation is not None:
                    for page in read_pages(source):
                        rotation.rehash(writing, page)
                write_mark(writing, MOVE, why.id, now())
                generation.move_here(writing, now())
                crashpoint("move.copying")
        crashpoint("move.copied")
        with reading(source) as old, reading(target) as new:
            names = columns_of(old)
            for name, keyed in ({} if rotation is None else rotation.columns).items():
                left = names.pop(name, set()) - keyed
                if left:
                    names[name] = left
            before = sums_of(old, _OWN_MARKS, names)
            after = sums_of(new, _OWN_MARKS, names)
        if before != after:
            raise OperatorError(
                f"the copy in {ledger_of(to)} is not the same as the ledger",
                "Nothing works with it. `giftsync links move LINK --undo` lets the old one go on.",
            )
        prove_rows_from(upgrade(target), target, new_vault)
        count = sum(after.rows.values())
        say(f"{count:,} rows were copied and compared.")
        proof = audit(target, new_vault, now)
        found = tuple(one.summary for one in proof)
        if rotation is not None and found and len(found) > len(list(audit(source, vault, now))):
            raise OperatorError(
                f"the copy in {ledger_of(to)} does not prove under the new key",
                "Nothing works with it. `giftsync links rotate LINK --undo` lets the old one go on.",
            )
        crashpoint("move.proved")
        generation.keep()
    return Moved(ledger_of(settings.database), ledger_of(to), proof.cards, count, found)


def _switch(link: FleetLink, settings: Settings, to: str, key_file: Path | str | None) -> None:
    """Have the settings name the new ledger; from then on it works."""
    changes: dict[tuple[str, ...], Value] = {
        ("database",): _within(link, to, "sqlite:///"),
        ("key_file",): _within(link, str(key_file), ""),
    }
    text = edit(link.config.read_text(encoding="utf-8"), changes)
    crashpoint("move.switching")
    write_private(link.config, text.encode())
    crashpoint("move.switched")


def _within(link: FleetLink, place: str, prefix: str) -> str:
    """A file in the link's folder by its name, so that the folder can be moved."""
    path = Path(place.removeprefix(prefix))
    inside = place.startswith(prefix) and path.parent == link.folder.absolute()
    return f"{prefix}{path.name}" if inside else place


def target_of(link: FleetLink, postgres: str | None, *, file: bool) -> str | None:
    """The database to move to; None: none was named. A place that an earlier move left is passed over."""
    if postgres is not None and file:
        raise OperatorError("say one of --postgres and --file")
    if postgres is not None:
        return _unused(lambda suffix: own_schema(postgres, f"{link.name}{suffix}"))
    if file:
        return _unused(_in_folder(link))
    return None


def target_beside(link: FleetLink) -> str:
    """A new place for the ledger on the server, or in the folder, where it is."""
    database = load(link.config).database
    own = ledger_of(database)
    if parse_url(database).get_backend_name() == "postgresql":
        return _unused(lambda suffix: own_schema(database, f"{link.name}{suffix}"), own)
    return _unused(_in_folder(link), own)


def _in_folder(link: FleetLink) -> Callable[[str], str]:
    folder = link.folder.absolute()
    return lambda suffix: f"sqlite:///{folder / f'giftsync{suffix}.db'}"


def _unused(place: Callable[[str], str], but: str | None = None) -> str:
    for number in range(1, 100):
        database = place("" if number == 1 else f"-{number}")
        if ledger_of(database) == but:
            continue
        with _opened_if_there(database) as engine:
            if engine is None or frozen(engine) is None:
                return database
    raise OperatorError("a hundred ledgers that were moved are there; remove some")


@contextmanager
def _opened_if_there(database: str) -> Iterator[Engine | None]:
    """The engine of a ledger that is there; None, and nothing made, where there is none."""
    engine = open_engine(database)
    try:
        file = database_file(engine)
        if file is not None and not file.exists():
            yield None
            return
        check_engine(engine)
        yield engine if has_schema(engine) else None
    finally:
        engine.dispose()


def findings_words(found: Sequence[str]) -> list[str]:
    """The first few findings of the proof, for people."""
    more = len(found) - FINDINGS_SHOWN
    return [*found[:FINDINGS_SHOWN], *([f"and {more} more"] if more > 0 else [])]
