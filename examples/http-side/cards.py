"""The gift cards of a small shop, in SQLite: cards, their book of movements, and what changed.

Three things make it right. The key of a request stands in the row that it made, under a unique index. Every
write is one transaction that takes the database for itself first, so a change gets its number in the order of
the commits. And a movement is inserted and never changed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

CURRENCY = "NOK"
DECIMALS = 2
ZONE = ZoneInfo("Europe/Oslo")
STATUSES = ("active", "suspended", "closed")
SCHEMA = """
CREATE TABLE IF NOT EXISTS cards (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    number TEXT NOT NULL,
    bare TEXT NOT NULL UNIQUE,
    balance INTEGER NOT NULL CHECK (balance >= 0),
    status TEXT NOT NULL DEFAULT 'active',
    expires_on TEXT,
    note TEXT NOT NULL DEFAULT '',
    key TEXT UNIQUE,
    request TEXT
);
CREATE TABLE IF NOT EXISTS movements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    card INTEGER NOT NULL REFERENCES cards (id),
    minor INTEGER NOT NULL CHECK (minor <> 0),
    at TEXT NOT NULL,
    label TEXT NOT NULL DEFAULT '',
    key TEXT UNIQUE,
    request TEXT
);
CREATE TABLE IF NOT EXISTS changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    card INTEGER NOT NULL REFERENCES cards (id),
    at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS movements_of_card ON movements (card);
"""


@dataclass
class Refused(Exception):
    """The shop says no, and nothing has happened."""

    status: int
    code: str
    card: int | None = None


def bare(number: str) -> str:
    """A number as it is compared: without spaces and dashes, in lower case."""
    return "".join(number.split()).replace("-", "").lower()


def text_of(minor: int) -> str:
    """4150 is `41.50`."""
    sign, minor = ("-", -minor) if minor < 0 else ("", minor)
    return f"{sign}{minor // 10**DECIMALS}.{minor % 10**DECIMALS:0{DECIMALS}d}"


@dataclass(frozen=True)
class Cards:
    """The cards in one file. Safe to use from several threads and processes."""

    path: Path

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that has the database for itself from its beginning."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One transaction, so that a balance and its movements are of the same moment."""
        with self._open() as db:
            db.execute("BEGIN")
            yield db
            db.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self.path, timeout=15.0, isolation_level=None)
        db.row_factory = sqlite3.Row
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            yield db
        finally:
            db.close()

    def prepare(self, more: str = "") -> None:
        """Make the tables, if they are not there."""
        with self._open() as db:
            db.executescript(SCHEMA + more)

    # --- reading --------------------------------------------------------------------------------------------

    def by_number(self, number: str) -> dict[str, Any]:
        with self.reading() as db:
            return _shown(db, _only(db.execute("SELECT * FROM cards WHERE bare = ?", [bare(number)])))

    def by_id(self, card: str) -> dict[str, Any]:
        with self.reading() as db:
            return _shown(db, _card(db, card))

    def page(self, after: int, limit: int) -> dict[str, Any]:
        """The cards after an id."""
        with self.reading() as db:
            rows = db.execute(
                "SELECT * FROM cards WHERE id > ? ORDER BY id LIMIT ?", [after, limit + 1]
            ).fetchall()
        shown = [_without_movements(row) for row in rows[:limit]]
        return {"cards": shown, "next": str(rows[limit - 1]["id"]) if len(rows) > limit else None}

    def changes(self, after: int, limit: int) -> dict[str, Any]:
        """The changes after a number, the oldest first."""
        with self.reading() as db:
            rows = db.execute(
                "SELECT * FROM changes WHERE id > ? ORDER BY id LIMIT ?", [after, limit + 1]
            ).fetchall()
        page = rows[:limit]
        return {
            "changes": [{"card": _id(row["card"]), "at": row["at"]} for row in page],
            "next": str(page[-1]["id"] if page else after),
            "more": len(rows) > limit,
        }

    # --- writing --------------------------------------------------------------------------------------------

    def create(
        self, number: str, minor: int, expires_on: str | None, note: str, key: str | None, request: Any
    ) -> dict[str, Any]:
        """Make a card with its whole amount; the same again under the same key."""
        with self.writing() as db:
            made = _made(db, "cards", key, request)
            if made is None:
                made = insert_card(db, number, minor, expires_on, note, key, request)
            return _shown(db, made)

    def move(self, card: str, minor: int, key: str | None, request: Any, label: str = "") -> dict[str, Any]:
        """Put money on a card or take it off; the same again under the same key."""
        with self.writing() as db:
            row = _card(db, card)
            made = _made(db, "movements", key, request)
            if made is None:
                made = insert_movement(db, row, minor, label, key, request)
            balance = _card(db, card)["balance"]
            return {"card": card, "balance": text_of(balance), "movement": _movement(made)}

    def change(self, card: str, wanted: dict[str, str | None]) -> dict[str, Any]:
        """Set status, last day or both."""
        with self.writing() as db:
            row = _card(db, card)
            if row["status"] == "closed" and wanted.get("status", "closed") != "closed":
                raise Refused(409, "not_active")
            status, day = wanted.get("status", row["status"]), wanted.get("expires_on", row["expires_on"])
            if (status, day) != (row["status"], row["expires_on"]):
                db.execute(
                    "UPDATE cards SET status = ?, expires_on = ? WHERE id = ?", [status, day, row["id"]]
                )
                _note_change(db, row["id"])
            return _shown(db, _card(db, card))


