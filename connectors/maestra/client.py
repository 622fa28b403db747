"""Calls to one Maestra project: each answer is believed whole, or is one of the errors."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import requests

from connectors.api.capabilities import Usage
from connectors.api.errors import InDoubt, SideClosed, Throttled
from connectors.kit.http import HttpClient, retried, retry_after_seconds
from connectors.kit.strict_json import NotJson, read_json
from mappings.redaction import said

#: Maestra takes 60 imports an hour; never more than these are made (maestra.md §7).
IMPORTS_PER_HOUR: Final = 55
HOUR_SECONDS: Final = 3_600.0
_IMPORT_OPTIONS: Final = {"csvCodePage": "65001", "csvColumnDelimiter": ";", "csvTextQualifier": '"'}
_REASON_LENGTH_MAX: Final = 120


class Invalid(Exception):
    """Maestra said no (`ValidationError`, `ProtocolError`, 400); nothing happened. `reasons`: its words."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("Maestra says: " + ("; ".join(reasons) or "no reason"))
        self.reasons = reasons


class ProjectClient:
    """One project. Thread-safe."""

    def __init__(
        self,
        url: str,
        key: str,
        endpoint: str,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        pause: Callable[[float], None],
    ) -> None:
        headers = {"Accept": "application/json", "Authorization": f"SecretKey {key}"}
        self._http = HttpClient(f"{url.rstrip('/')}/v3/operations", headers, clock=clock)
        self._endpoint = endpoint
        self._clock, self._monotonic, self._pause = clock, monotonic, pause
        self._lock = threading.Lock()
        self._imported: deque[float] = deque()

    def calculate(self, operation: str, order: Mapping[str, Any]) -> dict[str, Any]:
        """Ask what an order would come to; nothing is saved. A read that goes wrong is repeated for a while.

        Raises Invalid.
        """
        return retried(lambda: self.save(operation, order), self._pause)

    def save(self, operation: str, order: Mapping[str, Any]) -> dict[str, Any]:
        """Save an order, once. Raises Invalid."""
        answer = self._http.request("POST", "/sync", params=self._query(operation), json={"order": order})
        return self._read(answer)

    def import_rows(self, operation: str, content: bytes) -> None:
        """Hand a file of rows over; what becomes of each is not told. Raises Invalid and Throttled."""
        self._take_import()
        query = {**self._query(operation), **_IMPORT_OPTIONS}
        answer = self._http.request(
            "POST", "/bulk", params=query, content=content, headers={"Content-Type": "text/csv"}
        )
        self._read(answer)

    @property
    def imports_left(self) -> int:
        """How many imports giftsync may make now."""
        with self._lock:
            self._forget_old()
            return IMPORTS_PER_HOUR - len(self._imported)

    @property
    def usage(self) -> Usage:
        return self._http.usage

    def close(self) -> None:
        self._http.close()

    def _query(self, operation: str) -> dict[str, str | int]:
        return {"endpointId": self._endpoint, "operation": operation}

    def _take_import(self) -> None:
        """Raises Throttled when the hour's imports are used up."""
        with self._lock:
            self._forget_old()
            if len(self._imported) >= IMPORTS_PER_HOUR:
                wait = self._imported[0] + HOUR_SECONDS - self._monotonic()
                raise Throttled("the imports of this hour are used up", max(wait, 1.0))
            self._imported.append(self._monotonic())

    def _forget_old(self) -> None:
        while self._imported and self._imported[0] <= self._monotonic() - HOUR_SECONDS:
            self._imported.popleft()

    def _read(self, answer: requests.Response) -> dict[str, Any]:
        status = answer.status_code
        if status in (401, 403):
            raise SideClosed(
                "Maestra does not accept the secret key",
                "Put the project's key into the side's table, as `key` or `key_file`, and check `endpoint`.",
            )
        if status == 404:
            raise SideClosed(
                "Maestra does not know the operation",
                "Operation names are the project's own: compare the side's table with the project.",
            )
        if status == 429:
            self._http.count(throttled=1)
            raise Throttled("Maestra asked to slow down", retry_after_seconds(answer, self._clock()))
        if status == 400 or status == 409:
            raise Invalid(_reasons(_object(answer)))
        if status != 200:
            raise InDoubt(f"Maestra answered HTTP {status}")
        found = _object(answer)
        if found is None:
            raise InDoubt("Maestra's answer cannot be read")
        match found.get("status"):
            case "Success":
                return found
            case "ValidationError" | "ProtocolError":
                raise Invalid(_reasons(found))
        raise InDoubt("Maestra did not say that it worked")


def _object(answer: requests.Response) -> dict[str, Any] | None:
    try:
        found = read_json(answer.content)
    except NotJson:
        return None
    return found if isinstance(found, dict) else None


def _reasons(found: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Maestra's words, bounded; they may quote what was sent, so numbers are taken out."""
    told: list[object] = []
    if found is not None:
        messages = found.get("validationMessages")
        told += (
            [one.get("message") for one in messages if isinstance(one, dict)]
            if isinstance(messages, list)
            else []
        )
        told.append(found.get("errorMessage"))
    return tuple(said(one, _REASON_LENGTH_MAX) for one in told if isinstance(one, str) and one)
