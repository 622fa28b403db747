"""Access tokens of an app that are renewed with a refresh token, which may be another one each time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from pydantic import SecretStr
from pydantic_core import PydanticCustomError

from connectors.api.build import BuildContext
from connectors.api.errors import InDoubt, SideClosed, Throttled
from connectors.api.tokens import AccessToken, TokenShelf
from connectors.kit.http import HttpClient, retry_after_seconds
from connectors.kit.renewal import PermanentToken, RenewedToken, TokenSource
from connectors.kit.strict_json import NotJson, read_json

#: Where a system takes the token of a request no more.
NEW_TOKEN: Final = (
    "Put a new one into the side's table (`token` or `token_file`); for an app with OAuth give it consent "
    "again and set `refresh_token`."
)
REMEDY: Final = "Give the app consent again and set `refresh_token` in the side's table."
_LIFE_SECONDS_MAX: Final = 366 * 86_400


@dataclass
class AppTokens:
    """Asks for the next token; each call is one request, sent once."""

    #: The system, for people.
    system: str
    url: str
    path: str
    client_id: str
    client_secret: str = field(repr=False)
    clock: Callable[[], datetime]
    #: Each renewal brings another refresh token; otherwise the old one goes on working.
    rotates: bool = True
    http: HttpClient = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.http = HttpClient(self.url, {"Accept": "application/json"}, clock=self.clock)

    def refreshed(self, refresh: str) -> AccessToken:
        """The next token. Its life is counted from the question, so it never seems longer than it is."""
        asked_at = self.clock()
        form = {"grant_type": "refresh_token", "refresh_token": refresh}
        form |= {"client_id": self.client_id, "client_secret": self.client_secret}
        answer = self.http.request("POST", self.path, form=form)
        status = answer.status_code
        if status == 429:
            raise Throttled(f"{self.system} asked to slow down", retry_after_seconds(answer, asked_at))
        if status >= 500:
            raise InDoubt(f"{self.system} answered HTTP {status} when asked for a token")
        if status not in (200, 201):
            raise SideClosed(f"{self.system} gives no access token (HTTP {status})", REMEDY)
        try:
            body = read_json(answer.content)
        except NotJson as error:
            raise InDoubt(f"{self.system}'s token cannot be read: {error}") from None
        found = body if isinstance(body, dict) else {}
        access, following, life = (found.get(k) for k in ("access_token", "refresh_token", "expires_in"))
        if not self.rotates and following is None:
            following = refresh
        if not (isinstance(access, str) and access and isinstance(following, str) and following):
            raise InDoubt(f"{self.system}'s answer holds no token")
        if isinstance(life, bool) or not isinstance(life, int | float) or not math.isfinite(life):
            raise InDoubt(f"{self.system}'s answer tells no lifetime of the token")
        if not 0 < life <= _LIFE_SECONDS_MAX:
            raise InDoubt(f"{self.system}'s answer tells no believable lifetime of the token")
        return AccessToken(access, (), asked_at, asked_at + timedelta(seconds=life), following)


def renewed(tokens: AppTokens, shelf: TokenShelf, first: str) -> RenewedToken:
    """The app's token, renewed before it ends; `first` begins the chain."""

    def renew(old: AccessToken | None) -> AccessToken:
        return tokens.refreshed((old.refresh if old else None) or first)

    return RenewedToken("refresh", shelf, renew, tokens.clock, tokens.http.close)


class AccessKeys(Protocol):
    """The keys of a side's table that let giftsync in: a token, or an app with a refresh token."""

    @property
    def token(self) -> SecretStr | None: ...

    @property
    def client_id(self) -> str | None: ...

    @property
    def client_secret(self) -> SecretStr | None: ...

    @property
    def refresh_token(self) -> SecretStr | None: ...


def check_access(keys: AccessKeys) -> None:
    """Raise an error that names the keys that are needed and not there."""
    names = ("client_id", "client_secret", "refresh_token")
    missing = [name for name in names if getattr(keys, name) is None]
    if keys.token is not None:
        if len(missing) < len(names):
            beside = next(name for name in names if name not in missing)
            raise PydanticCustomError("beside", "{key}", {"key": "token", "beside": beside})
        return
    if missing:
        told = " ".join(missing if len(missing) < len(names) else ["token"])
        raise PydanticCustomError("needed", "{keys}", {"keys": told})


def token_source(
    keys: AccessKeys, context: BuildContext, system: str, url: str, path: str, *, given_to: str, rotates: bool
) -> TokenSource:
    """The token of each request; `given_to` names who gave consent, for the shelf."""
    if keys.token is not None:
        return PermanentToken(keys.token.get_secret_value())
    secret, first = keys.client_secret, keys.refresh_token
    tokens = AppTokens(
        system,
        url,
        path,
        keys.client_id or "",
        secret.get_secret_value() if secret else "",
        context.clock,
        rotates,
    )
    shelf = context.shelf("refresh", f"{given_to} {keys.client_id}")
    return renewed(tokens, shelf, first.get_secret_value() if first else "")
