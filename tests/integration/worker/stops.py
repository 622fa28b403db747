"""Stops `giftsync run` in every way: `python -m tests.integration.worker.stops TIMES AT-ONCE SECONDS`.

Each try starts a worker on a sandbox under traffic and sends it SIGTERM at a random moment. It must have
ended within `STOP_SECONDS_MAX`, and the next one must find a ledger that it can work with.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import requests

from cli.demo.control import Control, Refused
from cli.emulators import Address
from cli.sandbox_config import Pace, parse_ready_line, sandbox_values
from config.template import render_toml

STOP_SECONDS_MAX = 10.0
READY_SECONDS_MAX = 300.0
#: About what a start takes on a busy machine.
START_SECONDS = 8.0
GIFTSYNC = (sys.executable, "-c", "from cli.main import main; main()")


class When(StrEnum):
    """What the worker is doing when it is told to stop."""

    WORK = "work"
    #: At any moment from its first instruction to its first work.
    START = "start-up"
    #: Both sides take calls and answer none.
    HUNG = "a hung call"
    #: The sides answer none from before the start.
    HUNG_START = "a hung call at the start"
    #: A second signal while it drains.
    TWICE = "twice"


@dataclass
class Result:
    when: When
    seconds: float
    code: int


@dataclass
class Trial:
    """A sandbox in a process of its own, which can be halted, and a folder for the ledger."""

    sandbox: subprocess.Popen[str]
    address: Address
    folder: Path
    seed: int
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        values = {
            **sandbox_values(self.address, Pace(quiet_seconds=0, poll_seconds=0.5)),
            ("console", "port"): 0,
        }
        self.config.write_text(render_toml(values), encoding="utf-8")

    @property
    def config(self) -> Path:
        return self.folder / "giftsync.toml"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def try_once(self, when: When) -> Result:
        self.log.write_text("")
        with self.log.open("a") as log:
            if when is When.HUNG_START:
                self.sandbox.send_signal(signal.SIGSTOP)
            command = [*GIFTSYNC, "run", "--json", "--config", str(self.config)]
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                return self._stop(process, when)
            finally:
                self.sandbox.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()

    def _stop(self, process: subprocess.Popen[bytes], when: When) -> Result:
        pause = threading.Event().wait
        if when in (When.START, When.HUNG_START):
            pause(self.random.uniform(0.0, START_SECONDS))
        else:
            self._await_work(process)
            pause(self.random.uniform(0.0, 1.0))
        if when is When.HUNG:
            self.sandbox.send_signal(signal.SIGSTOP)
            pause(self.random.uniform(0.2, 2.0))
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        if when is When.TWICE:
            pause(self.random.uniform(0.0, 0.3))
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS_MAX * 3)
        return Result(when, time.monotonic() - began, process.poll() if process.poll() is not None else -999)  # type: ignore[arg-type]

    def _await_work(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + READY_SECONDS_MAX
        while "Working; Ctrl-C stops." not in self.log.read_text():
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, "it did not begin to work"
            threading.Event().wait(0.05)

    def traffic(self, stop: threading.Event) -> None:
        """A cashier who sells and takes payment, and retries while the sandbox is halted."""
        flow = Control(self.address.flow_url, "NOK")
        while not stop.wait(0.1):
            with contextlib.suppress(Refused, requests.RequestException):
                number = flow.move("sell", 10_000)["number"]
                flow.move("redeem", 100, number=number)


@contextmanager
def bench(seed: int) -> Iterator[Trial]:
    options = json.dumps({"plan": "plus", "seed": seed})
    command = [sys.executable, "-m", "tests.scenarios.sandbox_process", options]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sandbox,
    ):
        stop = threading.Event()
        try:
            assert sandbox.stdout is not None
            address = parse_ready_line(sandbox.stdout.readline())
            made = Trial(sandbox, address, Path(folder), seed)
            cashier = threading.Thread(target=made.traffic, args=(stop,), daemon=True)
            cashier.start()
            yield made
        finally:
            stop.set()
            sandbox.send_signal(signal.SIGCONT)
            sandbox.kill()


def main(times: int, at_once: int = 3, seconds: float = float("inf")) -> int:
    """Make so many tries, some at once, so that the machine is busy; print the count and the worst time.

    No try begins after so many seconds; at least one of each kind has to be made.
    """
    results: list[Result] = []
    lock = threading.Lock()
    left = iter(range(times))
    end = time.monotonic() + seconds

    def work(seed: int) -> None:
        with bench(seed) as made:
            while time.monotonic() < end:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                result = made.try_once(list(When)[number % len(When)])
                with lock:
                    results.append(result)
                if result.seconds > STOP_SECONDS_MAX or result.code not in (0, 2, 130, -signal.SIGTERM):
                    print(f"LATE OR WRONG: {result}\n{made.log.read_text()[-3000:]}", flush=True)

    with ThreadPoolExecutor(at_once) as pool:
        benches = [pool.submit(work, seed) for seed in range(at_once)]
    late = sum(one.seconds > STOP_SECONDS_MAX for one in results)
    for when in When:
        mine = [one for one in results if one.when is when]
        codes = {code: sum(one.code == code for one in mine) for code in sorted({one.code for one in mine})}
        worst = max((one.seconds for one in mine), default=0.0)
        print(f"{when}: {len(mine)} tries, worst {worst:.1f} s, exit codes {codes}")
    print(f"{len(results)} tries, {late} above {STOP_SECONDS_MAX:g} s; {os.cpu_count()} cores")
    for one in benches:
        one.result()
    return int(late > 0 or {one.when for one in results} != set(When))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *map(int, sys.argv[2:])))
