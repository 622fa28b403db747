"""The parts of a link that are served over HTTP, and which of them a request is for."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

#: What the paths of a part begin with; the rest are pages.
WEBHOOKS: Final = "/webhooks/"
APIS: Final = ("/api/", "/providers/")


class Part(StrEnum):
    """What can be served by a process of its own."""

    #: The receiver of the sides' webhooks.
    WEBHOOKS = "webhooks"
    #: The pages for people, and the page where customers see a balance.
    CONSOLE = "console"
    #: The API for tills, kiosks and web shops.
    API = "api"


def side_of(method: str, path: str) -> str | None:
    """The side that a delivery is of, as its sender writes it; None for any other request."""
    side = path.removeprefix(WEBHOOKS)
    return None if method != "POST" or side == path or not side or "/" in side else side


def part_of(method: str, path: str) -> Part:
    """Which part of a link answers a request."""
    if side_of(method, path) is not None:
        return Part.WEBHOOKS
    return Part.API if path.startswith(APIS) else Part.CONSOLE
