"""What a person typed, sealed, so that the address of a page can carry it.

The page that a form leads to then has an address of its own: back button, reload and second window work. A
number or a name stands readable in no address, history or log.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping

from sync.ledger.secrets.vault import Vault, VaultError

SEALED_LENGTH_MAX = 2_000


def seal(vault: Vault, person_id: int, typed: Mapping[str, str]) -> str:
    """The text for an address; it opens for the same person only."""
    sealed = vault.seal_secret(json.dumps(dict(typed)), _purpose(person_id))
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def unseal(vault: Vault, person_id: int, text: str) -> Mapping[str, str] | None:
    """What was typed; None for what this person's console did not seal."""
    if not text or len(text) > SEALED_LENGTH_MAX or not text.isascii():
        return None
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return dict(json.loads(vault.open_secret(sealed, _purpose(person_id))))
    except (binascii.Error, ValueError, VaultError):
        return None


def _purpose(person_id: int) -> str:
    return f"giftsync console form of {person_id}"
