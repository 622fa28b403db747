"""`sync --dry-run`: a real pass over a copy of the ledger, with sides that are read and not written.

So a dry run shows what the same code would do, and reads all that it would read.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TypedDict

from cli.build import Ledger, build_worker, generation_file, ledger_exists, open_ledger, worker_options
from cli.output import ExitCode, Output, plural, rows, table
from cli.session import check_sides, opened_sides, report_closed
from cli.show import signed
from config.settings import Settings
from connectors.api.effect import Effect, EffectKind
from connectors.api.side import Side
from connectors.kit.rehearsal import RehearsedSide
from mappings.money import format_money
from mappings.serials import mask
from sync.ledger import views
from sync.ledger.database.engine import open_engine
from sync.ledger.database.generation import Generation, fall_behind
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.replica import replicate
from sync.ledger.secrets.vault import Vault, make_key
from sync.ledger.views import ConflictRow
from sync.worker.passes import PassReport, WorkerOptions


@dataclass(frozen=True)
class Asked:
    """A conflict that would be opened."""

    kind: str
    side: str | None
    #: The card's last characters on each side, masked.
    card: str
    amount_minor: int
    currency: str | None
    summary: str


@dataclass(frozen=True)
class Planned:
    """An effect that would follow. `amount_minor` is signed."""

    side: str
    card: str
    effect: str
    amount_minor: int
    currency: str
    status: str | None
    expires_on: date | None


@dataclass(frozen=True)
class Outcome:
    """All that would follow."""

    effects: list[Planned]
    #: Conflicts that would be new.
    asked: list[Asked]
    #: How many conflicts would be open, with those that are.
    waiting: int
    report: PassReport


class DryRunAnswer(TypedDict):
    """What would follow: `sync --dry-run` and `recover --preview`."""

    #: Always true.
    dry_run: bool
    #: What would be written to the sides.
    effects: list[Planned]
    #: How many conflicts would wait for a person.
    conflicts: int
    #: Those of them that are new.
    opened: list[Asked]
    report: PassReport


def dry_run(
    settings: Settings,
    output: Output,
    stop: threading.Event,
    *,
    doubt: str | None = None,
) -> int:
    """Print every effect that would follow; nothing is written to the sides or to the ledger.

    `doubt` says why the ledger is to count as one that may not be the newest.
    """
    outcome = rehearse(settings, stop, doubt)
    planned, asked, waiting, report = outcome.effects, outcome.asked, outcome.waiting, outcome.report
    if planned:
        output.show(_table(planned))
    output.say(f"A dry run: {plural(len(planned), 'effect')} would follow; nothing was written.")
    if asked:
        output.show(_conflicts_table(asked))
    if waiting:
        output.say(f"{plural(waiting, 'conflict')} would wait for a person, {len(asked)} of them new.")
    for error in report.errors:
        output.note(f"error: {error}")
    code = ExitCode.FAILED if report.errors or stop.is_set() else ExitCode.IN_STEP
    output.emit(
        "dry run",
        DryRunAnswer(dry_run=True, effects=planned, conflicts=waiting, opened=asked, report=report),
        code,
    )
    return code


def rehearse(settings: Settings, stop: threading.Event, doubt: str | None = None) -> Outcome:
    """What one pass with these settings would do: reads the sides, writes to a copy of the ledger."""
    with opened_sides(settings, stop) as sides, _scratch_ledger(settings) as ledger:
        rehearsed = {name: RehearsedSide(side) for name, side in sides.items()}
        known = views.newest_conflict(ledger.engine)
        report = _rehearse(settings, ledger, sides, rehearsed, stop, doubt or doubt_of(settings))
        waiting = list(views.list_conflicts(ledger.engine))
        asked = [_asked(ledger, conflict) for conflict in waiting if conflict.id > known]
    planned = [_planned(name, effect) for name, side in rehearsed.items() for effect in side.effects]
    return Outcome(planned, asked, len(waiting), report)


def _rehearse(
    settings: Settings,
    ledger: Ledger,
    sides: Mapping[str, Side],
    rehearsed: Mapping[str, Side],
    stop: threading.Event,
    doubt: str | None,
) -> PassReport:
    """One pass over the copy. What only reads is asked of the sides themselves."""
    # What waits for a quiet period in a real pass would wait here for nothing.
    options = WorkerOptions(threads=worker_options(settings).threads, wait_seconds_max=0.0)
    worker = build_worker(settings, ledger, rehearsed, report_closed, options)
    # A dry run is no run of the ledger, and answers nobody.
    worker.generation = worker.privacy = worker.notices = None
    if doubt is not None:
        # Nothing is sent, so what an older run has sent need not be waited for.
        since = worker.link.clock() - timedelta(seconds=worker.link.quiet_seconds)
        with ledger.engine.begin() as connection:
            fall_behind(connection, doubt, since)
    check_sides(worker)
    return worker.sync_once(stop=stop)


def _asked(ledger: Ledger, conflict: ConflictRow) -> Asked:
    card = None
    if conflict.card_id is not None:
        card = next(views.list_cards(ledger.engine, card_id=conflict.card_id), None)
    return Asked(
        conflict.kind,
        conflict.side,
        "" if card is None else " ".join(dict.fromkeys(mask(p.last_chars) for p in card.presences)),
        conflict.amount_minor,
        conflict.currency,
        conflict.summary,
    )


def _planned(side: str, effect: Effect) -> Planned:
    serial = effect.card.serial
    sign = -1 if effect.kind is EffectKind.DEBIT else 1
    return Planned(
        side,
        mask(serial.last_chars) if serial is not None else (effect.card.native_id or ""),
        effect.kind.value.replace("_", " "),
        sign * effect.amount_minor,
        effect.currency,
        effect.status.value if effect.status is not None else None,
        effect.expires_on,
    )


def _table(planned: Iterable[Planned]) -> object:
    made = table("Side", "Card", "Effect", "Amount", right=["Amount"])
    return rows(made, ((p.side, p.card, _words(p), signed(p.amount_minor, p.currency)) for p in planned))


def _conflicts_table(asked: Iterable[Asked]) -> object:
    made = table("Card", "Conflict", "At stake", "What would be asked", right=["At stake"])
    return rows(
        made,
        (
            (
                one.card,
                one.kind.replace("_", " "),
                format_money(one.amount_minor, one.currency) if one.amount_minor and one.currency else "",
                one.summary,
            )
            for one in asked
        ),
    )


def _words(planned: Planned) -> str:
    match planned.effect:
        case "set status":
            return f"set status to {planned.status}"
        case "set expiry":
            return f"set expiry to {planned.expires_on or 'never'}"
    return planned.effect


@contextmanager
def _scratch_ledger(settings: Settings) -> Iterator[Ledger]:
    """A copy of the ledger in a folder that only we can read, or an empty one where there is none yet."""
    with tempfile.TemporaryDirectory(prefix="giftsync-") as folder:
        path = Path(folder) / "copy.db"
        if ledger_exists(settings):
            with open_ledger(settings) as ledger:
                engine, vault = replicate(ledger.engine, path), ledger.vault
        else:
            engine, vault = open_engine(f"sqlite:///{path}"), Vault(make_key())
            upgrade(engine)
        try:
            yield Ledger(engine, vault)
        finally:
            engine.dispose()


def doubt_of(settings: Settings) -> str | None:
    """Why the ledger may not be the newest, if so."""
    if not ledger_exists(settings):
        return None
    with open_ledger(settings) as ledger:
        return Generation(ledger.engine, generation_file(settings, ledger.engine)).doubt()
