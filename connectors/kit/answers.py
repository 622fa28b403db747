"""What an answer of a REST API means, by its status alone."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import requests

from connectors.api.errors import InDoubt, SideClosed, Throttled
from connectors.kit.http import HttpClient, object_in, retry_after_seconds
from mappings.redaction import said

REASON_LENGTH_MAX: Final = 100
#: Statuses by which a system says no to one request.
REJECTIONS: Final = frozenset({400, 409, 422})


class Rejected(Exception):
    """The system said no to the request, and nothing happened. Why, its connector says."""

    def __init__(self, system: str, status: int, reason: str = "") -> None:
        super().__init__(f"{system} answered HTTP {status}")
        self.status = status
        #: The system's word for it; empty where it has none.
        self.reason = reason


@dataclass(frozen=True)
class AnswerReader:
    """Reads the answers of one system."""

    #: As people call it.
    system: str
    #: The statuses by which it lets giftsync do nothing at all: what each means, and the remedy.
    closed: Mapping[int, tuple[str, str]]
    rejections: Container[int] = REJECTIONS
    #: The field of such an answer that holds one word for the reason; None: it has none.
    reason_field: str | None = None

    def read(
        self, client: HttpClient, answer: requests.Response, *, rejects: bool = True
    ) -> dict[str, Any] | None:
        """The JSON object of an answer of `client`; None for 404.

        Raises SideClosed, Throttled, Rejected, and InDoubt for whatever else it is. Without `rejects`, as for
        a read, a rejection is in doubt, too: it says nothing of the card.
        """
        status = answer.status_code
        if status == 404:
            return None
        if status in self.closed:
            raise SideClosed(*self.closed[status])
        if status == 429:
            client.count(throttled=1)
            wait_seconds = retry_after_seconds(answer, _its_now(answer, client))
            raise Throttled(f"{self.system} asked to slow down", wait_seconds)
        if rejects and status in self.rejections:
            raise Rejected(self.system, status, self._reason(answer))
        if status not in (200, 201):
            raise InDoubt(f"{self.system} answered HTTP {status}")
        return object_in(answer, f"{self.system}'s")

    def _reason(self, answer: requests.Response) -> str:
        if self.reason_field is None:
            return ""
        try:
            reason = object_in(answer, f"{self.system}'s").get(self.reason_field)
        except InDoubt:
            return ""
        return said(reason, REASON_LENGTH_MAX) if isinstance(reason, str) else ""


def _its_now(answer: requests.Response, client: HttpClient) -> datetime:
    """The system's own time: a Retry-After date is by its clock."""
    try:
        told = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (ValueError, TypeError):
        return client.clock()
    return told if told.tzinfo is not None else client.clock()
