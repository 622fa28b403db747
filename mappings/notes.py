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


def shipping_name_in(note: str) -> str:
    """The shipping name in a note of `sale_note`; empty when it has none."""
    _, *middle = note.split(", ")[:-1] or [""]
    return ", ".join(middle)


def sale_note(sold_on: str, last_chars: str, details: Mapping[str, str]) -> str:
    """What staff read on the card that giftsync makes for one that was sold on another side.

    The last four of its code there and the order's shipping name help to find a customer's card at the till.
    `sold_on` is what people call that side.
    """
    parts = [f"{sold_on} {last_chars[-4:]}", details.get("shipping_name", ""), details.get("order", "")]
    return ", ".join(part for part in parts if part)[:NOTE_LENGTH_MAX]
