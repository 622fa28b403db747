"""Access tokens and how apps get them (shopify.md §2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from sandbox.shopify.shop.state import ShopState

CLIENT_CREDENTIALS_S = 86_399
EXPIRING_TOKEN_S = 3_600
#: How long a refresh token lives is not in the facts: invented.
REFRESH_TOKEN_S = 90 * 86_400
CODE_S = 60


class OAuthRefused(Exception):
    """A request that gets no token; the error bodies are not known (shopify.md §11)."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass
class _Token:
    scopes: tuple[str, ...]
    #: On the monotonic clock; None never expires.
    expires_at: float | None = None


@dataclass
class _RefreshToken:
    scopes: tuple[str, ...]
    expires_at: float
    #: The refresh token that this one replaced, which works until this one is used.
    replaced: str | None = None


@dataclass
class _Code:
    scopes: tuple[str, ...]
    expires_at: float


@dataclass
class OAuth:
    """The tokens of one app on one shop. `token` never expires."""

    state: ShopState
    client_id: str
    client_secret: str
    token: str
    scopes: tuple[str, ...]
    _tokens: dict[str, _Token] = field(default_factory=dict, init=False)
    _refresh_tokens: dict[str, _RefreshToken] = field(default_factory=dict, init=False)
    _codes: dict[str, _Code] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._tokens[self.token] = _Token(self.scopes)
        self._chance = random.Random(f"oauth {self.state.seed}")

    def granted(self, token: str | None) -> tuple[str, ...] | None:
        """The scopes of a token; None if it is not valid."""
        found = self._tokens.get(token or "")
        if found is None or self._is_past(found.expires_at):
            return None
        return found.scopes

    def authorize(self, query: Mapping[str, str]) -> str:
        """The merchant says yes at once: the address to send the browser back to, with code and hmac."""
        redirect = query.get("redirect_uri", "")
        if query.get("client_id") != self.client_id or not redirect:
            raise OAuthRefused("invalid_request", "client_id or redirect_uri is wrong")
        asked = tuple(scope for scope in query.get("scope", "").replace(",", " ").split() if scope)
        unknown = set(asked) - set(self.scopes)
        if unknown:
            raise OAuthRefused("invalid_scope", f"unknown scopes: {', '.join(sorted(unknown))}")
        code = self._secret("")
        self._codes[code] = _Code(asked or self.scopes, self.state.monotonic() + CODE_S)
        store = self.state.shop.partition(".")[0]
        host = base64.b64encode(f"admin.shopify.com/store/{store}".encode()).decode().rstrip("=")
        answer = {
            "code": code,
            "host": host,
            "shop": self.state.shop,
            "timestamp": str(self.state.now()),
        }
        if "state" in query:
            answer["state"] = query["state"]
        message = "&".join(f"{key}={value}" for key, value in sorted(answer.items()))
        answer["hmac"] = hmac.new(self.client_secret.encode(), message.encode(), hashlib.sha256).hexdigest()
        return f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(answer)}"

    def issue(self, form: Mapping[str, str]) -> dict[str, object]:
        """Answer `POST /admin/oauth/access_token`: client credentials, an authorization code, a refresh."""
        right_secret = hmac.compare_digest(
            form.get("client_secret", "").encode(), self.client_secret.encode()
        )
        if form.get("client_id") != self.client_id or not right_secret:
            raise OAuthRefused("invalid_client", "client_id or client_secret is wrong")
        match form.get("grant_type"):
            case "client_credentials":
                token = self._access_token(self.scopes, CLIENT_CREDENTIALS_S)
                return {**token, "expires_in": CLIENT_CREDENTIALS_S}
            case "refresh_token":
                return self._refresh(form.get("refresh_token", ""))
            case None | "authorization_code":
                return self._exchange(form)
            case other:
                raise OAuthRefused("unsupported_grant_type", f"{other} is not supported")

    def _exchange(self, form: Mapping[str, str]) -> dict[str, object]:
        """A code works once. With `expiring=1` the token expires and comes with a refresh token."""
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or self._is_past(code.expires_at):
            raise OAuthRefused("invalid_request", "the code is unknown, used or too old")
        if form.get("expiring") == "1":
            return self._expiring(code.scopes, None)
        return self._access_token(code.scopes, None)

    def _refresh(self, text: str) -> dict[str, object]:
        used = self._refresh_tokens.get(text)
        if used is None or self._is_past(used.expires_at):
            raise OAuthRefused("invalid_grant", "the refresh token is unknown, replaced or too old")
        if used.replaced is not None:
            self._refresh_tokens.pop(used.replaced, None)
            used.replaced = None
        return self._expiring(used.scopes, text)

    def _expiring(self, scopes: tuple[str, ...], replaced: str | None) -> dict[str, object]:
        refresh_token = self._secret("shprt_")
        expires_at = self.state.monotonic() + REFRESH_TOKEN_S
        self._refresh_tokens[refresh_token] = _RefreshToken(scopes, expires_at, replaced)
        return {
            **self._access_token(scopes, EXPIRING_TOKEN_S),
            "expires_in": EXPIRING_TOKEN_S,
            "refresh_token": refresh_token,
            "refresh_token_expires_in": REFRESH_TOKEN_S,
        }

    def _access_token(self, scopes: tuple[str, ...], lives_s: int | None) -> dict[str, object]:
        token = self._secret("shpat_")
        expires_at = None if lives_s is None else self.state.monotonic() + lives_s
        self._tokens[token] = _Token(scopes, expires_at)
        return {"access_token": token, "scope": ",".join(scopes)}

    def _is_past(self, expires_at: float | None) -> bool:
        return expires_at is not None and self.state.monotonic() >= expires_at

    def _secret(self, prefix: str) -> str:
        return f"{prefix}{self._chance.getrandbits(128):032x}"
