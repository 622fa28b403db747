"""How an emulated shop of the contract differs from one that keeps every rule of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: They count only when the side starts.
FIXED: Final = frozenset({"features"})


@dataclass
class HttpShopBehaviour:
    """Switches of one emulated shop."""

    features: tuple[str, ...] = ("create", "credit", "debit", "suspend", "close", "expiry", "webhooks")
    #: Whether keys are known again; false breaks the contract: what comes again is carried out again.
    keys_kept: bool = True
    #: Requests in a minute; 0: as many as come.
    requests_per_minute: int = 0
    number_length_min: int = 8
    number_length_max: int = 20
    number_digits_only: bool = False
    #: The most that one card may hold, in minor units; 0: any amount.
    card_limit_minor: int = 0
    #: Parts of the webhooks that are lost, sent twice, or sent late.
    webhooks_lost: float = 0.0
    webhooks_doubled: float = 0.0
    webhooks_late: float = 0.0
    webhook_late_seconds: float = 3.0
    webhook_retries_max: int = 4