def insert_card(
    db: sqlite3.Connection,
    number: str,
    minor: int,
    expires_on: str | None = None,
    note: str = "",
    key: str | None = None,
    request: Any = None,
) -> sqlite3.Row:
    """Within a transaction: a new card with its first movement."""
    text = bare(number)
    if not 8 <= len(text) <= 20 or not text.isascii() or not text.isalnum():
        raise Refused(409, "number_refused")
    taken = db.execute("SELECT id FROM cards WHERE bare = ?", [text]).fetchone()
    if taken is not None:
        raise Refused(409, "number_taken", taken["id"])
    row = db.execute(
        "INSERT INTO cards (number, bare, balance, expires_on, note, key, request) "
        "VALUES (?, ?, 0, ?, ?, ?, ?) RETURNING *",
        [number, text, expires_on, note, key, _fingerprint(key, request)],
    ).fetchone()
    if minor:
        insert_movement(db, row, minor, "" if key else "sold", key, request)
    else:
        _note_change(db, row["id"])
    return _only(db.execute("SELECT * FROM cards WHERE id = ?", [row["id"]]))


def insert_movement(
    db: sqlite3.Connection,
    card: sqlite3.Row,
    minor: int,
    label: str,
    key: str | None = None,
    request: Any = None,
) -> sqlite3.Row:
    """Within a transaction: one movement, if the card allows it."""
    if card["status"] != "active":
        raise Refused(409, "not_active")
    if card["expires_on"] is not None and date.fromisoformat(card["expires_on"]) < today():
        raise Refused(409, "expired")
    done = db.execute(
        "UPDATE cards SET balance = balance + ? WHERE id = ? AND balance + ? >= 0",
        [minor, card["id"], minor],
    )
    if done.rowcount == 0:
        raise Refused(409, "insufficient_funds")
    made = db.execute(
        "INSERT INTO movements (card, minor, at, label, key, request) VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
        [card["id"], minor, _now(), label, key, _fingerprint(key, request)],
    ).fetchone()
    _note_change(db, card["id"])
    found: sqlite3.Row = made
    return found


def today() -> date:
    return datetime.now(ZONE).date()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _note_change(db: sqlite3.Connection, card: int) -> None:
    db.execute("INSERT INTO changes (card, at) VALUES (?, ?)", [card, _now()])


def _made(db: sqlite3.Connection, table: str, key: str | None, request: Any) -> sqlite3.Row | None:
    """What the same request made under this key before."""
    for name in ("cards", "movements"):
        row = db.execute(f"SELECT * FROM {name} WHERE key = ?", [key]).fetchone()
        if row is not None:
            if row["request"] != _fingerprint(key, request):
                raise Refused(409, "key_reused")
            if name == table:
                found: sqlite3.Row = row
                return found
    return None


def _fingerprint(key: str | None, request: Any) -> str | None:
    return None if key is None else json.dumps(request, sort_keys=True)


def _id(number: int) -> str:
    return f"card-{number}"


def _card(db: sqlite3.Connection, card: str) -> sqlite3.Row:
    number = card.removeprefix("card-")
    if not card.startswith("card-") or not number.isascii() or not number.isdigit() or len(number) > 15:
        raise Refused(404, "not_found")
    return _only(db.execute("SELECT * FROM cards WHERE id = ?", [int(number)]))


def _only(rows: sqlite3.Cursor) -> sqlite3.Row:
    row: sqlite3.Row | None = rows.fetchone()
    if row is None:
        raise Refused(404, "not_found")
    return row


def _without_movements(card: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": _id(card["id"]),
        "number": card["number"],
        "balance": text_of(card["balance"]),
        "currency": CURRENCY,
        "status": card["status"],
        "expires_on": card["expires_on"],
        "note": card["note"],
        "key": card["key"],
    }


def _shown(db: sqlite3.Connection, card: sqlite3.Row) -> dict[str, Any]:
    rows = db.execute("SELECT * FROM movements WHERE card = ? ORDER BY id", [card["id"]])
    return {**_without_movements(card), "movements": [_movement(row) for row in rows]}


def _movement(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": f"m-{row['id']}",
        "amount": text_of(row["minor"]),
        "at": row["at"],
        "key": row["key"],
        "label": row["label"],
    }
