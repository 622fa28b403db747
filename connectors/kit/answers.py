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

#: Statuses by which a system says no to one request.
REJECTIONS: Final = frozenset({400, 409, 422})


class Rejected(Exception):
    """The system said no to the request, and nothing happened. Its connector knows why, or asks the card."""

    def __init__(self, system: str, status: int) -> None:
        super().__init__(f"{system} answered HTTP {status}")
        self.status = status


@dataclass(frozen=True)
class AnswerReader:
    """Reads the answers of one system."""

    #: As people call it.
    system: str
    #: The statuses by which it lets giftsync do nothing at all: what each means, and the remedy.
    closed: Mapping[int, tuple[str, str]]
    rejections: Container[int] = REJECTIONS

    def read(self, client: HttpClient, answer: requests.Response) -> dict[str, Any] | None:
        """The JSON object of an answer of `client`; None for 404.

        Raises SideClosed, Throttled, Rejected, and InDoubt for whatever else it is.
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
        if status in self.rejections:
            raise Rejected(self.system, status)
        if status not in (200, 201):
            raise InDoubt(f"{self.system} answered HTTP {status}")
        return object_in(answer, f"{self.system}'s")


def _its_now(answer: requests.Response, client: HttpClient) -> datetime:
    """The system's own time: a Retry-After date is by its clock."""
    try:
        told = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (ValueError, TypeError):
        return client.clock()
    return told if told.tzinfo is not None else client.clock()
