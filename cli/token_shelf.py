"""The sealed place in the ledger where a side's access token is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from config.settings import Settings
from connectors.api.tokens import AccessToken
from sync.ledger.secrets.tokens import TokenStore

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sync.ledger.secrets.vault import Vault


class OpenLedger(Protocol):
    """The parts of an open ledger that keep a token."""

    @property
    def engine(self) -> Engine: ...

    @property
    def vault(self) -> Vault: ...


#: Opens the ledger of the settings; closing it is up to the context manager.
Opener = Callable[[Settings], AbstractContextManager[OpenLedger]]


class LedgerShelf:
    """The token's place in the ledger, which is opened when the token is first asked for.

    `kind` is how the token is obtained, `given_to` whom it is given to: another one has a place of its own.
    """

    def __init__(
        self,
        settings: Settings,
        open_ledger: Opener,
        is_there: Callable[[Settings], bool],
        *,
        side: str,
        kind: str,
        given_to: str,
    ) -> None:
        self._settings = settings
        self._open = open_ledger
        self._is_there = is_there
        self._place = (side, kind, given_to)
        self._stack = ExitStack()
        self._mutex = threading.Lock()
        self._opened: TokenStore | None = None

    def load(self) -> AccessToken | None:
        """The token; looking for it makes no ledger."""
        if self._opened is None and not self._is_there(self._settings):
            return None
        return self._store().load()

    def save(self, token: AccessToken, replaces: int | None = None) -> AccessToken | None:
        return self._store().save(token, replaces)

    @contextmanager
    def lock(self, *, blocking: bool) -> Iterator[bool]:
        with self._store().lock(blocking=blocking) as mine:
            yield mine

    def close(self) -> None:
        with self._mutex:
            self._opened = None
            self._stack.close()

    def _store(self) -> TokenStore:
        with self._mutex:
            if self._opened is None:
                ledger = self._stack.enter_context(self._open(self._settings))
                self._opened = TokenStore(ledger.engine, ledger.vault, *self._place)
            return self._opened
