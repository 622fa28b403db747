"""The control plane of both sandboxes, as the demo's people and its proof use it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from mappings.money import decimal_from_minor, minor_from_decimal

ANSWER_SECONDS_MAX = 60.0
_REFUSED = 409


class Refused(Exception):
    """The till or the checkout says no."""


@dataclass(frozen=True)
class TrueCard:
    """Ground truth of one card on one side."""

    id: str
    #: The number or the code.
    serial: str = field(repr=False)
    balance_minor: int
    #: False: generated in advance and never sold.
    issued: bool = True


@dataclass
class Control:
    """One side's control plane. Thread-safe: every thread has its own connection."""

    url: str
    currency: str
    _local: threading.local = field(default_factory=threading.local, init=False, repr=False)

    def call(self, name: str, /, **body: object) -> Mapping[str, Any]:
        """`POST /_sandbox/<name>`. Raises Refused for a 409."""
        response = self._session.post(f"{self.url}/_sandbox/{name}", json=body, timeout=ANSWER_SECONDS_MAX)
        if response.status_code == _REFUSED:
            raise Refused(response.json()["error"])
        response.raise_for_status()
        answer: Mapping[str, Any] = response.json()
        return answer

    def move(self, name: str, amount_minor: int, /, **body: object) -> Mapping[str, Any]:
        """A call that moves money."""
        return self.call(name, amount=decimal_from_minor(amount_minor, self.currency), **body)

    def cards(self) -> list[TrueCard]:
        """Every card, as the side really has it."""
        return [
            TrueCard(
                str(one["id"]),
                one["code"] if "code" in one else one["number"],
                minor_from_decimal(one["balance"], self.currency),
                bool(one.get("issued", True)),
            )
            for one in self._get("cards")
        ]

    def stats(self) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._get("stats")
        return answer

    def fail(self, rules: Sequence[Mapping[str, object]], seed: int) -> None:
        self.call("faults", seed=seed, rules=list(rules))

    def _get(self, name: str) -> Any:
        response = self._session.get(f"{self.url}/_sandbox/{name}", timeout=ANSWER_SECONDS_MAX)
        response.raise_for_status()
        return response.json()

    @property
    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
        return session
