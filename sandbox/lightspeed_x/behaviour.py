"""What the facts leave open about a retailer, each with its strict answer as the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: They count only when the side starts.
FIXED: Final = frozenset({"registers"})


@dataclass
class LightspeedXBehaviour:
    """Switches of one emulated retailer."""

    #: Sets the limit: 300 requests for each, plus 50, in five minutes.
    registers: int = 1
    #: For how long a `client_id` is remembered; 0: never, so that a repeated request moves money again.
    client_id_seconds: float = 86_400.0
    #: The answer to a known `client_id` with other details.
    client_id_mismatch: Literal["refuse", "earlier", "apply"] = "refuse"
    #: Whether letters may be in a number.
    letters_in_numbers: bool = False
    number_length_max: int = 32
    #: Whether an expired card can be loaded.
    reload_revives_expired: bool = False
    #: Which moment `expires_at` is, for the date that was given.
    expires_at_is: Literal["end", "start"] = "end"
    #: Whether amounts are JSON numbers, as before version 2026-04.
    legacy_amounts: bool = False
