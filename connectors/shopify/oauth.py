"""Shopify's token endpoint: client credentials, an installation's code, a refresh (shopify.md §2).

ShopifyAPI's `request_token` is not used: it has no timeout, prints error bodies and knows none of the three
(shopify.md §9).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.api.errors import InDoubt, SideClosed, SideError, Throttled
from connectors.api.tokens import AccessToken
from connectors.kit.http import HttpClient, retry_after_seconds
from connectors.kit.strict_json import NotJson, read_json

PATH: Final = "/admin/oauth/access_token"

REMEDY_APP: Final = (
    "Compare client_id and client_secret in the side's table with the app's settings in Shopify's Dev "
    "Dashboard, and check that the app is installed in this shop."
)
REMEDY_INSTALL: Final = "Install the app again: `giftsync shopify install`."

_CODE: Final = re.compile(r"[a-z_]{1,60}")
_TOKEN: Final = re.compile(r"[!-~]{8,1024}")
_SECONDS_MAX: Final = 10 * 366 * 86_400


class TokenRefused(SideClosed):
    """Shopify gives no token for what was sent."""


@dataclass(frozen=True)
class TokenDesk:
    """Asks for tokens on behalf of one app. Every call is one request, sent once."""

    http: HttpClient
    client_id: str
    client_secret: str = field(repr=False)
    clock: Callable[[], datetime]

    def with_client_credentials(self) -> AccessToken:
        """A token for a shop of the app's own organisation; asking again gives another, and does no harm."""
        return self._ask({"grant_type": "client_credentials"}, REMEDY_APP)

    def for_code(self, code: str) -> AccessToken:
        """The token of an installation, with a refresh token. A code works once."""
        return self._ask({"code": code, "expiring": "1"}, REMEDY_INSTALL)

    def refreshed(self, refresh: str) -> AccessToken:
        """The next token of an installation.

        The old refresh token works until the new one is first used, so an answer that was lost is asked for
        again (shopify.md §2).
        """
        return self._ask({"grant_type": "refresh_token", "refresh_token": refresh}, REMEDY_INSTALL)

    def _ask(self, form: Mapping[str, str], remedy: str) -> AccessToken:
        asked_at = self.clock()
        response = self.http.request(
            "POST",
            PATH,
            form={"client_id": self.client_id, "client_secret": self.client_secret, **form},
            headers={"Accept": "application/json"},
        )
        body = _object(response.content)
        if response.status_code != 200:
            wait_seconds = retry_after_seconds(response, asked_at)
            raise _error_of(response.status_code, body, wait_seconds, remedy)
        return _token_of(body, asked_at)


def _error_of(status: int, body: Mapping[str, Any], wait_seconds: float, remedy: str) -> SideError:
    """Error bodies are unpublished (shopify.md §11): the status decides, and a code is shown if it is one."""
    if status == 429:
        return Throttled("Shopify asked to slow down with tokens", wait_seconds)
    if status >= 500 or status == 408:
        return InDoubt(f"Shopify answered HTTP {status} when asked for a token")
    if status == 404 or 300 <= status < 400:
        return SideClosed(
            "Shopify knows no such shop",
            "Check the shop's name in the settings: it is the part before .myshopify.com.",
        )
    error = body.get("error")
    code = error if isinstance(error, str) and _CODE.fullmatch(error) else f"HTTP {status}"
    if code == "invalid_client":
        return TokenRefused("Shopify does not accept the app's client id and secret", REMEDY_APP)
    return TokenRefused(f"Shopify gives the app no access token ({code})", remedy)


def _token_of(body: Mapping[str, Any], asked_at: datetime) -> AccessToken:
    """The answer as a token. Its life is counted from the question, so it never seems longer than it is."""
    access = _secret(body.get("access_token"))
    if access is None:
        raise InDoubt("Shopify's answer holds no access token")
    scope = body.get("scope")
    return AccessToken(
        access=access,
        scopes=tuple(sorted(filter(None, scope.split(",")))) if isinstance(scope, str) else (),
        obtained_at=asked_at,
        expires_at=_after(asked_at, body.get("expires_in")),
        refresh=_secret(body.get("refresh_token")),
        refresh_expires_at=_after(asked_at, body.get("refresh_token_expires_in")),
    )


def _secret(value: object) -> str | None:
    return value if isinstance(value, str) and _TOKEN.fullmatch(value) else None


def _after(start: datetime, seconds: object) -> datetime | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _SECONDS_MAX:
        raise InDoubt("Shopify's answer tells no believable lifetime of the access token")
    return start + timedelta(seconds=seconds)


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        body = read_json(content)
    except NotJson:
        return {}
    return body if isinstance(body, dict) else {}
