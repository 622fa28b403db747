"""Letting giftsync into a system from a page: somebody says yes there, and the system sends them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Connection(Protocol):
    """One attempt."""

    def permission_url(self) -> str:
        """The address at which the system's owner says yes."""
        ...

    def finish(self, query: Sequence[tuple[str, str]]) -> tuple[bool, str]:
        """Check the query that the browser brings back, and keep the access that it leads to.

        Whether giftsync is let in now, and what to tell the person. What cannot be shown to be the system's
        answer changes nothing.
        """
        ...
