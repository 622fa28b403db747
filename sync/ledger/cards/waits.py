"""Waits that another clock has written: none lasts longer than any wait that giftsync makes."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine, update

from sync.ledger.database.tables import arrivals, cards, deliveries, intents, polls

#: Longer than any wait, quiet period or lease can be set.
WAIT_MAX = timedelta(hours=2)


def bring_near(engine: Engine, now: datetime, quiet_seconds: float) -> int:
    """End the waits that lie further ahead than any wait can; how many there were.

    The machine's clock was ahead when they were written. A quiet period begins anew, since nobody knows how
    much of it has passed. A lease is ended as well: its fencing number keeps a worker that still lives from
    committing anything.
    """
    late = now + WAIT_MAX
    quiet = now + timedelta(seconds=quiet_seconds)
    open_ones = intents.c.state.in_(("planned", "sent", "in_doubt"))
    found = 0
    with engine.begin() as connection:
        for change in (
            update(cards).where(cards.c.due_at > late).values(due_at=now),
            update(cards).where(cards.c.lease_until > late).values(lease_until=now),
            update(arrivals).where(arrivals.c.due_at > late).values(due_at=now),
            update(deliveries).where(deliveries.c.due_at > late).values(due_at=now),
            update(intents).where(open_ones, intents.c.not_before > late).values(not_before=quiet),
            # What was looked at in the future would not be looked at again until then.
            update(polls).where(polls.c.asked_at > now).values(asked_at=now),
            update(polls).where(polls.c.polled_at > now).values(polled_at=now),
            update(polls).where(polls.c.changed_at > now).values(changed_at=now),
        ):
            found += connection.execute(change).rowcount
    return found
