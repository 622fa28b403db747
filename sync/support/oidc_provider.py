"""An OpenID Connect provider: what it publishes, and what it says of a person for a code.

OpenID Connect Core 1.0 (authorization code), Discovery 1.0, PKCE (RFC 7636), and the issuer in the answer
(RFC 9207).
Whatever the provider sends is checked here; whoever asks gets claims that can be believed, or an error.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import jwt

from connectors.api.errors import SideError
from connectors.kit.http import HttpClient
from connectors.kit.strict_json import NotJson, read_json
from mappings.addresses import is_private_channel

#: Signatures with a public key; never `none`, and never one that the client's secret makes.
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
#: Two clocks differ by no more.
CLOCKS_DIFFER_SECONDS: Final = 60
#: What the provider publishes is asked for again after so long, and for an unknown key at most so often.
PUBLISHED_SECONDS: Final = 3_600.0
KEYS_AGAIN_SECONDS: Final = 30.0
CONNECT_SECONDS, READ_SECONDS = 3.0, 7.0
TOKEN_CHARS_MAX: Final = 64_000


class ProviderFailed(Exception):
    """The provider does not answer, or what it says cannot be believed; the message is for the log."""


class SignInRefused(Exception):
    """The provider lets nobody in with this code."""


@dataclass(frozen=True)
class Question:
    """What one attempt to sign in has asked with; the secrets of it stay in the browser's sealed cookie."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode("ascii")).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


@dataclass(frozen=True)
class _Published:
    authorization: str
    token: str
    userinfo: str | None
    keys: str
    basic_auth: bool
    #: Whether its answers always name it, so that one without a name is somebody else's.
    names_itself: bool


