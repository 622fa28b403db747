"""From which side to which cards are created, as it was at the end of the last pass, and as a person agreed.

Each is a mark with a keyed proof: who writes into the database by hand can take back what a person said, and
say nothing for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import Engine, select

from sync.ledger.cards.row_proof import RowProof
from sync.ledger.database.engine import asking
from sync.ledger.database.marks import write_mark
from sync.ledger.database.tables import marks
from sync.ledger.secrets.vault import Vault

#: At the end of the last pass.
CREATED_ON: Final = "created_on"
#: What a person agreed to and is not in `CREATED_ON` yet.
AGREED: Final = "created_on_agreed"
#: The marks that have a proof.
PROVED_MARKS: Final = (CREATED_ON, AGREED)
MARK_PROOF: Final = RowProof("mark", ("name", "value"))


def read_ways(engine: Engine, vault: Vault, name: str) -> list[str] | None:
    """Ways such as `store>shop`; None where there is no mark, none if it is not as giftsync wrote it."""
    with asking(engine) as connection:
        row = connection.execute(select(marks).where(marks.c.name == name)).mappings().one_or_none()
    if row is None:
        return None
    return [way for way in row["value"].split(",") if way] if MARK_PROOF.holds(row, vault) else []


def save_ways(engine: Engine, vault: Vault, name: str, ways: Iterable[str], now: datetime) -> None:
    value = ",".join(ways)
    with engine.begin() as connection:
        write_mark(connection, name, value, now, MARK_PROOF.of({"name": name, "value": value}, vault))
