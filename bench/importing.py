"""The historical import: planning in flat memory, and creating at the rate that the shop allows.

    TEST_BENCH_PLANNED=1000000 python -m bench importing      # planning at full scale

Planning runs in a process of its own, so that its peak memory is its own. Creating runs against the emulator
in another process, with 100 ms before every answer. The bucket of the shop is empty when it starts; what is
measured is the share of the points that it gives out from the first create to the answer of the last one.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from connectors.api.effect import Applied, Effect, Save
from connectors.api.errors import SideError
from connectors.memory import MemorySide
from connectors.shopify import ShopifySide
from sync.importer.actions import ImportContext
from sync.importer.apply import Importer, Mode
from sync.importer.files import open_card_file
from sync.importer.numbers import Numbers
from sync.importer.plan import Planner
from sync.importer.planfile import choose_rows, write_plan
from sync.importer.progress import ImportProgress, StopSignal
from sync.ledger.cards.pool import Pool
from sync.ledger.cards.store import Store
from sync.ledger.database.engine import open_engine
from sync.ledger.database.migrations import upgrade
from sync.ledger.imports.rows import Import, Imports
from sync.ledger.incoming.intake import Intake
from sync.ledger.secrets.vault import KEY_BYTES, Vault
from sync.model import LinkRules, SideRules
from sync.reconcile.work import Link

PLANNED = int(os.environ.get("TEST_BENCH_PLANNED", "100000"))
#: Cards made on each plan: about half a minute at its rate.
LIVE = {"standard": 300, "plus": 4_000}
BULK = {"standard": 500, "plus": 3_000}
LATENCY_MS = 100
VDIRSYNCER = "vdirsyncer==0.21.0"
MEMORY_MIB_MAX = 300
RATE_SHARE_MIN = 0.97
#: How many times as fast as a pass of vdirsyncer.
PLANNING_RATIO_MIN = 2


def main() -> None:
    """Run all three; each line says what it is measured against."""
    _planning()
    for plan in LIVE:
        _live(plan)
    for plan in BULK:
        _bulk(plan)


# --- Planning -----------------------------------------------------------------------------------------------


def _planning() -> None:
    ours = _in_process("-m", "bench.importing", "plan", str(PLANNED))
    print(
        f"planning {PLANNED:,} cards: {PLANNED / ours['seconds']:,.0f} cards/s, peak memory "
        f"{ours['peak_kib'] / 1024:.0f} MiB (bound {MEMORY_MIB_MAX} MiB)"
    )
    try:
        theirs = vdirsyncer_pass(PLANNED)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"vdirsyncer could not be installed or run here: {type(error).__name__}")
        return
    ratio, cpu_ratio = (
        (PLANNED / ours[spent]) / (theirs["items"] / theirs[spent]) for spent in ("seconds", "cpu_seconds")
    )
    print(
        f"a plain vdirsyncer pass over {theirs['items']:,} items in memory: "
        f"{theirs['items'] / theirs['seconds']:,.0f} items/s, peak memory "
        f"{theirs['peak_kib'] / 1024:.0f} MiB; planning runs at {ratio:.2f} of its rate by the clock, "
        f"{cpu_ratio:.2f} by processor time (aim {PLANNING_RATIO_MIN})"
    )


def vdirsyncer_pass(count: int) -> dict[str, Any]:
    """Items, seconds and peak memory of a plain pass of vdirsyncer, in an environment of its own.

    Raises OSError or SubprocessError where it cannot be installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", VDIRSYNCER], check=True, capture_output=True)
        script = str(Path(__file__).with_name("vdirsyncer_pass.py"))
        done = subprocess.run([python, script, str(count)], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def plan_once(count: int) -> dict[str, Any]:
    """Plan a file of so many cards; for a process of its own."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        _write_cards(folder / "cards.csv", count)
        shop = _Shop(folder, MemorySide("shopify", _now))
        began, cpu_began = time.perf_counter(), time.process_time()
        shop.plan(folder / "cards.csv")
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def _write_cards(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("number;balance;brand;store;status;validTo\n")
        for number in range(count):
            amount = number * 37 % 90_000 + 100
            text = (
                f"{10**15 + number * 7919};{amount / 100:.2f};giftcard;Store {number % 9};ACTIVE;2031-05-17\n"
            )
            file.write(text)


# --- Creating -----------------------------------------------------------------------------------------------


def _live(plan: str) -> None:
    with emulator(plan, LATENCY_MS) as shopify, tempfile.TemporaryDirectory() as folder:
        timed = Timed(shopify)
        import_cards(Path(folder), timed, LIVE[plan], Mode.LIVE)
        pace = shopify.bulk.pace()
        given = timed.points_at_first + pace.restore_points_per_second * timed.seconds
        used = LIVE[plan] * pace.create_points
        share = used / given
        print(
            f"live on {plan}, {LATENCY_MS} ms: {LIVE[plan]} cards in {timed.seconds:.1f} s, "
            f"{share:.1%} of the points that the shop gave out (bound {RATE_SHARE_MIN:.0%})"
        )


def _bulk(plan: str) -> None:
    seconds = {}
    for mode in (Mode.LIVE, Mode.BULK):
        with emulator(plan, LATENCY_MS) as shopify, tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            import_cards(Path(folder), shopify, BULK[plan], mode)
            seconds[mode] = time.perf_counter() - began
    print(
        f"{BULK[plan]} cards on {plan}, {LATENCY_MS} ms: live {seconds[Mode.LIVE]:.1f} s, bulk "
        f"{seconds[Mode.BULK]:.1f} s; bulk is {seconds[Mode.LIVE] / seconds[Mode.BULK]:.1f} times as fast"
    )


def import_cards(folder: Path, shopify: ShopifySide, count: int, mode: Mode) -> None:
    _write_cards(folder / "cards.csv", count)
    shop = _Shop(folder, shopify)
    for number in range(count):
        shop.pos.sell(str(10**15 + number * 7919), number * 37 % 90_000 + 100)
    plan = shop.plan(folder / "cards.csv")
    if not shop.importer(plan, mode).apply(plan):
        raise SystemExit("the import was not finished")


class Timed(ShopifySide):
    """A side that remembers when its first create was sent and its last one answered."""

    def __init__(self, side: ShopifySide) -> None:
        self.__dict__.update(side.__dict__)
        self._first: float | None = None
        self._last = 0.0
        #: What the bucket held when the first create was sent.
        self.points_at_first = 0.0
        self._clock_lock = threading.Lock()

    @property
    def seconds(self) -> float:
        return self._last - (self._first or 0.0)

    def apply(self, effect: Effect, save: Save) -> Applied:
        with self._timing():
            return super().apply(effect, save)

    def create_pack(self, effects: Sequence[Effect]) -> list[Applied | SideError]:
        with self._timing():
            return super().create_pack(effects)

    @contextmanager
    def _timing(self) -> Iterator[None]:
        with self._clock_lock:
            if self._first is None:
                self._first = time.perf_counter()
                self.points_at_first = max(0.0, self.bulk.pace().available_points)
        try:
            yield
        finally:
            with self._clock_lock:
                self._last = time.perf_counter()


@dataclass
class _Shop:
    """A ledger and both sides; the store is in memory and answers at once."""

    folder: Path
    online: Any

    def __post_init__(self) -> None:
        self.engine = open_engine(f"sqlite:///{self.folder / 'ledger.db'}")
        upgrade(self.engine)
        self.vault = Vault(bytes(range(KEY_BYTES)))
        self.pos = MemorySide("flow", _now)
        rules = LinkRules({"flow": SideRules(), "shopify": SideRules()})
        zone = ZoneInfo("Europe/Oslo")
        sides = {"flow": self.pos, "shopify": self.online}
        self.link = Link(Store(self.engine, self.vault), sides, rules, _now, zone, "bench", "NOK")
        self.imports = Imports(self.engine, self.vault)
        self.context = ImportContext("flow", "shopify", rules, self.online.capabilities, "NOK", _now().date())

    def plan(self, path: Path) -> Import:
        planner = Planner(self.link, self.imports, self.context)
        made, _ = planner.plan([open_card_file(path, None)], None)
        write_plan(self.folder / "plan.csv", self.imports, made)
        choose_rows(self.folder / "plan.csv", self.imports, made)
        return made

    def importer(self, plan: Import, mode: Mode) -> Importer:
        numbers = Numbers(self.pos, Pool(self.engine, self.vault), "9900", _now)
        intake = Intake(self.engine, self.vault)
        return Importer(
            self.link,
            self.imports,
            intake,
            self.context,
            numbers,
            self.online.bulk,
            self.online.bulk,
            mode,
            progress=ImportProgress(),
            halt=StopSignal(),
        )


@contextmanager
def emulator(plan: str, latency_ms: int) -> Iterator[ShopifySide]:
    """The Shopify emulator in a process of its own."""
    command = [sys.executable, "-c", _SERVE, "--plan", plan, "--latency-ms", str(latency_ms)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stop = threading.Event()
    try:
        if process.stdout is None:
            raise SystemExit("the emulator has no output")
        ready = json.loads(process.stdout.readline())["shopify"]
        side = ShopifySide(
            shop=ready["shop"],
            token=ready["token"],
            base_url=ready["url"],
            pause=lambda s: _ignore(stop.wait(s)),
        )
        yield side
        side.close()
    finally:
        process.terminate()
        process.communicate()


#: The sandbox, but for its bucket, which is empty at first.
_SERVE = """
import sys
from cli.main import run
from sandbox.shopify import throttle
begin = throttle.Bucket.__post_init__
def empty(self):
    begin(self)
    self._points = 0.0
throttle.Bucket.__post_init__ = empty
sys.exit(run(["sandbox", "serve", *sys.argv[1:]]))
"""


def _ignore(_: object) -> None:
    return


def _in_process(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    if sys.argv[1:2] == ["plan"]:
        print(json.dumps(plan_once(int(sys.argv[2]))))
    else:
        main()
