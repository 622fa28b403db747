"""Access tokens at rest: sealed, saved before they are used, and renewed by one process at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Engine, select, update
from sqlalchemy.exc import SQLAlchemyError

from connectors.api.errors import NotSent, SideClosed
from connectors.api.tokens import AccessToken
from sync.crashpoints import crashpoint
from sync.ledger.database.advisory import advisory_lock
from sync.ledger.database.engine import asking
from sync.ledger.database.private_files import locked_file
from sync.ledger.database.tables import tokens
from sync.ledger.database.upsert import upsert
from sync.ledger.secrets.vault import Vault, VaultError


@dataclass
class TokenStore:
    """The token of one side: a `TokenShelf`.

    `given_to` names the shop and the app. A token of another shop, app or kind counts as none, so that it is
    never sent where it does not belong.
    """

    engine: Engine
    vault: Vault
    side: str
    kind: str
    given_to: str
    # For a database in memory, which only this process has.
    _mutex: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def load(self) -> AccessToken | None:
        """See `TokenShelf.load`. Raises NotSent or SideClosed."""
        try:
            with asking(self.engine) as connection:
                row = connection.execute(select(tokens).where(tokens.c.side == self.side)).one_or_none()
        except SQLAlchemyError:
            raise NotSent("the ledger, which keeps the access token, cannot be read") from None
        if row is None or (row.kind, row.given_to) != (self.kind, self.given_to):
            return None
        try:
            return self._opened(row)
        except VaultError:
            raise SideClosed(
                "the stored access token does not open with this key",
                "Put back the key file that belongs to the database, or let giftsync into the side anew.",
            ) from None

    def save(self, token: AccessToken, replaces: int | None = None) -> AccessToken | None:
        """See `TokenShelf.save`. Raises NotSent."""
        crashpoint("tokens.before_save")
        try:
            with self.engine.begin() as connection:
                row = connection.execute(select(tokens).where(tokens.c.side == self.side)).one_or_none()
                mine = row is not None and (row.kind, row.given_to) == (self.kind, self.given_to)
                current = row.version if row is not None else 0
                if replaces is not None and replaces != (current if mine else 0):
                    return None
                saved = replace(token, version=current + 1)
                values = self._sealed(saved)
                if row is None:
                    connection.execute(upsert(connection, tokens, values))
                else:
                    changed = connection.execute(
                        update(tokens)
                        .where(tokens.c.side == self.side, tokens.c.version == current)
                        .values(**values)
                    )
                    if changed.rowcount == 0:
                        return None
        except SQLAlchemyError:
            # The statement and its parameters stay out of the message.
            raise NotSent("the ledger could not keep the new access token; it is not used") from None
        crashpoint("tokens.after_save")
        return saved

    @contextmanager
    def lock(self, *, blocking: bool) -> Iterator[bool]:
        """See `TokenShelf.lock`. It is of the process or connection, so that a crash gives it back.

        Not a transaction: the network is asked while it is held.
        """
        database = self.engine.url.database
        if self.engine.dialect.name == "postgresql":
            give_back = advisory_lock(self.engine, f"giftsync token {self.side}", blocking=blocking)
            try:
                yield give_back is not None
            finally:
                if give_back is not None:
                    give_back()
        elif not database or database == ":memory:":
            mine = self._mutex.acquire(blocking=blocking)
            try:
                yield mine
            finally:
                if mine:
                    self._mutex.release()
        else:
            with locked_file(f"{database}.{self.side}-token", blocking=blocking) as mine:
                yield mine

    def close(self) -> None:
        """The engine belongs to whoever opened it."""

    def _purpose(self, part: str) -> str:
        return purpose_of(part, {"side": self.side, "kind": self.kind, "given_to": self.given_to})

    def _sealed(self, token: AccessToken) -> dict[str, Any]:
        refresh = token.refresh
        return {
            "side": self.side,
            "kind": self.kind,
            "given_to": self.given_to,
            "access_sealed": self.vault.seal_secret(token.access, self._purpose("access")),
            "refresh_sealed": refresh and self.vault.seal_secret(refresh, self._purpose("refresh")),
            "scopes": ",".join(token.scopes),
            "obtained_at": token.obtained_at,
            "expires_at": token.expires_at,
            "refresh_expires_at": token.refresh_expires_at,
            "version": token.version,
        }

    def _opened(self, row: Any) -> AccessToken:
        sealed = row.refresh_sealed
        return AccessToken(
            access=self.vault.open_secret(row.access_sealed, self._purpose("access")),
            scopes=tuple(filter(None, row.scopes.split(","))),
            obtained_at=row.obtained_at,
            expires_at=row.expires_at,
            refresh=None if sealed is None else self.vault.open_secret(sealed, self._purpose("refresh")),
            refresh_expires_at=row.refresh_expires_at,
            version=row.version,
        )


def purpose_of(part: str, row: Mapping[str, Any]) -> str:
    """What a token of this row is sealed for; `part` is access or refresh."""
    return f"{part} token of {row['side']}, {row['kind']}, {row['given_to']}"
