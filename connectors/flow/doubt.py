"""Where in an effect an error strikes decides what it means: before the money step, or after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from connectors.api.errors import InDoubt, NotSent, Refusal, Refused, SideError


@contextmanager
def before_money() -> Iterator[None]:
    """Until the money step is sent, a doubtful answer is as good as none.

    An order that was made without our learning its uid, or an item that arrived without an answer, moves no
    money: an unsettled order is harmless and is read again before it is settled. So InDoubt becomes NotSent,
    and an answer that cannot be believed a refusal.
    """
    try:
        yield
    except InDoubt as error:
        if error.answered:
            # Asked again it says the same: the card is looked at, and a person told, before anything is sent.
            raise Refused(f"{error}; no money has moved", Refusal.UNREADABLE) from None
        raise NotSent(f"{error}; no money has moved") from None


@contextmanager
def after_money() -> Iterator[None]:
    """Once the money step may have landed, whatever keeps us from reading back leaves the effect in doubt."""
    try:
        yield
    except SideError as error:
        raise InDoubt(f"the money step was sent and could not be read back: {error}") from None
