"""The markers of creates: derived from the key and the card that is made, not drawn.

So a ledger that was put back, or that is empty and has the same key, knows which card of a side was made for
which, instead of making another; and two ledgers on one link make the same card once. What was made under a
former key is known again by the marker that it had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection, select

from sync.ledger.database.tables import intents
from sync.ledger.secrets.vault import Vault
from sync.model import Presence

#: Creates of one card on one side; further ones get markers that are drawn.
ATTEMPTS_MAX = 8


def source_of(side: str, native_id: str) -> str:
    """The card that others are made for, by its own id on the side where it was sold."""
    return f"{side}:{native_id}"


def sources(presences: Iterable[Presence], vault: Vault) -> list[str]:
    """What the card may be made for on a side that lacks it: where it is, else the number it is to have."""
    there = sorted(source_of(p.side, p.native_id) for p in presences if p.born and p.native_id is not None)
    return there or [f"number:{vault.index(p.serial)}" for p in presences if p.serial is not None][:1]


def markers(found: Iterable[str], side: str, vault: Vault) -> list[str]:
    """The markers of creates on the side for these sources, the likeliest first."""
    return [
        by.create_marker(source, side, n)
        for by in (vault, *vault.former)
        for source in found
        for n in range(ATTEMPTS_MAX)
    ]


def next_marker(
    connection: Connection,
    presences: Iterable[Presence],
    side: str,
    vault: Vault,
    new_marker: Callable[[], str],
) -> str:
    """The first marker for a create of this card there that no intent has; drawn when all are used up."""
    first = sources(presences, vault)[:1]
    wanted = [vault.create_marker(source, side, n) for source in first for n in range(ATTEMPTS_MAX)]
    query = select(intents.c.marker).where(intents.c.marker.in_(wanted))
    used = set(connection.execute(query).scalars())
    return next((marker for marker in wanted if marker not in used), None) or new_marker()
