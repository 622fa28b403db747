"""What an outage means, in words: which side, since when, why, and for how long it is asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from connectors.api.side import Side
from sync.ledger.sides.outages import WRITING, Outage, OutageKind, by_side

_SAYS = {
    OutageKind.SILENT: "does not answer",
    OutageKind.THROTTLED: "asks for patience",
    OutageKind.CLOSED: "lets giftsync do nothing",
}
_SAYS_TO_WRITES = {
    OutageKind.SILENT: "takes no changes",
    OutageKind.THROTTLED: "takes no changes for now",
    OutageKind.CLOSED: "takes no changes from giftsync",
}


@dataclass(frozen=True)
class SideOutage:
    """A side that does not answer, or to some tasks."""

    side: str
    since: datetime
    #: When it was asked last, to the minute.
    asked_at: datetime
    #: Why, as the side's connector says it.
    reason: str
    #: What a person has to do; empty where it may pass by itself.
    remedy: str
    #: What was asked for, such as `writing`.
    tasks: tuple[str, ...]
    #: All of it in sentences.
    words: str


def side_outages(
    found: Sequence[Outage], sides: Mapping[str, Side], zone: tzinfo, now: datetime, *, asked: bool
) -> tuple[SideOutage, ...]:
    """What there is to say of each side with an outage. `asked` tells whether a worker asks it again."""
    return tuple(
        _of_side(name, of_it, sides, zone, now, asked=asked) for name, of_it in by_side(found).items()
    )


def _of_side(
    name: str, found: Sequence[Outage], sides: Mapping[str, Side], zone: tzinfo, now: datetime, *, asked: bool
) -> SideOutage:
    newest = max(found, key=lambda one: one.asked_at)
    place = sides[name].abilities.place if name in sides else None
    return SideOutage(
        name,
        min(one.since for one in found),
        newest.asked_at,
        newest.reason,
        newest.remedy,
        tuple(one.task for one in found),
        outage_words(name if place is None else place.name, found, zone, now, asked=asked),
    )


def outage_words(system: str, found: Sequence[Outage], zone: tzinfo, now: datetime, *, asked: bool) -> str:
    """Two or three sentences about the outages of one side. `asked` tells whether a worker asks it again."""
    oldest, newest = min(found, key=lambda one: one.since), max(found, key=lambda one: one.asked_at)
    only_writes = all(one.task == WRITING for one in found)
    says = (_SAYS_TO_WRITES if only_writes else _SAYS)[newest.kind]
    since = oldest.since.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")
    age = span_words(now - oldest.since)
    reason = newest.reason.rstrip(".")
    parts = [f"{system} {says} since {since} ({age}): {reason}.", newest.remedy]
    return " ".join(filter(None, [*parts, _again(newest, asked=asked)]))


def _again(outage: Outage, *, asked: bool) -> str:
    if not asked:
        return "Nobody asks now: `giftsync run` asks until it answers, `giftsync sync` once."
    often = "at least once a minute" if outage.task == WRITING else "every few seconds"
    return f"The worker asks again {often} until it works; nothing is lost meanwhile."


def span_words(span: timedelta) -> str:
    """`4 minutes`: how long something has lasted, rounded down."""
    seconds = max(0, int(span.total_seconds()))
    for size, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
    return f"{seconds} s"
