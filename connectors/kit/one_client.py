"""Bases of sides whose calls all go through one client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from connectors.api.capabilities import Usage
from connectors.api.card import Absent, CardRef, Observation, Seen, Unreadable
from connectors.api.doctor import ExaminationReport, Expectations, Finding, ProbeContext
from connectors.api.effect import Applied, Effect, EffectKind, Save
from connectors.api.errors import InDoubt, Refused
from connectors.kit.fields import NotBelieved
from mappings.lifecycle import CardStatus
from mappings.serials import Serial


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


class CardByCardSide(OneClientSide):
    """The base of a side that asks for one card by one request.

    A subclass sets what stands here, says in `_seen` what a card shows, and carries out what it can of
    `_create`, `_move` and `_close`. See `Side`.
    """

    #: As people call the system.
    _system: str
    #: Before the reason why a card is not believed.
    _misread: str
    _clock: Callable[[], datetime]

    def observe(
        self, cards: Sequence[CardRef], *, entries: bool = False, urgent: bool = True
    ) -> Iterator[Observation]:
        for card in cards:
            at = self._clock()
            try:
                seen = self._seen(card, at, entries=entries, urgent=urgent)
            except NotBelieved as error:
                yield Unreadable(f"{self._misread}: {error}", at)
            else:
                yield Absent(at) if seen is None else seen

    def lookup(self, serial: Serial) -> Observation:
        (shown,) = self.observe([CardRef(serial=serial)])
        return shown

    def apply(self, effect: Effect, save: Save) -> Applied:
        try:
            match effect.kind:
                case EffectKind.CREATE:
                    return self._create(effect, save)
                case EffectKind.CREDIT | EffectKind.DEBIT:
                    return self._move(effect, save)
                case EffectKind.SET_STATUS if effect.status is CardStatus.CLOSED:
                    return self._close(effect)
        except NotBelieved as error:
            # A request may have been sent before.
            raise InDoubt(f"{self._misread}: {error}") from None
        raise self._cannot()

    def _seen(self, card: CardRef, at: datetime, *, entries: bool, urgent: bool) -> Seen | None:
        """What a card shows; None: there is none. Raises NotBelieved."""
        raise NotImplementedError

    def _create(self, effect: Effect, save: Save) -> Applied:
        raise self._cannot()

    def _move(self, effect: Effect, save: Save) -> Applied:
        """Carry a credit or a debit out."""
        raise self._cannot()

    def _close(self, effect: Effect) -> Applied:
        raise self._cannot()

    def _cannot(self) -> Refused:
        return Refused(f"{self._system} cannot do this with a card")
