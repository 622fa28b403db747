"""The words that giftsync leaves on a card for staff, and the markers that it leaves for itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MARKER: Final = re.compile(r"gs-[a-z0-9]{4,40}")

#: Longer notes are cut; what sides allow is not published.
NOTE_LENGTH_MAX: Final = 200


def marker_in(note: str | None) -> str | None:
    """The giftsync marker with which a note begins, if any."""
    found = MARKER.match(note or "")
    return found.group() if found else None


def pos_note(last_chars: str, details: Mapping[str, str]) -> str:
    """What staff read on the POS card of a card that was bought online.

    The last four of the online code and the order's shipping name help to find a customer's card at the till.
    """
    parts = [f"Shopify {last_chars[-4:]}", details.get("shipping_name", ""), details.get("order", "")]
    return ", ".join(part for part in parts if part)[:NOTE_LENGTH_MAX]
