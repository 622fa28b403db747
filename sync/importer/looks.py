"""A look at one card for an import."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from connectors.api.card import Observation, Unreadable
from connectors.api.errors import NoAnswer
from mappings.serials import Serial


def look(ask: Callable[[Serial], Observation], serial: Serial) -> Observation:
    """What a side shows; one that is merely busy or away leaves the card unread. Raises SideClosed."""
    try:
        return ask(serial)
    except NoAnswer as error:
        return Unreadable(str(error), datetime.now(UTC))
