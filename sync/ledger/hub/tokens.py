"""Tokens of the API: scopes and locations, the secret as a keyed hash only.

Each row has a keyed hash of what it opens and for whom. Who writes into the database without the key can end
a token, and cannot give one more scopes, another secret, or back what was revoked.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Engine, insert, or_, select, update

from sync.ledger.cards.row_proof import RowProof
from sync.ledger.database.engine import asking, writing_lazily
from sync.ledger.database.tables import api_tokens
from sync.ledger.secrets.vault import Vault

SECRET_PREFIX = "gst_"
SECRET_BYTES = 32
#: Of a token that was made with no other limit.
CALLS_PER_MINUTE = 600
#: How exactly the last use is kept: not every call costs a write.
USE_SECONDS = 60.0
_PURPOSE = "api token"
#: What a token opens, and for whom.
TOKEN_PROOF = RowProof(
    "api token",
    ("id", "secret_hash", "scopes", "locations", "calls_per_minute", "created_at", "revoked_at"),
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ApiToken:
    """A token as people see it; never its secret."""

    id: str
    name: str
    scopes: frozenset[str]
    #: Where it may be used; empty: everywhere.
    locations: tuple[str, ...]
    calls_per_minute: int
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    #: Whether its row is not as giftsync wrote it; then it opens nothing.
    altered: bool = False

    def allows(self, location: str) -> bool:
        """Whether it may be used at the location."""
        return not self.locations or location in self.locations


@dataclass(frozen=True)
class ApiTokens:
    """Each method is one transaction."""

    engine: Engine
    vault: Vault

    def add(
        self,
        name: str,
        scopes: Collection[str],
        locations: Sequence[str],
        calls_per_minute: int,
        now: datetime,
    ) -> tuple[ApiToken, str]:
        """Make a token; it and its secret, which is not kept."""
        secret = SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        token_id = "tok_" + base64.b32encode(secrets.token_bytes(5)).decode().lower()
        made = ApiToken(token_id, name, frozenset(scopes), tuple(locations), calls_per_minute, now)
        row = {
            "id": made.id,
            "name": name,
            "secret_hash": self.vault.fingerprint(secret, _PURPOSE),
            "scopes": sorted(made.scopes),
            "locations": list(locations),
            "calls_per_minute": calls_per_minute,
            "created_at": now,
            "revoked_at": None,
        }
        with self.engine.begin() as connection:
            connection.execute(insert(api_tokens).values({**row, "proof": TOKEN_PROOF.of(row, self.vault)}))
        return made, secret

    def list(self) -> list[ApiToken]:
        """Every token, the oldest first; revoked ones too."""
        with asking(self.engine) as connection:
            rows = connection.execute(select(api_tokens).order_by(api_tokens.c.created_at, api_tokens.c.id))
            return [self._token(row) for row in rows.mappings()]

    def revoke(self, token_id: str, now: datetime) -> bool:
        """End a token; whether there was one that had not ended."""
        which = api_tokens.c.id == token_id, api_tokens.c.revoked_at.is_(None)
        with self.engine.begin() as connection:
            row = connection.execute(select(api_tokens).where(*which).with_for_update()).mappings().first()
            if row is None:
                return False
            # What somebody altered is not proved by being ended.
            proved = TOKEN_PROOF.holds(row, self.vault)
            proof = TOKEN_PROOF.of({**row, "revoked_at": now}, self.vault) if proved else None
            connection.execute(update(api_tokens).where(*which).values(revoked_at=now, proof=proof))
            return True

    def open(self, secret: str, now: datetime) -> ApiToken | None:
        """The token that the secret opens; None for one that is revoked, or none."""
        query = select(api_tokens).where(
            api_tokens.c.secret_hash == self.vault.fingerprint(secret, _PURPOSE),
            api_tokens.c.revoked_at.is_(None),
        )
        with asking(self.engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        token = self._token(row)
        if token.altered:
            words = "a token's row in the ledger is not as giftsync wrote it; it opens nothing"
            log.warning(words, action="api.token_altered", token=token.id)
            return None
        if token.last_used_at is None or now - token.last_used_at > timedelta(seconds=USE_SECONDS):
            used = api_tokens.c.last_used_at
            with writing_lazily(self.engine) as connection:
                connection.execute(
                    update(api_tokens)
                    .where(api_tokens.c.id == token.id, or_(used.is_(None), used < now))
                    .values(last_used_at=now)
                )
        return token

    def _token(self, row: Mapping[Any, Any]) -> ApiToken:
        return ApiToken(
            row["id"],
            row["name"],
            frozenset(row["scopes"]),
            tuple(row["locations"]),
            row["calls_per_minute"],
            row["created_at"],
            row["last_used_at"],
            row["revoked_at"],
            not TOKEN_PROOF.holds(row, self.vault),
        )
