"""The hash chain of a card: every appended row is bound to the one before it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

#: What the hash of a movement covers.
MOVEMENT_FIELDS = (
    "card_id",
    "chain_seq",
    "side",
    "kind",
    "amount_minor",
    "shadow_delta_minor",
    "balance_after_minor",
    "evidence",
    "at",
    "run_id",
)
#: What the hash of an intent state covers; the intent's own promise is in it each time.
STATE_FIELDS = (
    "card_id",
    "chain_seq",
    "marker",
    "state",
    "reason",
    "fencing",
    "at",
    "intent_side",
    "intent_kind",
    "intent_amount_minor",
)


def canonical(row: Mapping[str, Any], fields: tuple[str, ...]) -> bytes:
    """One row as bytes that do not depend on the database that holds it."""
    return json.dumps(
        {name: row[name] for name in fields}, sort_keys=True, separators=(",", ":"), default=_plain
    ).encode()


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no canonical form")
