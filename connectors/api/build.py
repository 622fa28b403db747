"""What a connector is given to make a side."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

from connectors.api.budget import Budget
from connectors.api.capabilities import Place
from connectors.api.tokens import TokenShelf
from mappings.sentences import say
from mappings.serials import Serial


@dataclass(frozen=True)
class BuildContext:
    """What giftsync gives a connector beside its own settings. Nothing of it has been called yet."""

    #: The side's name in the link: what errors, tables and webhook addresses call it.
    name: str
    #: The link's time zone, an IANA name.
    timezone: str
    #: The link's currency, ISO 4217; None: the side decides.
    currency: str | None
    #: Tells zone-aware time.
    clock: Callable[[], datetime]
    #: Waits so many seconds; raises NotSent when giftsync is stopping.
    pause: Callable[[float], None]
    #: The sealed place of an access token, by how it is obtained and whom it is given to.
    shelf: Callable[[str, str], TokenShelf]
    #: The points that `giftsync doctor --probe` has proved of the system with that identity.
    proved: Callable[[str], Collection[str]] = lambda identity: ()
    #: What all processes of the link may ask of the side together; None: it has one process.
    budget: Budget | None = None
    #: Gives a card's CVC while an import has one; never kept.
    cvc_for: Callable[[Serial], str | None] | None = None
    #: Whether the link has another side of this type, so that people tell them apart by their names.
    is_one_of_several: bool = False

    def place(self, place: Place) -> Place:
        """Where people find the cards of this side: one of several is called by its name, too."""
        if not self.is_one_of_several:
            return place
        return replace(
            place,
            name=f"{place.name} ({self.name})",
            screen=f"{place.screen} ({self.name})",
            where=self.name,
            at=say("{place} ({name})", place=place.at, name=self.name),
        )
