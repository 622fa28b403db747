"""Whether the sides are still the ones that this ledger was made with. A link never converts or guesses."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from connectors.api.capabilities import Identity
from connectors.api.errors import SideClosed
from connectors.api.side import Side
from sync.ledger.database.engine import Engine
from sync.ledger.sides.identities import known_side, remember_side


def check_identity(
    engine: Engine, side: Side, currency: str | None, now: datetime, others: Iterable[str] = ()
) -> Identity:
    """Ask the side who it is and compare with what the ledger remembers, or remember it the first time.

    Raises SideClosed, with the remedy, for another shop or tenant, another currency than the link's, and for
    one that is the same as another side of the link, which `others` names.
    """
    found = side.identify()
    if currency is not None and found.currency != currency:
        raise SideClosed(
            f"{side.name} keeps its cards in {found.currency}, the link in {currency}",
            "Link sides of one currency only; giftsync never converts.",
        )
    for other in others:
        same = known_side(engine, other) if other != side.name else None
        if same is not None and same.identity == found.identity:
            raise SideClosed(
                f"{side.name} and {other} are the same system, {found.identity}: a payment would count twice",
                "Correct the address of one, or take one of the two out of the configuration.",
            )
    known = known_side(engine, side.name)
    if known is None:
        remember_side(engine, side.name, found, now)
    elif (known.identity, known.currency) != (found.identity, found.currency):
        raise SideClosed(
            f"{side.name} is {found.identity} in {found.currency}, but this ledger was made with "
            f"{known.identity} in {known.currency}",
            "Check the address and token in the configuration, or name another database for another shop.",
        )
    return found
