"""What an access token is, and the place that keeps it between runs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

#: A new token is asked for this long before the old one expires, or a quarter of its life if that is less.
RENEWED_AHEAD_MAX: Final = timedelta(minutes=10)
#: A token that expires within this time is not used any more: a request may be on its way for that long.
SPARE: Final = timedelta(seconds=30)


@dataclass(frozen=True)
class AccessToken:
    """One answer of Shopify's token endpoint (shopify.md §2)."""

    access: str = field(repr=False)
    scopes: tuple[str, ...]
    obtained_at: datetime
    #: None: it does not expire.
    expires_at: datetime | None = None
    refresh: str | None = field(default=None, repr=False)
    refresh_expires_at: datetime | None = None
    #: Which of the shelf's tokens it is; 0: it is not on the shelf.
    version: int = 0

    def is_due(self, now: datetime) -> bool:
        """Whether another one should be had by now."""
        if self.expires_at is None:
            return False
        life = self.expires_at - self.obtained_at
        return now >= self.expires_at - min(RENEWED_AHEAD_MAX, life / 4)

    def is_usable(self, now: datetime) -> bool:
        """Whether a request that starts now is answered before it expires."""
        return self.expires_at is None or now < self.expires_at - SPARE


class TokenShelf(Protocol):
    """Keeps one token of one app in one shop, sealed, for every thread and process.

    Its methods may raise NotSent when the place cannot be reached, and SideClosed when what is there cannot
    be read.
    """

    def load(self) -> AccessToken | None:
        """The token as saved last, with its version; None when there is none for this app and shop."""
        ...

    def save(self, token: AccessToken, replaces: int | None = None) -> AccessToken | None:
        """Keep the token durably, and give it back with its version.

        With `replaces`, only if that version is still the one on the shelf (0: none); else None.
        """
        ...

    def lock(self, *, blocking: bool) -> AbstractContextManager[bool]:
        """The right to renew, which one thread of one process has at a time.

        Without `blocking`, False at once while another has it. A process that dies gives it back.
        """
        ...

    def close(self) -> None: ...
