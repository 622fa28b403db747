"""What the whole ledger adds up to. It takes a look at every card, so readers keep it for a while."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, case, func, select

from mappings.brands import Brands
from sync.ledger.cards.lacking import MissingCards, in_step_everywhere, one_sided
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import intents, presences
from sync.ledger.incoming.looks import Looks, looks
from sync.ledger.views import CardCounts, count_cards, count_own_dates, unverified_ids

#: So many cards that are out of step are listed without another look at every card.
OUT_OF_STEP_MAX = 10_000
_OPEN = ("planned", "sent", "in_doubt")


@dataclass(frozen=True)
class Totals:
    """All of it, at one moment. Amounts in minor units."""

    at: datetime
    #: How long adding up took.
    seconds: float
    counts: CardCounts
    #: Cards that are the same on every side that they should be on.
    in_step: int
    #: By side, the cards that it should have and lacks.
    one_sided: Mapping[str, MissingCards]
    #: What each side shows on all cards that are verified, without what is still under way.
    shown_minor: Mapping[str, int]
    #: Cards whose answer on the side cannot be believed, and those that are held there, by side.
    unreadable: Mapping[str, int]
    held: Mapping[str, int]
    looks: Mapping[str, Looks]
    #: See `count_own_dates`.
    own_dates: Mapping[str, int]


def read_totals(
    engine: Engine,
    now: datetime,
    wanted: Collection[str],
    brands: Brands,
    sharing: Collection[str] | None = None,
) -> Totals:
    """Add up, in one state of the ledger; `wanted` and `sharing` are those of `read_standing`."""
    began = time.monotonic()
    with reading(engine) as connection:
        counts = count_cards(connection, OUT_OF_STEP_MAX)
        missing = {side: one_sided(connection, side, brands, sharing) for side in wanted}
        some_lack = any(one.cards for one in missing.values())
        of_side = connection.execute(
            select(
                presences.c.side,
                func.sum(case((presences.c.born, 1), else_=0)),
                func.sum(presences.c.shadow_minor),
                func.sum(case((presences.c.unreadable > 0, 1), else_=0)),
                func.sum(case((presences.c.hold.is_not(None), 1), else_=0)),
            )
            .group_by(presences.c.side)
            .order_by(presences.c.side)
        ).all()
        looked_at = looks(connection, {side: int(born) for side, born, *_ in of_side if born})
        not_shown = _not_shown(connection)
        return Totals(
            at=now,
            counts=counts,
            in_step=in_step_everywhere(connection, wanted, brands, sharing) if some_lack else counts.in_step,
            one_sided=missing,
            shown_minor={side: int(minor) - not_shown.get(side, 0) for side, _, minor, *_ in of_side},
            unreadable={side: int(count) for side, _, _, count, _ in of_side},
            held={side: int(count) for side, _, _, _, count in of_side},
            looks=looked_at,
            own_dates=count_own_dates(connection),
            seconds=time.monotonic() - began,
        )


def _not_shown(connection: Connection) -> dict[str, int]:
    """Of all shadows, what no side shows yet, and what stands on cards that are not verified."""
    unverified = connection.execute(
        select(presences.c.side, func.sum(presences.c.shadow_minor))
        .where(presences.c.card_id.in_(unverified_ids))
        .group_by(presences.c.side)
    ).all()
    under_way = connection.execute(
        select(intents.c.side, func.sum(intents.c.amount_minor))
        .where(intents.c.state.in_(_OPEN), intents.c.card_id.not_in(unverified_ids))
        .group_by(intents.c.side)
    ).all()
    found: dict[str, int] = {}
    for side, minor in (*unverified, *under_way):
        found[side] = found.get(side, 0) + int(minor)
    return found
