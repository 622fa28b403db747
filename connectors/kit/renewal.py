"""Where the access token of each request comes from: a permanent one, or one that is renewed in time.

A client calls the source before every request. A source that fails has sent nothing of the request, so
it raises NotSent, Throttled or SideClosed, never InDoubt.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

import requests

from connectors.api.errors import InDoubt, NotSent, SideError
from connectors.api.tokens import AccessToken, TokenShelf

logger = logging.getLogger(__name__)

#: After a renewal that failed, nobody tries again for so long.
RETRY_AFTER_SECONDS: Final = 10.0

#: Asks the side for the token that follows the given one.
Renew = Callable[[AccessToken | None], AccessToken]


class TokenSource(Protocol):
    """Gives the token of the next request. Called from every thread."""

    @property
    def kind(self) -> str:
        """How the token is obtained, such as `token` or `client_credentials`."""
        ...

    def __call__(self) -> str: ...

    def refused(self, access: str) -> bool:
        """The side refused this token with 401, so nothing happened. Whether there is another one now."""
        ...

    def close(self) -> None: ...


def with_token(tokens: TokenSource, send: Callable[[str], requests.Response]) -> requests.Response:
    """The answer to a request with a token; with the next one where this one was refused, once."""
    access = tokens()
    answer = send(access)
    if answer.status_code == 401 and tokens.refused(access):
        return send(tokens())
    return answer


@dataclass(frozen=True)
class PermanentToken:
    """A token that does not expire, or a callable that gives the current one."""

    token: str | Callable[[], str] = field(repr=False)
    kind: str = "token"

    def __call__(self) -> str:
        return self.token if isinstance(self.token, str) else self.token()

    def refused(self, access: str) -> bool:
        return False

    def close(self) -> None:
        """Nothing is open."""


class RenewedToken:
    """A token that is renewed before it expires, by one thread of one process, and saved before it is used.

    A crash between renewal and saving loses only the new token: the old one and its refresh token, which are
    still on the shelf, go on working on a side that ends them when the new ones are first used.
    """

    def __init__(
        self,
        kind: str,
        shelf: TokenShelf,
        renew: Renew,
        clock: Callable[[], datetime],
        close: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`close` ends whatever `renew` asks with."""
        self.kind = kind
        self._close = close
        self._shelf = shelf
        self._renew = renew
        self._clock = clock
        self._monotonic = monotonic
        self._mutex = threading.Lock()
        self._held: AccessToken | None = None
        self._failed: tuple[float, SideError] | None = None

    def __repr__(self) -> str:
        return f"RenewedToken({self.kind!r})"

    def __call__(self) -> str:
        held, now = self._held, self._clock()
        if held is not None and not held.is_due(now):
            return held.access
        spare = held if held is not None and held.is_usable(now) else None
        # Whoever still has a good token does not wait for the one that renews it.
        if not self._mutex.acquire(blocking=spare is None) and spare is not None:
            return spare.access
        try:
            return self._current(None).access
        finally:
            self._mutex.release()

    def refused(self, access: str) -> bool:
        """See `TokenSource.refused`. Another process may have renewed it, or the clocks may differ."""
        with self._mutex:
            return self._current(access).access != access

    def close(self) -> None:
        self._close()
        self._shelf.close()

    def _current(self, refused: str | None) -> AccessToken:
        """The token to use now, and not the refused one if that can be helped. Holds the mutex."""
        if self._held is not None and self._good(self._held, refused):
            return self._held
        try:
            if self._failed is not None and self._monotonic() < self._failed[0]:
                raise self._failed[1].with_traceback(None)
            self._held = self._fetched(refused)
        except SideError as error:
            return self._spare(error, refused)
        self._failed = None
        return self._held

    def _fetched(self, refused: str | None) -> AccessToken:
        """The token on the shelf, renewed if it is due. Another process may have done that."""
        stored = self._shelf.load()
        if stored is not None and (self._good(stored, refused) or _is_permanent(stored)):
            return stored
        usable = stored is not None and self._usable(stored, refused)
        if usable:
            self._held = stored
        with self._shelf.lock(blocking=not usable) as mine:
            stored = self._shelf.load()
            if stored is not None and (not mine or self._good(stored, refused)):
                return stored
            new = self._renew(stored)
            saved = self._shelf.save(new, replaces=0 if stored is None else stored.version)
        if saved is None:
            raise NotSent("access was granted anew just now; its token is used from the next request on")
        return saved

    def _spare(self, error: SideError, refused: str | None) -> AccessToken:
        """The old token while it still works and no new one can be had; else what the error means here.

        The request that the token was for was not sent, whatever became of the request for the token.
        """
        failure = NotSent(f"no access token could be had: {error}") if isinstance(error, InDoubt) else error
        fresh = self._failed is None or self._failed[1] is not failure
        if fresh:
            self._failed = (self._monotonic() + RETRY_AFTER_SECONDS, failure)
        if self._held is None or not self._usable(self._held, refused):
            raise failure from None
        if fresh:
            # Nobody else is told while the old one lasts.
            logger.warning(
                "The access token could not be renewed yet: %s",
                failure,
                extra={"action": "token_not_renewed"},
            )
        return self._held

    def _good(self, token: AccessToken, refused: str | None) -> bool:
        return token.access != refused and not token.is_due(self._clock())

    def _usable(self, token: AccessToken, refused: str | None) -> bool:
        return token.access != refused and token.is_usable(self._clock())


def _is_permanent(token: AccessToken) -> bool:
    """Nothing but a new installation gives another."""
    return token.expires_at is None and token.refresh is None
