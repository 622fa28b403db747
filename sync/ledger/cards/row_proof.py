"""Keyed proofs of single rows: what shows that giftsync wrote a row, and nobody who has the database only.

Rows of a card are proved by its chain and digest. Rows that nothing chains, and that give somebody a right or
have money moved, carry a proof of their own. A row that was put back whole, as it was once, proves still.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.ledger.cards.chain import plain, written
from sync.ledger.secrets.vault import Vault


@dataclass(frozen=True)
class RowProof:
    """The proof of one kind of rows, which is in their column `proof`."""

    #: What they are: a proof of another kind of row does not fit.
    kind: str
    #: The columns that it covers.
    columns: tuple[str, ...]

    def of(self, row: Mapping[Any, Any], vault: Vault) -> str:
        """The proof of a row as giftsync writes it."""
        said = written([plain(row[name]) for name in self.columns])
        return vault.digest(self.kind.encode() + b"\0" + said)

    def holds(self, row: Mapping[Any, Any], vault: Vault) -> bool:
        """Whether the row is as giftsync wrote it."""
        return hmac.compare_digest(row["proof"] or "", self.of(row, vault))
