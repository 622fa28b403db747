"""Taking a link's whole data along: a sealed file, and a link that is made of one."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from cli.build import now, open_ledger
from cli.errors import OperatorError
from cli.fleet import FILE, KEY, LEDGER, Fleet, FleetLink, ledger_of, own_schema, own_settings
from config.load import load
from sync.crashpoints import crashpoint
from sync.ledger.archive import FORMAT, Archive, Head, write_archive
from sync.ledger.database.engine import check_engine, open_engine, reading
from sync.ledger.database.generation import COPIED
from sync.ledger.database.marks import read_mark, write_mark
from sync.ledger.database.migrations import check_same_release, upgrade
from sync.ledger.database.private_files import write_private
from sync.ledger.database.rows import is_empty, remove_rows, revision_of, write_rows
from sync.ledger.proof.row_proofs import prove_rows_from
from sync.ledger.secrets.vault import Vault, load_keys
from sync.support.audit import audit


@dataclass(frozen=True)
class Carried:
    """What an export holds, or what was read of one."""

    link: str
    rows: int
    bytes: int = 0
    cards: int = 0
    findings: tuple[str, ...] = ()


def export_link(link: FleetLink, file: Path) -> Carried:
    """Write all data of the link as they are at one moment; a worker may go on meanwhile."""
    settings = load(link.config)
    text = link.config.read_text(encoding="utf-8")
    with open_ledger(settings, create=False) as ledger, reading(ledger.engine) as connection:
        check_same_release(ledger.engine)
        head = Head(FORMAT, uuid.uuid4().hex, link.name, revision_of(connection), now().isoformat(), text)
        sums = write_archive(file, connection, ledger.vault, head)
    return Carried(link.name, sum(sums.rows.values()), file.stat().st_size)


def restore_link(
    fleet: Fleet, name: str, file: Path, key_file: Path, postgres: str | None, say: Callable[[str], None]
) -> tuple[FleetLink, Carried]:
    """Make a link of an export. Its ledger knows that it is a copy, and reads back what it lacks.

    Raises OperatorError, VaultError and ArchiveError; then there is no link.
    """
    fleet.check_new(name)
    vault = Vault(*load_keys(key_file))
    with file.open("rb") as stream, fleet.making(name) as folder:
        archive = Archive(stream, vault)
        database = LEDGER if postgres is None else own_schema(postgres, name)
        write_private(folder / FILE, own_settings(archive.head.settings, database).encode())
        shutil.copyfile(key_file, folder / KEY)
        (folder / KEY).chmod(0o600)
        settings = load(folder / FILE)
        engine = open_engine(settings.database)
        try:
            check_engine(engine)
            carried = _fill(engine, archive, vault, say)
        finally:
            engine.dispose()
    crashpoint("restore.done")
    return FleetLink(name, fleet.folder / name), carried


def _fill(engine: Engine, archive: Archive, vault: Vault, say: Callable[[str], None]) -> Carried:
    """Write the rows into an empty ledger in one transaction, and prove it."""
    head = archive.head
    copied = f"{head.exported_at} {head.id}"
    upgrade(engine, head.revision)
    if not is_empty(engine):
        # A ledger that was never begun since this very export was read into it is what a crash has left.
        if read_mark(engine, COPIED) != copied:
            place = ledger_of(engine.url.render_as_string())
            raise OperatorError(
                f"there is a ledger in {place} and it is left as it is", "Choose another name."
            )
        remove_rows(engine)
    with engine.begin() as connection:
        sums = write_rows(connection, archive.pages())
        write_mark(connection, COPIED, copied, now())
        crashpoint("restore.filled")
    prove_rows_from(upgrade(engine), engine, vault)
    rows = sum(sums.rows.values())
    say(f"{rows:,} rows were read back and compared.")
    proof = audit(engine, vault, now)
    found = tuple(one.summary for one in proof)
    return Carried(head.link, rows, cards=proof.cards, findings=found)
