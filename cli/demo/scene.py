"""Sets the scene: the sandbox, its settings, a ledger, a pool, and the opening."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from cli.build import FLOW, Ledger, build_worker, open_ledger
from cli.demo.control import Control
from cli.demo.director import Director
from cli.demo.people import Stage
from cli.demo.tally import Entry, Tally
from cli.demo.thread import sandbox_thread
from cli.demo.truth import read_truth
from cli.demo.view import Show
from cli.demo.wallet import Wallet
from cli.demo.watch import Watch
from cli.emulators import Address, SandboxOptions
from cli.errors import OperatorError
from cli.sandbox_config import DEMO_PACE, sandbox_toml
from cli.session import check_sides, opened_sides, report_closed
from config.load import load
from config.settings import Settings
from mappings.money import currency_exponent
from mappings.serials import Serial
from sync.ledger.private_files import make_private_folder, open_private

CURRENCY = "NOK"
CONFIG_NAME = "giftsync.toml"
#: Cards that people buy online beyond the seeded ones: the pool has a few numbers for them, then the prefix.
POOL_SPARE = 50
#: On both sides, as probabilities of every call.
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
    #: Cards that are there when it begins, half of them in the store and half online.
    cards: int
    faults: bool
    seed: int
    #: Where settings, key and ledger stay; None: they go away with the demo.
    keep: Path | None = None


@contextmanager
def scene(options: DemoOptions, show: Show, stop: threading.Event) -> Iterator[Director]:
    """Everything that a performance needs."""
    sandbox = SandboxOptions(
        seed=options.seed,
        shopify_cards=options.cards // 2,
        flow_cards=options.cards - options.cards // 2,
        # The standard plan's points would make the demo one of waiting for points.
        plan="plus",
        currency=CURRENCY,
    )
    with _folder(options.keep) as folder, sandbox_thread(sandbox) as address:
        settings = _settings(address, Path(folder))
        flow, shopify = Control(address.flow_url, CURRENCY), Control(address.shopify_url, CURRENCY)
        with opened_sides(settings, stop=None) as sides, open_ledger(settings) as ledger:
            worker = build_worker(settings, ledger, sides, report_closed)
            check_sides(worker)
            _fill_pool(flow, ledger, sandbox.shopify_cards + POOL_SPARE)
            stage = _stage(flow, shopify, ledger)
            if options.faults:
                for side in (flow, shopify):
                    side.fail(FAULTS, options.seed)
            yield Director(worker, ledger, stage, CURRENCY, options.seed, show, stop)


def _folder(keep: Path | None) -> AbstractContextManager[str]:
    if keep is None:
        return tempfile.TemporaryDirectory(prefix="giftsync-demo-")
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise OperatorError(f"{keep} is not an empty folder", "Name one that is empty or does not exist.")
    make_private_folder(keep)
    return nullcontext(str(keep))


def _settings(address: Address, folder: Path) -> Settings:
    """The same settings that `sandbox config` writes, but for the pace."""
    path = folder / CONFIG_NAME
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8") as file:
        file.write(sandbox_toml(address, DEMO_PACE))
    return load(path)


def _fill_pool(flow: Control, ledger: Ledger, count: int) -> None:
    made = flow.call("pregenerate", count=count)
    ledger.pool.add(FLOW, (Serial(card["number"]) for card in made["cards"]))


def _stage(flow: Control, shopify: Control, ledger: Ledger) -> Stage:
    wallet, tally = Wallet(), Tally()
    truth = read_truth(flow, shopify, {})
    tally.add(Entry.OPENING, truth.flow_minor + truth.shopify_minor, len(truth.pairs))
    watch = Watch(flow, shopify, ledger.engine, wallet, time.monotonic)
    return Stage(shopify, flow, wallet, tally, watch, 10 ** currency_exponent(CURRENCY))
