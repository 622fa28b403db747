"""What has to wait: an answer of a side that says nothing yet about a card."""

from __future__ import annotations

from collections.abc import Callable

from connectors.api.card import Observation, Unreadable
from connectors.api.errors import InDoubt, NotSent, SideClosed, Throttled


class Deferred(Exception):
    """The arrival cannot be decided now; the message says why where a person has to mend it."""

    def __init__(self, reason: str = "", *, in_time: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        #: Time alone brings it: an effect of ours that is under way has to end first.
        self.in_time = in_time


def read(question: Callable[[], Observation]) -> Observation:
    """What a side answers about one card. Raises Deferred where it gives no answer."""
    try:
        return question()
    except InDoubt as error:
        raise Deferred(str(error) if error.answered else "") from None
    except (NotSent, Throttled, SideClosed):
        raise Deferred from None


def why_unread(unread: Unreadable, side: str = "") -> str:
    """What a person has to mend; nothing where no answer came."""
    where = f"{side} shows the card of this number, and " if side else ""
    return f"{where}{unread.reason}" if unread.answered else ""
