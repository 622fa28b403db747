"""What every side says in the same way whose calls all go through one client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from connectors.api.capabilities import Usage
from connectors.api.doctor import ExaminationReport, Expectations, Finding, ProbeContext


class Client(Protocol):
    """Counts what it asks, and holds connections."""

    @property
    def usage(self) -> Usage: ...

    def close(self) -> None: ...


class Doctor(Protocol):
    """Examines and probes the side."""

    def examine(self, wanted: Expectations) -> ExaminationReport: ...

    def probe(self, context: ProbeContext) -> Iterator[Finding]: ...


class OneClientSide:
    """The base of a side that sets both before it is used. See `Side` and `Examinable`."""

    _client: Client
    _doctor: Doctor

    def usage(self) -> Usage:
        return self._client.usage

    def close(self) -> None:
        self._client.close()

    def examine(self, wanted: Expectations) -> ExaminationReport:
        return self._doctor.examine(wanted)

    def probe(self, context: ProbeContext) -> Iterator[Finding]:
        return self._doctor.probe(context)
