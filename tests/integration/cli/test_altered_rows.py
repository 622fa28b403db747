"""Rows that giftsync cannot have written, since SQLite keeps any text: a card's story is still told."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from cli.demo.control import Control
from config.load import load
from tests.support import Giftsync

#: Where the books are a sum that contradicts itself.
SUMMED = ("cards.balance_minor", "movements.amount_minor", "movements.kind")
COLUMNS = (
    *SUMMED,
    *("movements.balance_after_minor", "movements.shadow_delta_minor"),
    *("presences.shadow_minor", "intents.amount_minor"),
)


def test_given_text_where_a_number_stands_then_the_card_is_told_as_not_verified(
    giftsync: Giftsync, flow: Control, config: Path, tmp_path: Path
) -> None:
    flow.move("sell", 50_000)
    giftsync("sync")
    ledger = Path(str(load(config).database).removeprefix("sqlite:///"))
    as_written = shutil.copy(ledger, tmp_path / "as-written.db")

    for where in COLUMNS:
        shutil.copy(as_written, ledger)
        table, column = where.split(".")
        with sqlite3.connect(ledger) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute(f"UPDATE {table} SET {column} = 'some text'")
        connection.close()

        code, out, _ = giftsync("cards", "show", "--id", "1")
        assert (code, "NOK not verified" in out.splitlines()[0]) == (0, True), where
        code, out, _ = giftsync("cards", "show", "--id", "1", "--explain")
        assert (code, out.splitlines()[0]) == (0, "We cannot say what is on this card now."), where
        assert giftsync("cards", "list")[0] == 0, where
        code, out, err = giftsync("books", "cards")
        assert (code, "contradicts itself" in err) == ((2, True) if where in SUMMED else (0, False)), where
