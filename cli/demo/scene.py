"""Sets the scene: the sandbox, its settings, a ledger, a pool, and the opening."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from cli.build import Ledger, build_worker, now, open_ledger
from cli.console import served_console
from cli.demo.control import Control
from cli.demo.director import Director
from cli.demo.people import Stage
from cli.demo.tally import OPENING, Entry, Tally
from cli.demo.thread import sandbox_thread
from cli.demo.truth import read_truth
from cli.demo.venue import Trial, Venue, emulated_venues, trial_venue
from cli.demo.view import Show
from cli.demo.wallet import Wallet
from cli.demo.watch import Watch
from cli.emulators import SIDES_DEFAULT, Address, SandboxOptions, side_name
from cli.errors import OperatorError
from cli.output import Output
from cli.sandbox_config import DEMO_PACE, sandbox_toml
from cli.session import check_sides, opened_sides, report_closed
from config.load import load
from config.settings import Settings
from mappings.serials import Serial
from sandbox.registry import emulated, is_emulated
from sync.ledger.database.engine import only_worker
from sync.ledger.database.private_files import make_private_folder, open_private
from sync.ledger.hub.tokens import CALLS_PER_MINUTE, ApiTokens
from sync.reconcile.cvcs import LentCvcs
from sync.worker.service import Service

CURRENCY = "NOK"
CONFIG_NAME = "giftsync.toml"
#: Cards that people buy online beyond the seeded ones: the pool has a few numbers for them, then the prefix.
POOL_SPARE = 50
#: On every emulated side, as probabilities of every call.
FAULTS = (
    {"match": "", "kind": "drop_response", "probability": 0.10},
    {"match": "", "kind": "error_500", "probability": 0.05},
    {"match": "", "kind": "throttle", "probability": 0.03},
)


@dataclass(frozen=True)
class DemoOptions:
    """What the demo can be asked for."""

    #: How long the people act; None: until stopped.
    duration_seconds: float | None
    #: Cards that are there when it begins, as many on each side.
    cards: int
    faults: bool
    seed: int
    #: Where settings, key and ledger stay; None: they go away with the demo.
    keep: Path | None = None
    #: See `link.quiet_seconds`.
    quiet_seconds: float = 60.0
    #: Types: of the sandbox, or of connectors with a stand-in.
    sides: tuple[str, ...] = SIDES_DEFAULT


@contextmanager
def scene(options: DemoOptions, show: Show, stop: threading.Event, output: Output) -> Iterator[Director]:
    """Everything that a performance needs."""
    kinds = tuple(kind for kind in options.sides if is_emulated(kind))
    sandbox = SandboxOptions(
        sides=kinds,
        seed=options.seed,
        cards=shares(options.cards, kinds),
        # The standard plan's points would make the demo one of waiting for points.
        plan="plus",
        currency=CURRENCY,
    )
    with ExitStack() as stack:
        folder = stack.enter_context(_folder(options.keep))
        address = stack.enter_context(sandbox_thread(sandbox))
        trials = [
            stack.enter_context(trial_venue(kind, CURRENCY))
            for kind in options.sides
            if not is_emulated(kind)
        ]
        venues = (*emulated_venues(address, CURRENCY), *(trial.venue for trial in trials))
        settings = _settings(address, Path(folder), options.quiet_seconds, trials)
        cvcs = LentCvcs()
        with opened_sides(settings, None, cvcs.of) as sides, open_ledger(settings) as ledger:
            worker = build_worker(settings, ledger, sides, report_closed, cvcs=cvcs)
            check_sides(worker)
            service = Service(worker)
            fill_pools(address, ledger, options.cards + POOL_SPARE)
            stage = make_stage(venues, ledger)
            if options.faults:
                for venue in venues:
                    venue.calls.fail(FAULTS, options.seed)
            with (
                only_worker(ledger.engine),
                served_console(settings, service, ledger, output, Path(folder) / CONFIG_NAME) as console,
            ):
                _offer_api(ledger, console, output)
                yield Director(service, ledger, stage, CURRENCY, options.seed, show, stop)


def _offer_api(ledger: Ledger, address: str | None, output: Output) -> None:
    """A token for whoever wants to try the API while the demo runs."""
    if address is None:
        return
    _, secret = ApiTokens(ledger.engine, ledger.vault).add(
        "demo", ["validate", "redeem", "reverse", "read"], (), CALLS_PER_MINUTE, now()
    )
    output.note(f"Try it: `curl -H 'Authorization: Bearer {secret}' {address}/api/v1/redemptions`")


def _folder(keep: Path | None) -> AbstractContextManager[str]:
    if keep is None:
        return tempfile.TemporaryDirectory(prefix="giftsync-demo-")
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise OperatorError(f"{keep} is not an empty folder", "Name one that is empty or does not exist.")
    make_private_folder(keep)
    return nullcontext(str(keep))


def _settings(address: Address, folder: Path, quiet_seconds: float, trials: Sequence[Trial]) -> Settings:
    """The same settings that `sandbox config` writes, but for the pace."""
    path = folder / CONFIG_NAME
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8") as file:
        more = {trial.venue.side: trial.settings for trial in trials}
        file.write(sandbox_toml(address, replace(DEMO_PACE, quiet_seconds=quiet_seconds), more))
    return load(path)


def shares(cards: int, kinds: Sequence[str]) -> dict[str, int]:
    """As many cards for each that tells of its sales; what is left over goes to the first."""
    telling = [kind for kind in kinds if emulated(kind).tells_sales]
    each = cards // len(telling) if telling else 0
    return {kind: cards - each * (len(telling) - 1) if kind == telling[0] else each for kind in telling}


def fill_pools(address: Address, ledger: Ledger, count: int) -> None:
    """Numbers for cards that are bought elsewhere, on each side that makes them beforehand."""
    for kind in address.sides:
        if emulated(kind).pool_call:
            made = Control(address.url(kind), CURRENCY).call(emulated(kind).pool_call, count=count)
            ledger.pool.add(side_name(kind), (Serial(card["number"]) for card in made["cards"]))


def make_stage(venues: tuple[Venue, ...], ledger: Ledger) -> Stage:
    """What people share who begin with the cards as they are."""
    calls = {venue.side: venue.calls for venue in venues}
    wallet, watch_from = Wallet(), time.monotonic
    watch = Watch(calls, ledger.engine, wallet, watch_from)
    stage = Stage(venues, CURRENCY, wallet, Tally(), watch)
    lines = dict.fromkeys(Entry.of(act) for venue in venues for act in stage.acts(venue))
    stage.tally.entries = (OPENING, *lines)
    truth = read_truth(calls)
    stage.tally.add(OPENING, sum(truth.totals_minor.values()), len(truth.groups))
    return stage
