"""The standing of a link: one object, the same in `status`, `sync`, `run` and the live view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from sqlalchemy import Engine

from cli.build import FLOW, SIDES, brands_of, wants_creates
from cli.looks import look_lines, looks_json
from cli.output import number, plural, when
from cli.places import at_place, system
from config.settings import Settings
from connectors.api.side import Side
from mappings.money import format_money
from sync.arrivals.missing import in_step_everywhere, one_sided
from sync.feeds import subscriptions
from sync.ledger import views
from sync.ledger.cards.pool import LOW_WATER
from sync.ledger.incoming.looks import Looks, looks
from sync.ledger.running import worker_runs
from sync.ledger.views import Status
from sync.reconcile.brakes import stopped_by


@dataclass(frozen=True)
class OneSided:
    """Cards that one side should have and lacks."""

    missing_on: str
    cards: int
    #: What is on them, in minor units.
    money_minor: int
    #: Whether giftsync can make them there; if not, what Flow does is not proved yet.
    can_be_made: bool

    def words(self, currency: str | None) -> str:
        money = f" ({format_money(self.money_minor, currency)})" if currency else ""
        there = " and ".join(at_place(side) for side in SIDES if side != self.missing_on)
        exist = "exists" if self.cards == 1 else "exist"
        why = (
            f"the next pass makes them {at_place(self.missing_on)}, or a conflict says why not"
            if self.can_be_made
            else f"{system(self.missing_on)} has not been proved to take a number (`giftsync doctor`)"
            if self.missing_on == FLOW
            else f"giftsync may not make cards {at_place(self.missing_on)} (`giftsync doctor`)"
        )
        return f"{plural(self.cards, 'card')}{money} {exist} {there} only: {why}"


@dataclass(frozen=True)
class StatusReport:
    """All of it at one moment."""

    counts: Status
    #: Cards that are the same on every side that they should be on.
    in_step: int
    one_sided: tuple[OneSided, ...]
    looks: Mapping[str, Looks]
    #: Why a brake keeps the link from writing; empty while it may.
    stopped_by: tuple[str, ...]
    webhooks: Mapping[str, str]
    worker_runs: bool

    @property
    def currency(self) -> str | None:
        """The link's, as its cards tell."""
        return next(iter(self.counts.balance_minor), None)

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
        parts = [words, *(one.words(self.currency) for one in self.one_sided)]
        waiting = sum(counts.conflicts.values())
        if waiting:
            parts.append(f"{plural(waiting, 'conflict')} waiting: `giftsync conflicts list`")
        return "; ".join(parts) + "."


def read_report(settings: Settings, engine: Engine, sides: Mapping[str, Side], now: datetime) -> StatusReport:
    """Read the ledger; the sides are asked for their abilities only, which costs no call."""
    brands, wanted = brands_of(settings), [side for side in sides if wants_creates(settings, side)]
    lacking = {side: one_sided(engine, side, brands) for side in wanted}
    return StatusReport(
        counts=views.status(engine, now),
        in_step=in_step_everywhere(engine, wanted, brands),
        one_sided=tuple(
            OneSided(side, found.cards, found.money_minor, sides[side].capabilities.creates)
            for side, found in lacking.items()
            if found.cards
        ),
        looks=looks(engine),
        stopped_by=tuple(stopped_by(engine)),
        webhooks={
            name: line for name in sides if (line := subscriptions.words(engine, name, settings.link.zone))
        },
        worker_runs=worker_runs(engine, now),
    )


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
        *((f"Missing {at_place(one.missing_on)}", one.words(report.currency)) for one in report.one_sided),
        ("Money on cards", money or "none"),
        ("Cards to work on", number(status.due)),
        ("Cards not matched yet", number(status.arrivals)),
        *((f"Left out: brand {b}", f"{number(n)} (excluded_brands)") for b, n in status.left_out.items()),
        ("Open intents", _counts(status.intents)),
        ("Open conflicts", _counts(status.conflicts) + at_stake),
        *((f"Numbers left for {side}", _pool(free)) for side, free in status.pool_free.items()),
        *((f"Last read: {side} {feed}", when(at, zone)) for (side, feed), at in sorted(status.feeds.items())),
        *look_lines(report.looks, settings, now),
        *((f"Webhooks of {side}", line) for side, line in report.webhooks.items()),
        ("Last run", _last_run(status, zone)),
    ]


def _counts(counts: Mapping[str, int]) -> str:
    words = (f"{number(count)} {name.replace('_', ' ')}" for name, count in sorted(counts.items()))
    return ", ".join(words) or "none"


def _pool(free: int) -> str:
    return f"{free} (running low: `giftsync pool add FILE`)" if free < LOW_WATER else number(free)


def _last_run(status: Status, zone: tzinfo) -> str:
    if status.last_run_at is None:
        return "never; `giftsync sync` makes one pass"
    return f"{when(status.last_run_at, zone)} ({status.last_run_outcome or 'under way, or cut short'})"


def report_json(report: StatusReport, settings: Settings) -> dict[str, object]:
    """The report as every command prints it with `--json`."""
    status = report.counts
    return {
        **{name: getattr(status, name) for name in status.__dataclass_fields__},
        "in_step": report.in_step,
        "one_sided": [{**vars(one), "words": one.words(report.currency)} for one in report.one_sided],
        "feeds": {f"{side}.{feed}": at for (side, feed), at in status.feeds.items()},
        "looks": looks_json(report.looks, settings),
        "stopped_by": report.stopped_by,
        "webhooks": report.webhooks,
        "worker_runs": report.worker_runs,
    }
