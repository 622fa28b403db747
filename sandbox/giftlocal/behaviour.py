"""What the facts leave open about Gift Local, each with its strict answer as the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: They count only when the side starts.
FIXED: Final = frozenset[str]()


@dataclass
class GiftLocalBehaviour:
    """Switches of one emulated account."""

    #: Whether a code is taken as a quoted text beside a JSON number.
    text_codes: bool = False
    #: Whether a number of fewer than twelve digits gets its leading zeros back.
    pads_codes: bool = False
    #: The answer to a code that no gift has: an HTTP status, or 200 with an error body.
    unknown_code: Literal["404", "200"] = "404"
    #: What becomes of a redemption of more than the gift holds.
    excess: Literal["error", "partial"] = "error"
    #: The answer to a redemption that is reversed a second time.
    second_reverse: Literal["error", "same"] = "error"
    reverse_after_expiry: bool = False
    reverse_path: str = "/api/integration/redemption/reverse-redemption"
    #: What the redemption's identifier and the remaining value are called in an answer.
    redemption_name: str = "redemptionTransactionID"
    remaining_name: str = "remainingValue"
    #: Whether a gift is made once only for one external transaction.
    mints_once: bool = False
    mint_minimum_cents: int = 1
    mint_maximum_cents: int = 100_000_00
    #: Whether a validation tells promotional gifts, and by which name.
    promotional_name: str = "isPromotional"
