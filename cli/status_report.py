"""The standing of a link: one object, the same in `status`, `sync`, `run` and the live view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, tzinfo
from typing import TypedDict

from sqlalchemy import Engine

from cli.build import brands_of, sharing, wants_creates
from cli.looks import Late, LooksAnswer, late_of, look_lines, looks_json
from cli.output import number, plural, when
from cli.places import Places
from config.settings import Settings
from connectors.api.side import Side
from mappings.money import format_money
from sync.ledger.cards.pool import LOW_WATER
from sync.ledger.proof.findings import money as money_of_row
from sync.ledger.views import Status
from sync.standing import OneSided, Standing, read_standing
from sync.support.outages import SideOutage


def one_sided_words(one: OneSided, places: Places, currency: str | None) -> str:
    """How many cards a side lacks, and why."""
    money = f" ({format_money(one.money_minor, currency)})" if currency else ""
    here = places.at(one.missing_on)
    others = [places.at(side) for side in places.by_side if side != one.missing_on]
    exist = "exists" if one.cards == 1 else "exist"
    # With one other side that is where they are; with more, it may be any of these.
    there = others[0] if len(others) == 1 else f"elsewhere and not {here}"
    why = (
        f"the next pass makes them {here}, or a conflict says why not"
        if one.can_be_made
        else f"{places.system(one.missing_on)} {one.why_not} (`giftsync doctor`)"
        if one.why_not
        else f"giftsync may not make cards {here} (`giftsync doctor`)"
    )
    if len(others) != 1:
        return f"{plural(one.cards, 'card')}{money} {exist} {there}: {why}"
    return f"{plural(one.cards, 'card')}{money} {exist} {there} only: {why}"


@dataclass(frozen=True)
class StatusReport(Standing):
    """The standing with its words for the terminal."""

    places: Places
    #: By side: how late its news may be, and within what time it is found all the same.
    late: Mapping[str, Late]

    @property
    def summary(self) -> str:
        """One sentence or two: what is in step, what is not and why, what waits for a person."""
        counts = self.counts
        if not counts.cards:
            return "The ledger has no cards yet."
        all_of_them = self.in_step == counts.cards
        words = (
            f"All {plural(counts.cards, 'card')} are in step"
            if all_of_them and counts.cards > 1
            else f"{number(self.in_step)} of {plural(counts.cards, 'card')} in step"
        )
        lacking = (one_sided_words(one, self.places, self.currency) for one in self.one_sided)
        parts = [words, *self._unverified(), *lacking]
        waiting = sum(counts.conflicts.values())
        if waiting:
            parts.append(f"{plural(waiting, 'conflict')} waiting: `giftsync conflicts list`")
        return "; ".join(parts) + "."

    def _unverified(self) -> Sequence[str]:
        count = self.counts.unverified
        are = "is" if count == 1 else "are"
        whose = "its rows in the ledger were" if count == 1 else "their rows in the ledger were"
        return [f"{plural(count, 'card')} {are} not verified, because {whose} changed"] if count else ()


def read_report(settings: Settings, engine: Engine, sides: Mapping[str, Side], now: datetime) -> StatusReport:
    """Read the ledger; the sides are asked for their abilities only, which costs no call."""
    wanted = [side for side in sides if wants_creates(settings, side)]
    zone = settings.link.zone
    found = read_standing(engine, sides, wanted, brands_of(settings), zone, now, sharing(settings))
    late = {name: late for name, side in sides.items() if (late := late_of(side)) is not None}
    known = {each.name: getattr(found, each.name) for each in fields(found)}
    return StatusReport(**known, places=Places.of(sides), late=late)


def report_lines(report: StatusReport, settings: Settings, now: datetime) -> list[tuple[str, str]]:
    """The report for people, one fact a line."""
    status, zone = report.counts, settings.link.zone
    money = ", ".join(format_money(minor, currency) for currency, minor in status.balance_minor.items())
    at_stake = (
        f"; {format_money(status.at_stake_minor, report.currency)} at stake"
        if status.at_stake_minor and report.currency
        else ""
    )
    return [
        ("Worker", "runs" if report.worker_runs else "does not run; `giftsync run` starts it"),
        ("Cards in step", f"{number(report.in_step)} of {number(status.cards)}"),
        *(
            (
                f"Missing {report.places.at(one.missing_on)}",
                one_sided_words(one, report.places, report.currency),
            )
            for one in report.one_sided
        ),
        *((f"Expiry dates on {side}", _own_dates(count)) for side, count in report.totals.own_dates.items()),
        ("Money on cards", money or "none"),
        *((("Not verified", _unverified(status)),) if status.unverified else ()),
        ("Cards to work on", number(status.due)),
        ("Cards not matched yet", number(status.arrivals)),
        *((f"Left out: brand {b}", f"{number(n)} (excluded_brands)") for b, n in status.left_out.items()),
        ("Open intents", _counts(status.intents)),
        ("Open conflicts", _counts(status.conflicts) + at_stake),
        *((f"Numbers left for {side}", _pool(free)) for side, free in status.pool_free.items()),
        *((f"Last read: {side} {feed}", when(at, zone)) for (side, feed), at in sorted(status.feeds.items())),
        *look_lines(report.looks, report.late, settings, now),
        *((f"Webhooks of {side}", line) for side, line in report.webhooks.items()),
        ("Last run", _last_run(status, zone)),
    ]


def _own_dates(count: int) -> str:
    have, they = ("has", "it counts") if count == 1 else ("have", "they count")
    why = f"giftsync sets none there, so {they} as in step"
    return f"{plural(count, 'card')} {have} another date there, or none; {why}"


def _unverified(status: Status) -> str:
    said = " and ".join(money_of_row(minor, code) for code, minor in status.unverified_minor.items())
    return f"{plural(status.unverified, 'card')}, whose changed rows say {said}; not in the money on cards"


def _counts(counts: Mapping[str, int]) -> str:
    words = (f"{number(count)} {name.replace('_', ' ')}" for name, count in sorted(counts.items()))
    return ", ".join(words) or "none"


def _pool(free: int) -> str:
    return f"{free} (running low: `giftsync pool add FILE`)" if free < LOW_WATER else number(free)


def _last_run(status: Status, zone: tzinfo) -> str:
    if status.last_run_at is None:
        return "never; `giftsync sync` makes one pass"
    return f"{when(status.last_run_at, zone)} ({status.last_run_outcome or 'under way, or cut short'})"


class OneSidedAnswer(TypedDict):
    """Cards that one side should have and lacks."""

    missing_on: str
    cards: int
    money_minor: int
    #: Whether giftsync can make them there.
    can_be_made: bool
    #: Why not; may be empty.
    why_not: str
    words: str


class StatusAnswer(TypedDict):
    """The standing of a link. Amounts in minor units."""

    cards: int
    #: Cards that are the same on every side that they should be on.
    in_step: int
    #: By side on which giftsync sets no expiry date: the cards that have another date there, or none. That
    #: alone keeps none of them from being in step.
    own_dates: Mapping[str, int]
    #: Cards to work on now.
    due: int
    #: Cards that are not matched yet.
    arrivals: int
    #: Cards of excluded brands, by brand.
    left_out: Mapping[str, int]
    #: The sum of all cards that are verified, by currency.
    balance_minor: Mapping[str, int]
    #: Cards whose rows in the ledger somebody changed; neither in step nor in `balance_minor`.
    unverified: int
    #: What these rows say, by currency.
    unverified_minor: Mapping[str, int]
    #: Open intents, by state.
    intents: Mapping[str, int]
    #: Open conflicts, by kind.
    conflicts: Mapping[str, int]
    at_stake_minor: int
    #: Free numbers, by side.
    pool_free: Mapping[str, int]
    #: When each feed was last read, by `side.feed`.
    feeds: Mapping[str, datetime]
    last_run_at: datetime | None
    #: `done` or `failed`; null: under way, or cut short.
    last_run_outcome: str | None
    one_sided: list[OneSidedAnswer]
    looks: Mapping[str, LooksAnswer]
    #: Why a brake keeps the link from writing; empty while it may.
    stopped_by: tuple[str, ...]
    #: Sides that do not answer.
    outages: tuple[SideOutage, ...]
    #: How webhooks come in, in words, by side.
    webhooks: Mapping[str, str]
    worker_runs: bool


def report_json(report: StatusReport, settings: Settings) -> StatusAnswer:
    """The report as every command prints it with `--json`."""
    counts = report.counts
    return StatusAnswer(
        cards=counts.cards,
        in_step=report.in_step,
        own_dates=report.totals.own_dates,
        due=counts.due,
        arrivals=counts.arrivals,
        left_out=counts.left_out,
        balance_minor=counts.balance_minor,
        unverified=counts.unverified,
        unverified_minor=counts.unverified_minor,
        intents=counts.intents,
        conflicts=counts.conflicts,
        at_stake_minor=counts.at_stake_minor,
        pool_free=counts.pool_free,
        feeds={f"{side}.{feed}": at for (side, feed), at in counts.feeds.items()},
        last_run_at=counts.last_run_at,
        last_run_outcome=counts.last_run_outcome,
        one_sided=[
            OneSidedAnswer(
                missing_on=one.missing_on,
                cards=one.cards,
                money_minor=one.money_minor,
                can_be_made=one.can_be_made,
                why_not=one.why_not,
                words=one_sided_words(one, report.places, report.currency),
            )
            for one in report.one_sided
        ],
        looks=looks_json(report.looks, report.late, settings),
        stopped_by=report.stopped_by,
        outages=report.outages,
        webhooks=report.webhooks,
        worker_runs=report.worker_runs,
    )
