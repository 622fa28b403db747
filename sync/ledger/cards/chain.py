"""The hash chain of a card: every appended row is bound to the one before it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")

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
#: What the hash of an identity covers: which card a presence is on its side.
IDENTITY_FIELDS = ("card_id", "chain_seq", "side", "native_id", "serial_index", "last_chars", "born", "at")
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
    return written({name: plain(row[name]) for name in fields})


def plain(value: Any) -> Any:
    """Moments and dates as text; anything else as it is."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    return value


def written(value: object) -> bytes:
    """The one way in which a value of `plain` parts is written: sorted names, no spaces, in ASCII."""
    made = _ENCODER.encode(value)
    # What is beyond ASCII it leaves as it is.
    if made.isascii() and b"\x7f" not in made:
        return made
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
