"""Calls to one R-Series account: each answer is believed whole, or is one of the errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import requests

from connectors.api.capabilities import Usage
from connectors.kit.answers import AnswerReader
from connectors.kit.http import HttpClient, retried
from connectors.kit.oauth import NEW_TOKEN
from connectors.kit.renewal import TokenSource, with_token
from connectors.lightspeed_r.bucket import Bucket

_ANSWERS: Final = AnswerReader(
    "Lightspeed",
    {
        401: ("Lightspeed does not accept the token", NEW_TOKEN),
        403: (
            "the token may not do this with gift cards",
            "Grant employee:customers, employee:customers_view_gift_card_numbers and those of sales.",
        ),
    },
)


class AccountClient:
    """One account. Thread-safe."""

    def __init__(
        self,
        url: str,
        tokens: TokenSource,
        clock: Callable[[], datetime],
        pause: Callable[[float], None],
    ) -> None:
        self._http = HttpClient(url.rstrip("/"), {"Accept": "application/json"}, clock=clock)
        self._tokens = tokens
        self._pause = pause
        self.bucket = Bucket(pause)

    def get(
        self, path: str, params: Mapping[str, str | int] | None = None, *, urgent: bool = True
    ) -> dict[str, Any] | None:
        """Read; None for 404. A read that goes wrong is repeated for a while."""
        self.bucket.wait_for_room(urgent=urgent)

        def read() -> dict[str, Any] | None:
            if params is not None and "code" in params:
                self.bucket.wait_for_code()
            return self._call("GET", path, params, None)

        return retried(read, self._pause)

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Write, once; None for 404. Raises Rejected."""
        self.bucket.wait_for_room(urgent=True)
        return self._call(method, path, None, body)

    @property
    def usage(self) -> Usage:
        return self._http.usage

    def close(self) -> None:
        self._http.close()
        self._tokens.close()

    def _call(
        self, method: str, path: str, params: Mapping[str, str | int] | None, body: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:

        def send(access: str) -> requests.Response:
            headers = {"Authorization": f"Bearer {access}"}
            return self._http.request(method, path, params=params, json=body, headers=headers)

        answer = with_token(self._tokens, send)
        self.bucket.note(answer.headers)
        self._count(answer)
        return _ANSWERS.read(self._http, answer, rejects=method != "GET")

    def _count(self, answer: requests.Response) -> None:
        try:
            points = round(float(answer.headers.get("X-LS-Api-Request-Cost", "0")))
        except (ValueError, OverflowError):
            points = 0
        self._http.count(points=max(0, points))