@dataclass
class Provider:
    """The provider at `issuer`, for one client. Thread-safe."""

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    clock: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    _published: tuple[float, _Published] | None = field(default=None, init=False)
    _keys: tuple[float, Sequence[Mapping[str, Any]]] | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def address(self, question: Question, redirect: str, scopes: str) -> str:
        """Where the person's browser goes. Raises ProviderFailed."""
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": redirect,
            "scope": scopes,
            "state": question.state,
            "nonce": question.nonce,
            "code_challenge": question.challenge,
            "code_challenge_method": "S256",
        }
        there = self._publishes().authorization
        return f"{there}{'&' if '?' in there else '?'}{urlencode(query)}"

    def check_answer(self, named: str | None) -> None:
        """`named` is the issuer in the answer. Raises SignInRefused for another one's (RFC 9207)."""
        if named is None and not self._publishes().names_itself:
            return
        if named is None or not hmac.compare_digest(named.encode(), self.issuer.encode()):
            raise SignInRefused("the answer is another provider's")

    def claims(
        self, code: str, question: Question, redirect: str, wanted: Sequence[str]
    ) -> Mapping[str, Any]:
        """What the provider says of the person. Claims of `wanted` that the token lacks are asked for.

        Raises ProviderFailed or SignInRefused.
        """
        published = self._publishes()
        answer = self._token_for(published, code, question, redirect)
        claims = self._checked(str(answer["id_token"]), question.nonce)
        access = answer.get("access_token")
        lacks = any(name not in claims for name in wanted)
        if not lacks or published.userinfo is None or not isinstance(access, str):
            return claims
        more = self._read(published.userinfo, {"Authorization": f"Bearer {access}"})
        if more.get("sub") != claims["sub"]:
            raise SignInRefused("the provider tells of another person")
        return {**more, **claims}

    # --- what it publishes ----------------------------------------------------------------------------------

    def _publishes(self) -> _Published:
        with self._lock:
            if self._published is None or self.monotonic() - self._published[0] > PUBLISHED_SECONDS:
                where = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
                self._published = self.monotonic(), self._published_by(self._read(where))
            return self._published[1]

    def _published_by(self, found: Mapping[str, Any]) -> _Published:
        if found.get("issuer") != self.issuer:
            raise ProviderFailed("the provider's configuration names another issuer")
        methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        userinfo = found.get("userinfo_endpoint")
        return _Published(
            self._endpoint(found.get("authorization_endpoint")),
            self._endpoint(found.get("token_endpoint")),
            None if userinfo is None else self._endpoint(userinfo),
            self._endpoint(found.get("jwks_uri")),
            isinstance(methods, list) and "client_secret_basic" in methods,
            found.get("authorization_response_iss_parameter_supported") is True,
        )

    def _endpoint(self, address: object) -> str:
        text = address if isinstance(address, str) and address.isprintable() else ""
        if not is_private_channel(text) or urlsplit(text).scheme != urlsplit(self.issuer).scheme:
            raise ProviderFailed("the provider's configuration lacks an address, or has one without HTTPS")
        return text

    def _signing_keys(self, unknown: bool) -> Sequence[Mapping[str, Any]]:
        """`unknown`: the ones at hand have not the key that was named."""
        where, now = self._publishes().keys, self.monotonic()
        with self._lock:
            age = None if self._keys is None else now - self._keys[0]
            limit = KEYS_AGAIN_SECONDS if unknown else PUBLISHED_SECONDS
            if self._keys is None or age is None or age > limit:
                found = self._read(where).get("keys")
                keys = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
                self._keys = now, keys
            return self._keys[1]

    # --- calls ----------------------------------------------------------------------------------------------

    def _token_for(
        self, published: _Published, code: str, question: Question, redirect: str
    ) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": question.verifier,
        }
        headers = {"Accept": "application/json"}
        if self.client_secret is not None and published.basic_auth:
            both = f"{quote(self.client_id, safe='')}:{quote(self.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(both.encode()).decode('ascii')}"
        else:
            form["client_id"] = self.client_id
            if self.client_secret is not None:
                form["client_secret"] = self.client_secret
        status, answer = self._ask("POST", published.token, headers, form)
        if status in (400, 401, 403):
            error = answer.get("error")
            known = error if isinstance(error, str) and error.replace("_", "").isalnum() else "no reason"
            raise SignInRefused(f"the provider gives no token ({known[:40]})")
        token = answer.get("id_token")
        if status != 200 or not isinstance(token, str) or len(token) > TOKEN_CHARS_MAX:
            raise ProviderFailed(f"the provider answers a code with HTTP {status}, and no token")
        return answer

    def _read(self, address: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        status, answer = self._ask("GET", address, {"Accept": "application/json", **(headers or {})})
        if status != 200:
            raise ProviderFailed(f"the provider answers {urlsplit(address).path} with HTTP {status}")
        return answer

    def _ask(
        self, method: str, address: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        http = HttpClient(address, headers, CONNECT_SECONDS, READ_SECONDS, self.clock)
        try:
            response = http.request(method, "", form=form)
            answer = read_json(response.content)
        except SideError as error:
            raise ProviderFailed(f"the provider does not answer: {type(error).__name__}") from None
        except NotJson as error:
            raise ProviderFailed(f"the provider's answer cannot be read: {error}") from None
        finally:
            http.close()
        if not isinstance(answer, dict):
            raise ProviderFailed("the provider's answer is no object")
        return response.status_code, answer

    # --- the token ------------------------------------------------------------------------------------------

    def _checked(self, token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token, as OpenID Connect Core 1.0 has it validated. Raises SignInRefused."""
        try:
            head = jwt.get_unverified_header(token)
            algorithm, kid = head.get("alg"), head.get("kid")
            if algorithm not in ALGORITHMS:
                raise SignInRefused("the token is signed in a way that is not taken")
            key = self._key(kid, algorithm)
            # Times are looked at below, by the clock that everything here goes by.
            options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self.issuer,
                options={**options, "require": ["iss", "sub", "aud", "exp", "iat"]},  # type: ignore[arg-type]
            )
        except jwt.PyJWTError as error:
            raise SignInRefused(f"the token cannot be believed ({type(error).__name__})") from None
        self._check_audience(claims)
        self._check_times(claims)
        given = claims.get("nonce")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
            raise SignInRefused("the token belongs to another attempt")
        if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
            raise SignInRefused("the token names nobody")
        return claims

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        party = claims.get("azp")
        if self.client_id not in audience or (party is None and len(audience) > 1):
            raise SignInRefused("the token is meant for another client")
        if party is not None and party != self.client_id:
            raise SignInRefused("the token was given to another client")

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self.clock().timestamp()
        times = [claims["exp"], claims["iat"], claims.get("nbf", 0)]
        if any(isinstance(one, bool) or not isinstance(one, int | float) for one in times):
            raise SignInRefused("the token has no times")
        if claims["exp"] <= now - CLOCKS_DIFFER_SECONDS:
            raise SignInRefused("the token is too old")
        if max(claims["iat"], claims.get("nbf", 0)) > now + CLOCKS_DIFFER_SECONDS:
            raise SignInRefused("the token is not valid yet; compare the clocks")

    def _key(self, kid: object, algorithm: str) -> jwt.PyJWK:
        for unknown in (False, True):
            keys = [one for one in self._signing_keys(unknown) if _fits(one, kid, algorithm)]
            # Without a name there may be no doubt which key it is.
            if len(keys) == 1 or (keys and kid is not None):
                return jwt.PyJWK(dict(keys[0]), algorithm)
        raise SignInRefused("the token is signed with a key that the provider does not publish")


def _fits(key: Mapping[str, Any], kid: object, algorithm: str) -> bool:
    kinds = {"R": "RSA", "P": "RSA", "E": "OKP" if algorithm == "EdDSA" else "EC"}
    return (
        key.get("use", "sig") == "sig"
        and key.get("kty") == kinds[algorithm[0]]
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    )
