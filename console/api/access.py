"""Who may call: bearer tokens with scopes and locations, and how often."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from fastapi import Request

from console.api.problems import ApiProblem
from console.refusals import RefusalLog
from sync.ledger.hub.tokens import ApiToken, ApiTokens

#: What a token may be allowed to do.
SCOPES: Final = {
    "validate": "look at a card by its number or token",
    "redeem": "pay with cards: redemptions and authorizations",
    "reverse": "give redemptions back",
    "issue": "make new cards",
    "load": "put money on cards",
    "manage": "suspend, close and date cards",
    "read": "read the history of cards",
}
#: Requests without a valid token, from one address.
STRANGERS_PER_MINUTE: Final = 60
STRANGERS_MAX: Final = 10_000

log = structlog.get_logger(__name__)


@dataclass
class Buckets:
    """A token bucket for each caller: so many calls a minute, with as many at once. Thread-safe."""

    monotonic: Callable[[], float] = time.monotonic
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, who: str, per_minute: int) -> tuple[int, int]:
        """Calls that are left after this one, negative when there is none; seconds until the next one."""
        now = self.monotonic()
        with self._lock:
            if len(self._left) > STRANGERS_MAX:
                self._left.clear()
            left, at = self._left.get(who, (float(per_minute), now))
            left = min(per_minute, left + (now - at) * per_minute / 60.0)
            taken = left >= 1.0
            self._left[who] = (left - 1.0 if taken else left, now)
        wait = 0 if taken else max(1, round((1.0 - left) * 60.0 / per_minute))
        return (int(left - 1.0) if taken else -1), wait


@dataclass(frozen=True)
class Session:
    """One request of a caller who was let in."""

    token: ApiToken
    request_id: str

    def check(self, scope: str) -> None:
        """Raises ApiProblem."""
        if scope not in self.token.scopes:
            raise ApiProblem("forbidden", f"This token may not {SCOPES[scope]}.")

    def location(self, given: str | None) -> str:
        """Where it happens. Raises ApiProblem when the token is not for that place."""
        mine = self.token.locations
        if given is None:
            if len(mine) == 1:
                return mine[0]
            if mine:
                raise ApiProblem("invalid_request", "Say at which location.", errors=["location: is missing"])
            return ""
        if not self.token.allows(given):
            raise ApiProblem("location_not_allowed", "This token is not for that location.")
        return given

    def may_see(self, token_id: str, location: str) -> bool:
        """Whether what another token made at the location is this one's affair too."""
        return token_id == self.token.id or self.token.allows(location)


@dataclass
class Doorkeeper:
    tokens: ApiTokens
    clock: Callable[[], datetime]
    buckets: Buckets = field(default_factory=Buckets)
    refusals: RefusalLog = field(default_factory=RefusalLog)

    def let_in(self, request: Request, request_id: str) -> tuple[Session, dict[str, str]]:
        """The caller's session, and the headers that say how many calls are left. Raises ApiProblem."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        return self.let_in_by(secret.strip() if scheme.lower() == "bearer" else "", request, request_id)

    def let_in_by(
        self, secret: str, request: Request, request_id: str, token_id: str | None = None
    ) -> tuple[Session, dict[str, str]]:
        """The same by a token's secret, and by its id too where that is sent."""
        token = self.tokens.open(secret, self.clock()) if secret else None
        if token is None or token_id not in (None, token.id):
            client = "" if request.client is None else request.client.host
            left, wait = self.buckets.take(f"stranger {client}", STRANGERS_PER_MINUTE)
            self.refusals.note("api.refused", "it has no valid token")
            if left < 0:
                raise ApiProblem("too_many_requests", "Too many requests without a token.", retry_after=wait)
            by = "Authorization: Bearer …" if token_id is None else "X-PROVIDER-API-AppToken"
            raise ApiProblem(
                "unauthorized",
                f"Send `{by}` with a token that `giftsync tokens add` has made.",
                headers={"WWW-Authenticate": 'Bearer realm="giftsync"'},
            )
        left, wait = self.buckets.take(token.id, token.calls_per_minute)
        if left < 0:
            raise ApiProblem("too_many_requests", "This token calls too often.", retry_after=wait)
        headers = {
            "RateLimit-Limit": str(token.calls_per_minute),
            "RateLimit-Remaining": str(left),
            "RateLimit-Reset": str(math.ceil((token.calls_per_minute - left) * 60 / token.calls_per_minute)),
        }
        return Session(token, request_id), headers
