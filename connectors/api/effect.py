"""One change to carry out on a side, under a marker that can be found again, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Protocol

from connectors.api.card import CardRef
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.serials import Serial


class EffectKind(StrEnum):
    """What an effect does."""

    CREATE = "create"
    CREDIT = "credit"
    DEBIT = "debit"
    SET_STATUS = "set_status"
    SET_EXPIRY = "set_expiry"
    NOTIFY = "notify"


#: Kinds that change a balance.
MOVES_MONEY = frozenset({EffectKind.CREATE, EffectKind.CREDIT, EffectKind.DEBIT})


@dataclass(frozen=True)
class Effect:
    """One change to carry out on a side.

    `marker` is unique to the intent, matches `gs-[a-z0-9]+`, and is written where `find` can read it back.
    """

    marker: str
    kind: EffectKind
    card: CardRef
    currency: str
    #: For create, credit and debit: positive.
    amount_minor: int = 0
    #: For set_status.
    status: CardStatus | None = None
    #: For create and set_expiry; None means that the card never expires.
    expires_on: date | None = None
    #: For create: words for staff, such as the last four of the online code and the shipping name.
    note: str = ""
    #: For create: the side's own kind of card (a Flow brand, a Shopify template suffix).
    brand: str | None = None
    #: What earlier attempts of this same intent saved through `Save`.
    progress: Mapping[str, str] = field(default_factory=dict)
    #: For notify: the buyer, whom the side may not know yet; None: whoever the side has with the card.
    contact: Contact | None = None


class Save(Protocol):
    """Commits what a multi-call effect must remember before its next call, such as an order's uid."""

    def __call__(self, progress: Mapping[str, str], /, *, lazily: bool = False) -> None:
        """`lazily`: the death of this process does not undo it, but a power cut may, until the next save.

        For what no money rests on until then: it saves a wait for the disk.
        """


@dataclass(frozen=True)
class Applied:
    """The side carried the effect out."""

    #: The card it concerns; for a create, the new card.
    native_id: str
    #: What the side showed right after, if it said so. Evidence only: the base never advances by it. For a
    #: create of which no earlier attempt is in doubt: another amount than was asked holds the card.
    balance_minor: int | None = None
    #: The side's own reference: a transaction, an order.
    reference: str | None = None
    #: For a create on a side that assigns numbers: the new card's number.
    serial: Serial | None = None


@dataclass(frozen=True)
class Found:
    """The marker is on the side, `landings` times (more than once: a request landed after all)."""

    landings: int
    native_id: str
    reference: str | None = None
    #: As in `Applied`.
    serial: Serial | None = None


@dataclass(frozen=True)
class NotFound:
    """The marker is surely not on the side, so the effect may be sent again."""


@dataclass(frozen=True)
class CannotTell:
    """Neither presence nor absence of the marker can be shown."""

    reason: str


FindResult = Found | NotFound | CannotTell


def no_save(_: Mapping[str, str], /, *, lazily: bool = False) -> None:
    """For effects that are carried out in one call."""
