"""What is known of a batch of arrivals before each is matched: few reads instead of several for each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from connectors.api.card import Observation
from connectors.api.errors import NoAnswer, SideClosed
from mappings.serials import Serial, SerialError, lengthened
from sync.ledger.incoming.intake import Arrival, Intake
from sync.reconcile.work import Link


@dataclass(frozen=True)
class Ahead:
    """Nothing, unless `look_ahead` has made it."""

    #: What a side shows of its own arrivals, by arrival, with their entries.
    seen: Mapping[int, Observation] = field(default_factory=dict)
    #: The endings that were looked for in the sides' lists.
    endings: frozenset[str] = frozenset()
    #: By side whose whole list was read: which of them a card there has that may be one of the batch.
    taken: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def lacks(self, side: str, serial: Serial) -> bool:
        """Whether the side's list shows that it has no card with this serial.

        A card that was made there since then has the serial all the same: a side whose list ends with its
        last characters only refuses to make it a second time, and tells of the one that it has.
        """
        return (
            side in self.taken
            and serial.last_chars in self.endings
            and serial.last_chars not in self.taken[side]
        )


def look_ahead(link: Link, intake: Intake, batch: Sequence[Arrival], listed: Collection[str]) -> Ahead:
    """Read the arrivals of each side together, and look for their endings in the lists of the others.

    `listed` are the sides whose whole list has been read into the ledger. A side that cannot be read is left
    out: each arrival asks it again by itself.
    """
    serials = {form for a in batch if a.card.serial is not None for form in _forms(a.card.serial)}
    endings = frozenset(serial.last_chars for serial in serials)
    taken = {side: intake.endings_on(side, serials) for side in listed} if endings else {}
    return Ahead(_seen(link, batch), endings, taken)


def _forms(serial: Serial) -> Iterator[Serial]:
    """The serial, and as it is where it has to be lengthened."""
    yield serial
    with suppress(SerialError):
        yield lengthened(serial)


def _seen(link: Link, batch: Sequence[Arrival]) -> dict[int, Observation]:
    seen: dict[int, Observation] = {}
    for name, side in link.sides.items():
        theirs = [a for a in batch if a.side == name and a.card.native_id is not None]
        if side.capabilities.read_batch_max == 1 or len(theirs) < 2:
            continue
        entries = side.capabilities.lists_entries
        try:
            looks = side.observe([a.card for a in theirs], entries=entries, urgent=False)
            seen |= {a.id: observation for a, observation in zip(theirs, looks, strict=True)}
        except (NoAnswer, SideClosed):
            continue
    return seen
