"""Every error that a side gives, sorted by what may be done next (design.md, step 4).

A connector raises exactly the leaves; code that cannot say which one it is raises InDoubt.
"""

from __future__ import annotations

from enum import StrEnum

from mappings.redaction import said

REMEDY_LENGTH_MAX = 1_000


class SideError(Exception):
    """Base. The message is a sentence for people and never holds a serial, a token or a body.

    What it quotes of a side is bounded and redacted here, for wherever it is shown or stored.
    """

    def __init__(self, message: str) -> None:
        super().__init__(said(message))


class NoAnswer(SideError):
    """Base of NotSent, Throttled and InDoubt. For a read: ask again later, nothing is known."""


class NotSent(NoAnswer):
    """Surely nothing reached the side: no connection could be made. Try again later."""


class Stopping(NotSent):
    """Surely nothing reached the side: giftsync is stopping. Says nothing about the side."""


class Throttled(NoAnswer):
    """Surely nothing happened: the side said "too fast". Try again after `wait_seconds`."""

    def __init__(self, message: str, wait_seconds: float) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class InDoubt(NoAnswer):
    """The effect may or may not have happened. Never repeated blindly: read back first.

    For a read, simply: no answer that can be believed.
    """

    #: An answer came, and it is that which cannot be believed: asking again brings the same.
    answered = False


class Refusal(StrEnum):
    """Why a side said no."""

    #: Someone spent the money first; observing the presence explains it.
    INSUFFICIENT_FUNDS = "insufficient_funds"
    #: The side will not hold that much on one card.
    OVER_LIMIT = "over_limit"
    #: The serial is in use on the side already.
    TAKEN = "taken"
    #: The side cannot take such a serial.
    BAD_SERIAL = "bad_serial"
    CURRENCY = "currency"
    EXPIRED = "expired"
    #: Closed or suspended there.
    NOT_ACTIVE = "not_active"
    NOT_FOUND = "not_found"
    #: The side needs something that nobody gave: a CVC, a customer, a setting.
    MISSING_DETAIL = "missing_detail"
    #: What the side shows of the card, or of the order for it, cannot be believed.
    UNREADABLE = "unreadable"
    OTHER = "other"
    #: No side's word: the hub took its promise back while it was in doubt.
    TAKEN_BACK = "taken_back"


class Refused(SideError):
    """Surely nothing happened: the side said no to this effect on this card."""

    def __init__(self, message: str, reason: Refusal = Refusal.OTHER, native_id: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        #: With TAKEN: the card that has the serial, when the side tells.
        self.native_id = native_id


class SideClosed(SideError):
    """Surely nothing happened, and nothing will until a person acts: credentials, plan, wrong shop.

    A refusal of the whole side, not of one card: intents stay planned and the side is left alone.
    `remedy` says what to do.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = said(remedy, REMEDY_LENGTH_MAX)
