"""What a person decided about a conflict, proved: to take it back moves money by what its row says."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final

from sync.ledger.cards.chain import written
from sync.ledger.secrets.vault import Vault

_PROOF: Final = "proof"


def with_proof(
    conflict_id: int, card_id: int | None, decided: Mapping[str, Any], vault: Vault
) -> dict[str, Any]:
    """The decision with a keyed hash of it, of its conflict and of its card."""
    plain = {name: value for name, value in decided.items() if name != _PROOF}
    said = b"decision\0" + written([conflict_id, card_id, plain])
    return {**plain, _PROOF: vault.digest(said)}


def is_as_decided(
    conflict_id: int, card_id: int | None, decided: Mapping[str, Any] | None, vault: Vault
) -> bool:
    """Whether giftsync wrote the decision, and about this card; a release before the proofs wrote none."""
    kept = str((decided or {}).get(_PROOF, ""))
    return hmac.compare_digest(kept, with_proof(conflict_id, card_id, decided or {}, vault)[_PROOF])
