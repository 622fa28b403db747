"""Waits that another clock has written: none lasts longer than any wait that giftsync makes."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, union, update

from sync.ledger.cards.store import Store
from sync.ledger.database.engine import asking
from sync.ledger.database.tables import arrivals, cards, deliveries, intents, polls, redemptions
from sync.model import LeaseLost, Tampered

#: Longer than any wait, quiet period or lease can be set.
WAIT_MAX = timedelta(hours=2)
LEASE_SECONDS = 30.0


def bring_near(store: Store, now: datetime, quiet_seconds: float) -> int:
    """End the waits that lie further ahead than any wait can; how many there were.

    The machine's clock was ahead when they were written. A quiet period begins anew, since nobody knows how
    much of it has passed. A lease is ended as well: its fencing number keeps a worker that still lives from
    committing anything.
    """
    late = now + WAIT_MAX
    found = 0
    with store.engine.begin() as connection:
        for change in (
            update(cards).where(cards.c.due_at > late).values(due_at=now),
            update(cards).where(cards.c.lease_until > late).values(lease_until=now),
            update(arrivals).where(arrivals.c.due_at > late).values(due_at=now),
            update(deliveries).where(deliveries.c.due_at > late).values(due_at=now),
            # What was looked at in the future would not be looked at again until then.
            update(polls).where(polls.c.asked_at > now).values(asked_at=now),
            update(polls).where(polls.c.polled_at > now).values(polled_at=now),
            update(polls).where(polls.c.changed_at > now).values(changed_at=now),
        ):
            found += connection.execute(change).rowcount
    return found + _begin_anew(store, now, late, now + timedelta(seconds=quiet_seconds))


def _begin_anew(store: Store, now: datetime, late: datetime, quiet: datetime) -> int:
    """Begin waits anew that are in a card's digest, card by card: quiet periods, pending redemptions."""
    open_ones = intents.c.state.in_(("planned", "sent", "in_doubt"))
    with asking(store.engine) as connection:
        of_intents = select(intents.c.card_id).where(open_ones, intents.c.not_before > late)
        of_redemptions = select(redemptions.c.card_id).where(
            redemptions.c.state == "pending", redemptions.c.ends_at > late
        )
        card_ids = sorted(set(connection.execute(union(of_intents, of_redemptions)).scalars()))
    found = 0
    for card_id in card_ids:
        lease = store.claim(card_id, "waits", now, LEASE_SECONDS)
        if lease is None:
            continue  # A worker that works on it now has another clock than ours.
        try:
            store.save_quiet(lease, store.load(card_id), late, quiet)
            found += 1
        except (LeaseLost, Tampered):
            continue  # Whoever works on it next tells of it.
        finally:
            store.release(lease, now)
    return found
