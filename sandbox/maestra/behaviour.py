"""What the facts leave open about Maestra, each with its strict answer as the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: They count only when the side starts.
FIXED: Final = frozenset({"pools_max"})


@dataclass
class MaestraBehaviour:
    """Switches of one emulated project."""

    imports_per_hour: int = 60
    #: How long an import is under way; its rows are done at its end.
    import_seconds: float = 0.0
    #: How new cards are imported: the documents name both operations.
    new_cards_by: Literal["ImportNew", "Import", "both"] = "both"
    #: What a payment with a gift card is called, and where its CVV stands.
    payment_type: str = "giftCard"
    cvv_name: str = "cvv"
    #: The answer to a saved order whose external id is known.
    known_order: Literal["same", "error", "again"] = "error"
    #: Whether a cancelled order gives the card its money back.
    cancel_restores: bool = True
    #: Whether a calculation shows cards that cannot pay.
    calculation_shows: Literal["all", "payable"] = "all"
    #: The names of statuses in answers: of the interface, or of files.
    status_names: Literal["interface", "file"] = "interface"
    pools_max: int = 10
