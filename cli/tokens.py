"""The Shopify access token of the settings: given, or had from Shopify and kept sealed in the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from config.settings import Settings
from connectors.kit.http import HttpClient
from connectors.kit.tokens import AccessToken
from connectors.shopify.address import checked_shop, checked_url
from connectors.shopify.auth import PermanentToken, TokenSource, client_credentials, installation
from connectors.shopify.oauth import TokenDesk
from sync.ledger.secrets.tokens import TokenStore

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sync.ledger.secrets.vault import Vault

#: The side's name in the ledger, as in `cli.build`.
_SIDE = "shopify"


class OpenLedger(Protocol):
    """The parts of an open ledger that keep a token."""

    @property
    def engine(self) -> Engine: ...

    @property
    def vault(self) -> Vault: ...


#: Opens the ledger of the settings; closing it is up to the context manager.
Opener = Callable[[Settings], AbstractContextManager[OpenLedger]]


class LedgerShelf:
    """The token's place in the ledger, which is opened when the token is first asked for."""

    def __init__(self, settings: Settings, open_ledger: Opener) -> None:
        self._settings = settings
        self._open = open_ledger
        self._stack = ExitStack()
        self._mutex = threading.Lock()
        self._opened: TokenStore | None = None

    def load(self) -> AccessToken | None:
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
                self._opened = token_store(self._settings, ledger)
            return self._opened


def token_store(settings: Settings, ledger: OpenLedger) -> TokenStore:
    """Where the token of these settings is kept. Another shop, app or `auth` has a place of its own."""
    section = settings.shopify
    given_to = f"{section.shop} {section.client_id}"
    return TokenStore(ledger.engine, ledger.vault, _SIDE, section.auth, given_to)


def token_desk(settings: Settings) -> TokenDesk:
    """Where Shopify gives tokens. Raises ValueError for an address that cannot be."""
    section = settings.shopify
    secret = section.client_secret.get_secret_value() if section.client_secret is not None else ""
    url = checked_url(checked_shop(section.shop), section.url)
    return TokenDesk(HttpClient(url, {}), section.client_id or "", secret, lambda: datetime.now(UTC))


def token_source(settings: Settings, open_ledger: Opener) -> TokenSource:
    """What gives the connector its token. Nothing is asked or opened yet. Raises ValueError."""
    section = settings.shopify
    if section.auth == "token":
        return PermanentToken(section.token.get_secret_value() if section.token is not None else "")
    desk, shelf = token_desk(settings), LedgerShelf(settings, open_ledger)
    if section.auth == "client_credentials":
        return client_credentials(desk, shelf)
    return installation(desk, shelf, section.shop)


def webhook_secrets(settings: Settings) -> tuple[str, ...]:
    """The app's client secrets, the newest first."""
    section = settings.shopify
    given = (section.client_secret, section.old_client_secret)
    return tuple(one.get_secret_value() for one in given if one is not None)
