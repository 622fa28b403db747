"""What a person decided about a conflict, proved: to take it back moves money by what its row says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sync.ledger.cards.row_proof import RowProof
from sync.ledger.secrets.vault import Vault

#: It is kept in what was decided, as `proof`.
_DECISION_PROOF: Final = RowProof("decision", ("conflict_id", "card_id", "decided"))


def with_proof(
    conflict_id: int, card_id: int | None, decided: Mapping[str, Any], vault: Vault
) -> dict[str, Any]:
    """The decision with a keyed hash of it, of its conflict and of its card."""
    row = _row(conflict_id, card_id, decided)
    return {**row["decided"], "proof": _DECISION_PROOF.of(row, vault)}


def is_as_decided(
    conflict_id: int, card_id: int | None, decided: Mapping[str, Any] | None, vault: Vault
) -> bool:
    """Whether giftsync wrote the decision, and about this card; a release before the proofs wrote none."""
    return _DECISION_PROOF.holds(_row(conflict_id, card_id, decided or {}), vault)


def _row(conflict_id: int, card_id: int | None, decided: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in decided.items() if name != "proof"}
    proof = str(decided.get("proof", ""))
    return {"conflict_id": conflict_id, "card_id": card_id, "decided": said, "proof": proof}
