"""Global ids: `gid://shopify/GiftCard/663920574770` (shopify.md §3.1, §3.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_GID = re.compile(r"gid://[\w-]+/(?P<kind>\w+)/(?P<tail>.+)", re.ASCII)
#: Real ids grow in steps of 2^15, as seen in every recording.
_STEP = 32_768
_FIRST = 663_900_000_000 // _STEP * _STEP


def gid(kind: str, number: int) -> str:
    """The global id of an object."""
    return f"gid://shopify/{kind}/{number}"


def is_gid(text: str) -> bool:
    """Whether the text has the form of a global id, of whatever kind."""
    return _GID.fullmatch(text) is not None


def split_gid(text: str) -> tuple[str, int] | None:
    """Kind and number of a global id, or None if it is not one or its tail is not a number."""
    match = _GID.fullmatch(text)
    if match is None or not match["tail"].isascii() or not match["tail"].isdigit():
        return None
    return match["kind"], int(match["tail"])


def number_of(text: str, kind: str) -> int | None:
    """The number of a global id of that kind, or None."""
    parts = split_gid(text)
    return parts[1] if parts is not None and parts[0] == kind else None


@dataclass(slots=True)
class Sequence:
    """One growing number sequence for all kinds of objects."""

    last: int = _FIRST

    def next(self) -> int:
        self.last += _STEP
        return self.last
