"""What a side can do beside the `Side` protocol, declared in one place.

A connector declares each ability once, as a value; whoever needs one asks `side.abilities` and nothing else.
A side without an ability is never asked for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from connectors.api.bulk import Catalogue, Limited, Lister, MassCreator, PackCreator
from connectors.api.capabilities import Place
from connectors.api.doctor import Examinable
from connectors.api.feed import Tracer
from connectors.api.webhooks import Listener, PrivacyReader, Subscriber


@dataclass(frozen=True)
class Abilities:
    """The optional abilities of one side; None: it has not this one. Asked from any thread."""

    #: Proves and reads webhook deliveries.
    listener: Listener | None = None
    #: Switches its webhooks on and off.
    subscriber: Subscriber | None = None
    #: Reads the requests about people's data that it passes on.
    privacy: PrivacyReader | None = None
    #: Shows in its feed what giftsync did, where it lists no entries.
    tracer: Tracer | None = None
    #: Tells the most that one card may hold.
    limited: Limited | None = None
    #: Lists all of its cards while one waits.
    lister: Lister | None = None
    #: Lists all of its cards in a file that is made meanwhile.
    catalogue: Catalogue | None = None
    #: Makes several cards with one request.
    pack_creator: PackCreator | None = None
    #: Makes many cards from one file.
    mass_creator: MassCreator | None = None
    #: Can be examined and probed by the doctor.
    examinable: Examinable | None = None
    #: Says where people find its cards.
    place: Place | None = None
    #: Where its cards are kept, for people, without asking, such as `the shop kaffe.myshopify.com`: no two
    #: sides of a link have the same cards, or each payment would count twice. None: nobody can tell.
    keeps_cards_in: str | None = None

    def reading(self) -> Abilities:
        """Those that change nothing on the side and order nothing there: what a dry run may use."""
        return replace(self, subscriber=None, catalogue=None, pack_creator=None, mass_creator=None)
