"""Whether a key is the one that a ledger's serials were sealed with."""

from __future__ import annotations

from sqlalchemy import select

from sync.ledger.database.engine import Engine, asking
from sync.ledger.database.tables import presences
from sync.ledger.secrets.vault import Vault


def prove_key(engine: Engine, vault: Vault) -> None:
    """Open one sealed serial, if there is one. Raises what the vault raises for a wrong key."""
    query = select(presences.c.serial_sealed).where(presences.c.serial_sealed.is_not(None)).limit(1)
    with asking(engine) as connection:
        sealed = connection.execute(query).scalar_one_or_none()
    if sealed is not None:
        vault.open(sealed)
