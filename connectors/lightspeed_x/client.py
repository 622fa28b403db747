"""Calls to one X-Series retailer: each answer is believed whole, or is one of the errors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import requests

from connectors.api.capabilities import Usage
from connectors.api.errors import InDoubt, Throttled
from connectors.kit.answers import AnswerReader
from connectors.kit.http import HttpClient, retried
from connectors.kit.oauth import NEW_TOKEN
from connectors.kit.renewal import TokenSource, with_token

VERSION: Final = "2026-07"
#: What is not urgent leaves this part of the retailer's limit to payments, and waits so long for more.
KEPT_PART: Final = 4
KEPT_WAIT_SECONDS: Final = 30.0


_ANSWERS: Final = AnswerReader(
    "Lightspeed",
    {
        401: ("Lightspeed does not accept the token", NEW_TOKEN),
        403: (
            "the token may not do this with gift cards",
            "Grant the scopes gift_cards:read, gift_cards:write:issue and gift_cards:write:redeem.",
        ),
    },
)


class RetailerClient:
    """One retailer. Thread-safe."""

    def __init__(
        self,
        url: str,
        tokens: TokenSource,
        clock: Callable[[], datetime],
        pause: Callable[[float], None],
    ) -> None:
        self._http = HttpClient(
            f"{url.rstrip('/')}/api/{VERSION}", {"Accept": "application/json"}, clock=clock
        )
        self._tokens = tokens
        self._pause = pause
        self._lock = threading.Lock()
        #: Requests that are left, and how many there are in all, as last told.
        self.limit: tuple[int, int] | None = None

    def get(
        self, *path: str, params: Mapping[str, str | int] | None = None, urgent: bool = True
    ) -> dict[str, Any] | None:
        """Read; None for 404. A read that goes wrong is repeated for a while."""
        if not urgent:
            self._keep_some()
        return retried(lambda: self._call("GET", path, params, None), self._pause)

    def send(self, method: str, *path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Write, once; None for 404. Raises Rejected."""
        return self._call(method, path, None, body)

    @property
    def usage(self) -> Usage:
        return self._http.usage

    def close(self) -> None:
        self._http.close()
        self._tokens.close()

    def _call(
        self,
        method: str,
        path: tuple[str, ...],
        params: Mapping[str, str | int] | None,
        body: Mapping[str, Any] | None,
    ) -> dict[str, Any] | None:
        where = "/gift_cards" + "".join(f"/{quote(part, safe='')}" for part in path)

        def send(access: str) -> requests.Response:
            headers = {"Authorization": f"Bearer {access}"}
            return self._http.request(method, where, params=params, json=body, headers=headers)

        answer = with_token(self._tokens, send)
        self._note_limit(answer)
        said = _ANSWERS.read(self._http, answer, rejects=method != "GET")
        if said is not None and "data" not in said:
            raise InDoubt("Lightspeed's answer holds no data")
        return said

    def _note_limit(self, answer: requests.Response) -> None:
        left, total = (answer.headers.get(f"X-RateLimit-{name}", "") for name in ("Remaining", "Limit"))
        if left.isascii() and left.isdigit() and total.isascii() and total.isdigit():
            with self._lock:
                self.limit = (int(left), int(total))

    def _keep_some(self) -> None:
        """Leave the last part of the limit to payments; what was told before the wait is then forgotten."""
        with self._lock:
            low = self.limit is not None and self.limit[0] * KEPT_PART < self.limit[1]
            if low:
                self.limit = None
        if low:
            raise Throttled("the rest of Lightspeed's limit is kept for payments", KEPT_WAIT_SECONDS)
