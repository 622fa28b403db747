"""A small OpenID Connect provider on loopback, as strict as a real one, that can be told to misbehave."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

CLIENT, SECRET = "giftsync at work", "s3cret/with+signs"


@dataclass
class LoopbackProvider:
    """Signs in whoever `person` is, without asking."""

    clock: Callable[[], float]
    issuer: str = ""
    #: What the token says of the person, beyond what it has to say.
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "kari-1"})
    #: What only the userinfo endpoint tells.
    userinfo: dict[str, Any] = field(default_factory=dict)
    #: Over what a right token says; None takes a claim out.
    forged: dict[str, Any] = field(default_factory=dict)
    #: Over what a right configuration says.
    configuration: dict[str, Any] = field(default_factory=dict)
    secret: str | None = SECRET
    #: Signs a token; a test puts another way in its place.
    sign: Callable[[LoopbackProvider, dict[str, Any]], str] = lambda self, claims: jwt.encode(
        claims, self.key, "ES256", {"kid": self.kid}
    )
    kid: str = "key 1"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    #: The redirect addresses that giftsync is registered with; filled in by the test.
    redirects: list[str] = field(default_factory=list)
    down: bool = False
    asked: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _access: set[str] = field(default_factory=set)

    def answer(self, path: str, query: dict[str, str], form: dict[str, str], head: Any) -> tuple[int, Any]:
        """Status and body; a text is an address to go to."""
        self.asked.append(path)
        if self.down:
            return 503, {}
        match path:
            case "/.well-known/openid-configuration":
                return 200, self._configuration()
            case "/keys":
                return 200, {"keys": [self._public_key()]}
            case "/authorize":
                return self._authorize(query)
            case "/token":
                return self._token(form, head.get("Authorization", ""))
            case "/userinfo":
                access = head.get("Authorization", "").removeprefix("Bearer ")
                told = {"sub": self.person.get("sub"), **self.userinfo}
                return (200, told) if access in self._access else (401, {})
        return 404, {}

    def _configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "authorization_response_iss_parameter_supported": True,
            **self.configuration,
        }

    def _public_key(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return {**public, "kid": self.kid, "use": "sig", "alg": "ES256"}

    def _authorize(self, query: dict[str, str]) -> tuple[int, Any]:
        right = (
            query.get("response_type") == "code"
            and query.get("client_id") == CLIENT
            and query.get("redirect_uri") in self.redirects
            and "openid" in query.get("scope", "").split()
            and query.get("code_challenge_method") == "S256"
        )
        if not right:
            return 400, {"error": "invalid_request"}
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        back = {"code": code, "state": query["state"], "iss": self.issuer}
        return 302, f"{query['redirect_uri']}?{urlencode(back)}"

    def _token(self, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not self._is_client(form, authorization):
            return 401, {"error": "invalid_client"}
        if (
            asked is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        now = int(self.clock())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.person,
            **self.forged,
        }
        access = secrets.token_urlsafe(16)
        self._access.add(access)
        token = self.sign(self, {name: value for name, value in claims.items() if value is not None})
        return 200, {"access_token": access, "token_type": "Bearer", "id_token": token}

    def _is_client(self, form: dict[str, str], authorization: str) -> bool:
        if self.secret is None:
            return form.get("client_id") == CLIENT
        both = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        return both == urlencode({"": CLIENT})[1:].replace("+", "%20") + ":" + urlencode({"": SECRET})[1:]


@contextmanager
def loopback_provider(clock: Callable[[], float] = time.time) -> Iterator[LoopbackProvider]:
    found = LoopbackProvider(clock)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._serve({name: values[0] for name, values in parse_qs(body).items()})

        def _serve(self, form: dict[str, str]) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, answer = found.answer(parts.path, query, form, self.headers)
            body = b"" if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            if isinstance(answer, str):
                self.send_header("Location", answer)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    found.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
