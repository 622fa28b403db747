"""The standing of a link at one moment: one object for the terminal, the console and the API."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from connectors.api.side import Side
from mappings.brands import Brands
from sync.feeds import subscriptions
from sync.ledger import views
from sync.ledger.cards.lacking import in_step_everywhere
from sync.ledger.conflicts.stops import Stop, stopped_by, stops
from sync.ledger.database.engine import Engine, reading
from sync.ledger.database.running import worker_runs
from sync.ledger.incoming.looks import Looks
from sync.ledger.sides.outages import read_outages
from sync.ledger.totals import Totals, read_totals
from sync.ledger.views import Status
from sync.support.outages import SideOutage, side_outages


@dataclass(frozen=True)
class OneSided:
    """Cards that one side should have and lacks."""

    missing_on: str
    cards: int
    #: What is on them, in minor units.
    money_minor: int
    #: Whether giftsync can make them there.
    can_be_made: bool
    #: If not: what keeps the side from it, in its own words.
    why_not: str = ""


@dataclass(frozen=True)
class Standing:
    """All of it."""

    counts: Status
    #: Cards that are the same on every side that they should be on.
    in_step: int
    one_sided: tuple[OneSided, ...]
    looks: Mapping[str, Looks]
    #: Why a brake keeps the link from writing; empty while it may.
    stopped_by: tuple[str, ...]
    webhooks: Mapping[str, str]
    worker_runs: bool
    #: Sides that do not answer, or not to everything.
    outages: tuple[SideOutage, ...]
    #: What every card was looked at for; as old as it says.
    totals: Totals

    @property
    def currency(self) -> str | None:
        """The link's, as its sides or its verified cards tell."""
        return self.counts.currency or next(iter(self.counts.balance_minor), None)


@dataclass(frozen=True)
class Brief:
    """The little that a list of many links shows of each."""

    cards: int
    #: Cards that are the same on every side that they should be on.
    in_step: int
    #: Open conflicts.
    conflicts: int
    #: Those of them that stop the link.
    stops: tuple[Stop, ...]
    worker_runs: bool
    has_outages: bool
    #: Imports that workers carry out.
    queued_imports: int


def read_brief(
    engine: Engine,
    wanted: Collection[str],
    brands: Brands,
    now: datetime,
    sharing: Collection[str] | None = None,
) -> Brief:
    """Read it with few queries; `wanted` and `sharing` are those of `read_standing`."""
    counts, in_step = views.brief(engine), 0
    if counts.cards:
        with reading(engine) as connection:
            in_step = in_step_everywhere(connection, wanted, brands, sharing)
    return Brief(
        cards=counts.cards,
        in_step=in_step,
        conflicts=counts.conflicts,
        stops=tuple(stops(engine)) if counts.conflicts else (),
        worker_runs=worker_runs(engine, now),
        has_outages=bool(counts.outages),
        queued_imports=counts.queued_imports,
    )


def read_standing(
    engine: Engine,
    sides: Mapping[str, Side],
    wanted: Collection[str],
    brands: Brands,
    zone: tzinfo,
    now: datetime,
    sharing: Collection[str] | None = None,
    totals: Totals | None = None,
) -> Standing:
    """Read the ledger. The sides are asked for their abilities only, which costs no call.

    `wanted` names the sides that the merchant wants every card on, whatever they can do today, and `sharing`
    those whose cards are brought to others; None: all. `totals` of a moment ago are not added up again.
    """
    runs = worker_runs(engine, now)
    totals = totals or read_totals(engine, now, wanted, brands, sharing)
    return Standing(
        counts=views.status(engine, now, totals.counts),
        in_step=totals.in_step,
        one_sided=tuple(
            OneSided(
                side,
                found.cards,
                found.money_minor,
                sides[side].capabilities.creates,
                "" if sides[side].capabilities.creates else sides[side].capabilities.why_no_creates,
            )
            for side, found in totals.one_sided.items()
            if found.cards and side in sides
        ),
        looks=totals.looks,
        stopped_by=tuple(stopped_by(engine)),
        webhooks={name: line for name in sides if (line := subscriptions.words(engine, name, zone))},
        worker_runs=runs,
        outages=side_outages(read_outages(engine), sides, zone, now, asked=runs),
        totals=totals,
    )
