"""Is everything in step? The first page, and the part of it that updates itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import quantiles
from typing import Any

from starlette.responses import Response

from console.plots import lag_plot
from console.pulse import STALE, Picture
from console.visit import Page, Visit
from console.words import Words
from mappings.serials import mask
from sync.ledger.journeys import Journey
from sync.ledger.sides.outages import WRITING
from sync.support.cases import list_rows

JOURNEYS_SHOWN = 8
#: What was counted within so long of each other is of one moment for people.
TOGETHER = timedelta(seconds=5)
#: A side is read every few seconds; after so long people should know.
SILENT = timedelta(minutes=1)


@dataclass(frozen=True)
class Headline:
    """The answer in one sentence, and what it means for the eye: `well`, `wait` or `stop`."""

    mood: str
    words: str
    more: str = ""


@dataclass(frozen=True)
class Health:
    """How one side is, in words."""

    side: str
    name: str
    well: bool
    words: str
    todo: str


@dataclass(frozen=True)
class Moved:
    """A movement on its way, for one row."""

    at: datetime
    card_id: int
    ends_in: str
    amount_minor: int
    currency: str
    side: str
    #: Empty: nothing had to be written.
    to: tuple[str, ...]
    seconds: float | None


def headline(picture: Picture, words: Words, now: datetime, names: dict[str, str]) -> Headline:
    """What somebody wants to know first."""
    standing, counts = picture.standing, picture.standing.counts
    if standing.stopped_by:
        return Headline(
            "stop",
            words.text("The link has stopped."),
            f"{words.said(standing.stopped_by[0])} "
            + words.text("Nothing is written until somebody resumes it."),
        )
    if not standing.worker_runs:
        return Headline(
            "stop",
            words.text("giftsync does not run."),
            words.text("What happens in the store and online now is carried over when it runs again."),
        )
    if not counts.cards:
        return Headline(
            "wait",
            words.text("No cards yet."),
            words.text("They appear here as soon as every side was read."),
        )
    silent = silent_sides(picture, now)
    said = [
        words.text(
            "{side} has not answered for {span}.", side=names.get(side, side), span=words.span(now - at)
        )
        for side, at in silent.items()
    ]
    if said:
        more = words.text("Payments there go on; the other sides see them when it answers.")
        return Headline("wait", " ".join(said), more)
    waiting = picture.waiting
    if waiting:
        line = words.texts("{count} conflict waits for you", "{count} conflicts wait for you", waiting)
        if counts.at_stake_minor and standing.currency:
            stake = words.money(counts.at_stake_minor, standing.currency)
            line += words.text(": {money} at stake", money=stake)
        return Headline("wait", f"{line}.", _in_step(picture, words))
    if standing.in_step == counts.cards:
        return Headline("well", _in_step(picture, words))
    return Headline(
        "well" if not standing.one_sided else "wait", _in_step(picture, words), _others(picture, words)
    )


def _in_step(picture: Picture, words: Words) -> str:
    cards, in_step = picture.standing.counts.cards, picture.standing.in_step
    if cards == in_step:
        return words.texts("The card is in step.", "All {count} cards are in step.", cards)
    return words.texts(
        "{in_step} of {count} card are in step.",
        "{in_step} of {count} cards are in step.",
        cards,
        in_step=words.number(in_step),
    )


def _others(picture: Picture, words: Words) -> str:
    lacking = sum(one.cards for one in picture.standing.one_sided)
    if lacking:
        return words.texts("{count} is on one side only.", "{count} are on one side only.", lacking)
    return words.text("The others are on their way.")


def silent_sides(picture: Picture, now: datetime) -> dict[str, datetime]:
    """Sides that were not read for too long, and since when."""
    newest: dict[str, datetime] = {}
    for (side, _), read_at in picture.standing.counts.feeds.items():
        newest[side] = max(read_at, newest.get(side, read_at))
    return {side: at for side, at in sorted(newest.items()) if now - at > SILENT}


def healths(picture: Picture, words: Words, now: datetime, names: dict[str, str]) -> list[Health]:
    """One line for each side, with what to do."""
    newest: dict[str, datetime] = {}
    for (side, _), read_at in picture.standing.counts.feeds.items():
        newest[side] = max(read_at, newest.get(side, read_at))
    found, outages = [], {one.side: one for one in picture.standing.outages}
    for side, name in names.items():
        at: datetime | None = newest.get(side)
        outage = outages.get(side)
        if outage is not None:
            # Feeds may still be read while the side takes no changes.
            span, why = words.span(now - outage.since), words.said(outage.reason).rstrip(".")
            said = (
                words.text("takes no changes for {span}: {why}.", span=span, why=why)
                if set(outage.tasks) == {WRITING}
                else words.text("no answer for {span}: {why}.", span=span, why=why)
            )
            todo = outage.remedy or words.text("giftsync asks again by itself; nothing is lost meanwhile.")
            found.append(Health(side, name, False, said, todo))
        elif at is None:
            found.append(Health(side, name, False, words.text("not read yet"), ""))
        elif now - at > SILENT:
            todo = words.text(
                "giftsync goes on by itself when it answers. Run giftsync doctor to see why it does not."
            )
            said = words.text("no answer for {span}", span=words.span(now - at))
            found.append(Health(side, name, False, said, todo))
        else:
            said = words.text("answers; read {span} ago", span=words.span(now - at))
            found.append(Health(side, name, True, said, ""))
    return found


def lag_words(picture: Picture, words: Words) -> str:
    """How long movements took to the other side."""
    lags = [seconds for _, seconds in picture.lags]
    if not lags:
        return words.text("No movement was carried yet.")
    cuts = quantiles(lags if len(lags) > 1 else lags * 2, n=20, method="inclusive")
    return words.text(
        "Half within {half}, 95 % within {most}.", half=words.seconds(cuts[9]), most=words.seconds(cuts[18])
    )


def redeemed(picture: Picture) -> dict[str, tuple[int, int]]:
    """Of the last day, by side: how often cards were paid with, and how much."""
    found: dict[str, tuple[int, int]] = {}
    for one in picture.journeys:
        if one.amount_minor < 0:
            count, minor = found.get(one.side, (0, 0))
            found[one.side] = (count + 1, minor - one.amount_minor)
    return dict(sorted(found.items()))


def _moved(one: Journey) -> Moved:
    to = tuple(carried.side for carried in one.carried)
    ends = mask(one.last_chars) if one.last_chars else ""
    return Moved(one.at, one.card_id, ends, one.amount_minor, one.currency, one.side, to, one.seconds)


def _context(visit: Visit) -> dict[str, Any]:
    picture, now, words = visit.console.pulse.picture(), visit.now, visit.words
    names = {side: place.name for side, place in visit.console.places.items()}
    recent = [seconds for at, seconds in picture.lags if now - at < timedelta(minutes=15)]
    return {
        "picture": picture,
        "head": headline(picture, words, now, names),
        "stale": now - picture.at > max(STALE, timedelta(seconds=30 * picture.seconds)),
        "older": picture.at - picture.totals.at > TOGETHER,
        "healths": healths(picture, words, now, names),
        "lag": lag_words(picture, words),
        "lag_now": words.seconds(sorted(recent)[len(recent) // 2]) if recent else "–",
        "plot": lag_plot(picture.lags, now, words),
        "redeemed": redeemed(picture),
        "moved": [_moved(one) for one in picture.journeys[:JOURNEYS_SHOWN]],
        "listed": list_rows(visit.link, picture.conflicts),
        "now": now,
    }


def show(visit: Visit) -> Response:
    return visit.render("overview.html", **_context(visit))


def fragment(visit: Visit) -> str:
    """The part of the page that is live."""
    return bytes(visit.render("overview_live.html", **_context(visit)).body).decode()


PAGES = (Page("/", show),)
