"""What the facts leave open about an account, each with its strict answer as the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: They count only when the side starts.
FIXED: Final = frozenset({"registers"})


@dataclass
class LightspeedRBehaviour:
    """Switches of one emulated account."""

    #: Sets the bucket: 90 draining 1 a second, and for each further register 10 more and 0.5 a second.
    registers: int = 1
    #: What a read and a write cost before what their parameters and nested entities add.
    read_cost: float = 1.0
    write_cost: float = 10.0
    parameter_cost: float = 0.25
    #: Requests that are answered within one second.
    burst_limit: int = 200
    #: How value on a card is shown.
    sign: Literal["negative", "positive"] = "negative"
    #: The field of a sale that is shown again; the other one is forgotten.
    marker_field: Literal["referenceNumber", "note"] = "referenceNumber"
    #: Whether letters may be in a code.
    letters_in_codes: bool = False
    #: Whether a code may be given twice.
    duplicate_codes: bool = False
    #: Whether a sale may take more from a card than it holds.
    over_redemption: bool = False
    #: Whether a payment moves the time stamp of its card.
    timestamp_moves: bool = True
    #: Whether a filter by time stamp is heeded.
    timestamp_filter: bool = True
