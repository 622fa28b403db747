"""Keeps the sides' webhooks switched on, and remembers how they stand for people to see."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, tzinfo

import structlog

from connectors.api.webhooks import Subscriber
from sync.ledger.database.engine import Engine
from sync.ledger.database.marks import read_mark, save_mark
from sync.ledger.incoming.deliveries import last_received

log = structlog.get_logger(__name__)

#: How often subscriptions are looked at: a side drops those whose deliveries fail.
SUBSCRIBE_SECONDS = 3600.0


@dataclass(frozen=True)
class SubscriptionStatus:
    """How a side's webhooks stood when they were last looked at."""

    #: Where they are delivered; None: nowhere.
    url: str | None
    topics: list[str] = field(default_factory=list)
    #: Topics that the side had dropped, because deliveries failed or somebody removed them; made again then.
    dropped: list[str] = field(default_factory=list)
    #: Topics that are not as they should be, and why.
    failed: dict[str, str] = field(default_factory=dict)


def keep_subscribed(engine: Engine, side: Subscriber, url: str | None, now: datetime) -> None:
    """Switch the side's webhooks on for that address, mend them, or end them when there is none.

    Without an address, and without one before, the side is not even asked.
    """
    before = standing(engine, side.name)
    if url is None and (before is None or before.url is None):
        return
    found = side.subscribe(url)
    known = before.topics if before is not None and before.url == url else []
    dropped = [topic for topic in found.made if topic in known]
    after = SubscriptionStatus(url, list(found.topics), dropped, dict(found.failed))
    save_mark(engine, _mark(side.name), json.dumps(asdict(after)), now)
    if dropped:
        log.warning(
            "a side had dropped webhooks; they were made again",
            action="webhooks.dropped",
            side=side.name,
            topics=dropped,
        )
    for topic, why in found.failed.items():
        log.error(
            "a webhook is not delivered", action="webhooks.failed", side=side.name, topic=topic, why=why
        )


def standing(engine: Engine, side: str) -> SubscriptionStatus | None:
    """What was last found; None when they were never switched on."""
    text = read_mark(engine, _mark(side))
    try:
        return None if text is None else SubscriptionStatus(**json.loads(text))
    except (ValueError, TypeError):
        return None  # The next look at the side's subscriptions writes it anew.


def words(engine: Engine, side: str, zone: tzinfo) -> str | None:
    """How the side's webhooks stand, in a line; None when they were never switched on."""
    found = standing(engine, side)
    if found is None or found.url is None:
        return None
    last = last_received(engine, side)
    came = (
        "none has come yet" if last is None else f"the last came {last.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
    )
    parts = [f"{len(found.topics)} topic{'s' * (len(found.topics) != 1)} to {found.url}, {came}"]
    if found.dropped:
        parts.append(f"{side} had dropped {', '.join(found.dropped)}: does it reach that address?")
    by_reason: dict[str, list[str]] = {}
    for topic, why in found.failed.items():
        by_reason.setdefault(why, []).append(topic)
    parts += [
        f"{', '.join(topics)} {'FAILS' if len(topics) == 1 else 'FAIL'}: {why}"
        for why, topics in by_reason.items()
    ]
    return "; ".join(parts)


def _mark(side: str) -> str:
    return f"webhooks:{side}"
