"""Calls to one shop that implements the contract: each answer is believed whole, or is one of the errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import requests

from connectors.api.capabilities import Usage
from connectors.api.errors import InDoubt, SideClosed, Throttled
from connectors.kit.http import HttpClient, object_in, retried, retry_after_seconds

PROBLEM_TYPE: Final = "application/problem+json"
#: The codes of the contract; a word that is none of them is not repeated to people.
CODES: Final = frozenset(
    {
        "invalid_request",
        "not_found",
        "insufficient_funds",
        "not_active",
        "expired",
        "over_limit",
        "number_taken",
        "number_refused",
        "currency_mismatch",
        "key_reused",
    }
)


class Rejected(Exception):
    """The shop said no, with a problem of the contract: nothing happened."""

    def __init__(self, status: int, code: str, card: str | None) -> None:
        super().__init__(f"the shop answered HTTP {status}" + (f" ({code})" if code else ""))
        #: Empty for a code that the contract does not have.
        self.code = code
        #: With `number_taken`: the card that has the number.
        self.card = card


class ShopClient:
    """One shop. Thread-safe."""

    def __init__(
        self, url: str, key: str, clock: Callable[[], datetime], pause: Callable[[float], None]
    ) -> None:
        headers = {"Authorization": f"Bearer {key}", "Accept": f"application/json, {PROBLEM_TYPE}"}
        self._http = HttpClient(url, headers, clock=clock)
        self._clock, self._pause = clock, pause

    def get(self, *path: str, params: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        """Read. A read that goes wrong is repeated for a while. Raises Rejected."""
        return retried(lambda: self._call("GET", path, params, None, None), self._pause)

    def look_up(self, number: str) -> dict[str, Any]:
        """The card with that number; a read, although it is a POST. Raises Rejected."""
        return retried(
            lambda: self._call("POST", ("cards", "lookup"), None, {"number": number}, None), self._pause
        )

    def send(
        self, method: str, *path: str, body: Mapping[str, Any], key: str | None = None
    ) -> dict[str, Any]:
        """Write, once. Raises Rejected."""
        return self._call(method, path, None, body, key)

    @property
    def usage(self) -> Usage:
        return self._http.usage

    def close(self) -> None:
        self._http.close()

    def _call(
        self,
        method: str,
        path: tuple[str, ...],
        params: Mapping[str, str | int] | None,
        body: Mapping[str, Any] | None,
        key: str | None,
    ) -> dict[str, Any]:
        where = "".join(f"/{quote(part, safe='')}" for part in path)
        headers = {"Idempotency-Key": key} if key else {}
        answer = self._http.request(method, where, params=params, json=body, headers=headers)
        return self._read(answer)

    def _read(self, answer: requests.Response) -> dict[str, Any]:
        status = answer.status_code
        if status == 429:
            self._http.count(throttled=1)
            raise Throttled("the shop asked to slow down", retry_after_seconds(answer, self._clock()))
        if status in (401, 403):
            words = "does not accept the key" if status == 401 else "does not let the key do this"
            raise SideClosed(f"the shop {words}", "Ask the shop's developers for a key, and set `key`.")
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if status in (400, 404, 409, 422) and kind == PROBLEM_TYPE:
            raise _rejected(status, object_in(answer, "the shop's"))
        if status not in (200, 201) or kind != "application/json":
            raise InDoubt(f"the shop answered HTTP {status} in a form that the contract does not have")
        return object_in(answer, "the shop's")


def _rejected(status: int, problem: Mapping[str, Any]) -> Rejected:
    code, card = problem.get("code"), problem.get("card")
    if not isinstance(code, str):
        raise InDoubt(f"the shop answered HTTP {status} with a problem that has no code")
    return Rejected(status, code if code in CODES else "", card if isinstance(card, str) and card else None)
