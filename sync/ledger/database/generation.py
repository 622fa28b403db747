"""Whether a ledger is the newest one of its link: a generation, counted in it and in a file beside the key.

Each run raises the generation before anything else, and so does a worker every few seconds. A ledger that is
put back has a lower one than the file. A copy of a database is another file, so the ledger remembers the
number (inode) of its own as well. Nothing of this proves that it is the newest: what the sides show does.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, select, update

from sync.ledger.database.engine import LedgerUnavailable, asking, database_file
from sync.ledger.database.frozen import frozen
from sync.ledger.database.marks import count_in, read_count, read_instant, read_mark, save_mark, write_mark
from sync.ledger.database.tables import cards, feed_cursors, marks

GENERATION = "generation"
LEDGER = "ledger"
PLACE = "place"
COPIED = "copied"
#: Since when the ledger may not be the newest, and why; empty: it is, as far as is known.
BEHIND_SINCE = "behind_since"
BEHIND_WHY = "behind_why"
SECOND = "second_ledger"

NEW = "the key was used with another ledger before, and this one is new"


@dataclass(frozen=True)
class Behind:
    """The ledger may lack what a newer one did."""

    since: datetime
    why: str


@dataclass(frozen=True)
class Generation:
    """The generation of one ledger. `file` is None where neither key nor ledger is a file."""

    engine: Engine
    file: Path | None
    #: Each machine of a fleet has a file of its own, and a new one has none yet.
    on_many_machines: bool = False

    def begin(self, now: datetime) -> str | None:
        """Raise the generation at the start of a run; returns why the ledger may not be the newest, if so.

        Raises LedgerUnavailable when the file cannot be read or written.
        """
        # First the file: beside other workers it is never ahead of a ledger that is read after it.
        kept = self._read()
        ledger = read_mark(self.engine, LEDGER)
        known = read_count(self.engine, GENERATION)
        why = None if ledger is None else self._doubt(ledger, known, kept)
        if ledger is None:
            ledger = uuid.uuid4().hex
            if kept:
                why = NEW
        place = _place(self.engine)
        with self.engine.begin() as connection:
            now_known = select(marks.c.value).where(marks.c.name == GENERATION).with_for_update()
            known = count_in(connection.execute(now_known).scalar_one_or_none())
            number = max(known, _number(kept)) + 1
            if why is not None:
                fall_behind(connection, why, now)
            for name, value in ((LEDGER, ledger), (GENERATION, str(number)), (PLACE, place), (COPIED, "")):
                write_mark(connection, name, value, now)
        self._write(ledger, number)
        return why

    def doubt(self) -> str | None:
        """Why the ledger may not be the newest, if so; changes nothing."""
        kept = self._read()
        ledger = read_mark(self.engine, LEDGER)
        if ledger is None:
            return NEW if kept else None
        return self._doubt(ledger, read_count(self.engine, GENERATION), kept)

    def _doubt(self, ledger: str, known: int, kept: Mapping[str, object]) -> str | None:
        if read_mark(self.engine, COPIED):
            return "it is a backup that was put back"
        if self.file is not None:
            if not kept and not self.on_many_machines:
                return f"{self.file.name} is missing beside the key: the ledger came here without it"
            if kept and kept.get("ledger") != ledger:
                return "another ledger was used with this key since"
            if _number(kept) > known:
                return "it was put back to an earlier state"
        place = read_mark(self.engine, PLACE)
        if place and place != _place(self.engine):
            return "the database is a copy: its file is another one than before"
        return None

    def advance(self, now: datetime) -> None:
        """Raise the generation while a worker runs.

        Raises LedgerUnavailable when the ledger or the file is not the one that this run has begun with, and
        when the ledger was moved.
        """
        moved = frozen(self.engine)
        if moved is not None:
            raise LedgerUnavailable(moved.words)
        kept = self._read()
        ledger = read_mark(self.engine, LEDGER)
        known = read_count(self.engine, GENERATION)
        if (
            self.file is not None
            and (kept or not self.on_many_machines)
            and (kept.get("ledger") != ledger or _number(kept) > known)
        ):
            raise LedgerUnavailable(
                "the ledger was replaced, or another ledger was used with the same key, while the worker "
                "ran; it has stopped"
            )
        with self.engine.begin() as connection:
            raised = connection.execute(
                update(marks)
                .where(marks.c.name == GENERATION, marks.c.value == str(known))
                .values(value=str(known + 1), at=now)
            ).rowcount
        # Otherwise another worker of the same ledger has just raised it.
        if raised:
            self._write(ledger or "", known + 1)

    def move_here(self, connection: Connection, now: datetime) -> None:
        """Count the ledger as the newest one, in the transaction in which it comes here whole by a move."""
        known = connection.execute(select(marks.c.value).where(marks.c.name == GENERATION)).scalar()
        for name, value in ((GENERATION, str(int(known or 0) + 1)), (PLACE, ""), (COPIED, "")):
            write_mark(connection, name, value, now)

    def keep(self) -> None:
        """Write the ledger's generation beside the key. Raises LedgerUnavailable."""
        ledger = read_mark(self.engine, LEDGER)
        if ledger is not None:
            self._write(ledger, read_count(self.engine, GENERATION))

    def _read(self) -> Mapping[str, object]:
        if self.file is None:
            return {}
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise LedgerUnavailable(
                f"{self.file} cannot be read ({type(error).__name__}); remove it"
            ) from None
        return found if isinstance(found, dict) else {}

    def _write(self, ledger: str, number: int) -> None:
        if self.file is None:
            return
        text = json.dumps({"ledger": ledger, "generation": number}) + "\n"
        fresh = self.file.with_name(f"{self.file.name}.{os.getpid()}.new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            os.replace(fresh, self.file)
        except OSError as error:
            raise LedgerUnavailable(f"{self.file} cannot be written: {error.strerror}") from None


def generation_of(engine: Engine) -> int:
    """The generation that the ledger has; it only ever grows."""
    return read_count(engine, GENERATION)


def _number(kept: Mapping[str, object]) -> int:
    number = kept.get("generation", 0)
    return number if isinstance(number, int) else 0


def _place(engine: Engine) -> str:
    path = database_file(engine)
    return "" if path is None else str(path.stat().st_ino)


def fall_behind(connection: Connection, why: str, now: datetime, *, second: bool = False) -> None:
    """From now on the ledger counts as one that may lack what a newer one did, with every card in it.

    `second`: it was current, and another one was found beside it.
    """
    write_mark(connection, SECOND, "yes" if second else "", now)
    connection.execute(update(cards).values(behind=True))
    write_mark(connection, BEHIND_SINCE, now.isoformat(), now)
    write_mark(connection, BEHIND_WHY, why, now)


def has_a_second(engine: Engine) -> bool:
    """Whether the ledger fell behind because another one was at work beside it."""
    return bool(read_mark(engine, SECOND))


def behind(engine: Engine) -> Behind | None:
    """Whether the feeds are still to be read to now before any card is decided."""
    since = read_instant(engine, BEHIND_SINCE)
    if since is None:
        return None
    return Behind(since, read_mark(engine, BEHIND_WHY) or "")


def caught_up(engine: Engine, now: datetime) -> None:
    """Every feed was read to now; what is left is said by each card."""
    save_mark(engine, BEHIND_SINCE, "", now)


def cursors(engine: Engine) -> dict[tuple[str, str], str]:
    """How far each feed was read, by side and feed."""
    with asking(engine) as connection:
        return {(row.side, row.feed): row.cursor for row in connection.execute(select(feed_cursors))}


def put_back(connection: Connection, before: Mapping[tuple[str, str], str]) -> None:
    """Have the feeds read again from where they were."""
    for (side, feed), cursor in before.items():
        where = (feed_cursors.c.side == side, feed_cursors.c.feed == feed)
        connection.execute(update(feed_cursors).where(*where).values(cursor=cursor))
