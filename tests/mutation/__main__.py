"""Try one-line mutants of the protocol: `python -m tests.mutation --sample 150 --seed 1`.

Tests are collected once, in this process. For each mutant a fork of it puts the changed function in place and
runs the tests that run the changed line, the quickest first, until one fails.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.mutation import reach as reached
from tests.mutation import survivors
from tests.mutation.changes import MUTATED, Mutant, mutants_of

SELECTION = (
    "tests/unit/arrivals",
    "tests/unit/decisions",
    "tests/unit/reconcile",
    "tests/integration/arrivals",
    "tests/integration/authority/test_redemptions.py",
    "tests/integration/reconcile",
    "tests/integration/support/test_assign.py",
    "tests/integration/support/test_conflict_resolutions.py",
    "tests/integration/worker/test_worker.py",
    "tests/integration/worker/test_unreadable.py",
    "tests/integration/worker/test_waits.py",
    "tests/scenarios/test_scenarios.py",
    "tests/simulation/test_crashpoints.py",
    "tests/simulation/test_families.py",
    "tests/simulation/test_found.py",
    "tests/simulation/test_histories.py",
    "tests/simulation/test_restores.py",
)
#: Processes of their own, or a mutation of their own.
LEFT_OUT = "not postgres and not in_the_sandbox and not polling and not redemption_rates"
#: What is measured is kept after so many tests.
MEASURED_AT_ONCE = 100
#: What a mutant may take beyond the time of its tests.
GRACE_SECONDS = 20.0
MEMORY_BYTES = 4 * 2**30


@dataclass
class Trial:
    """Runs inside pytest, when it has collected and would begin."""

    mutants: Sequence[Mutant]
    processes: int
    budget_seconds: float
    #: By mutant: the test that caught it, or None.
    caught: dict[Mutant, str] = field(default_factory=dict)
    lived: list[Mutant] = field(default_factory=list)
    unreached: list[Mutant] = field(default_factory=list)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = session.items
        terminal = session.config.pluginmanager.getplugin("terminalreporter")
        session.config.pluginmanager.unregister(terminal)
        # What a whole run shares is made once, before any fork.
        warm = next((item for item in items if "sqlite" in item.name), items[-1])
        warm.config.hook.pytest_runtest_protocol(
            item=warm, nextitem=items[0] if items[0] is not warm else items[1]
        )
        self.reach = self._reach(items)
        self._try_all({item.nodeid: item for item in items})
        return True

    def _reach(self, items: Sequence[pytest.Item]) -> reached.Reach:
        known, wanted = reached.load(items)
        while wanted:
            print(f"{len(wanted):,} tests are still to be measured", flush=True)
            reader, child = _fork(partial(_measure, known, items, wanted))
            status = os.waitpid(child, 0)[1]
            os.close(reader)
            assert status == 0, "the tests could not be measured"
            known, wanted = reached.load(items)
        failing = len(items) - len(known.seconds)
        print(
            f"{len(known.seconds):,} tests in {sum(known.seconds.values()):.0f} s; {failing} do not pass",
            flush=True,
        )
        return known

    def _try_all(self, items: dict[str, pytest.Item]) -> None:
        waiting, running = list(self.mutants), dict[int, tuple[Mutant, int, float, list[str]]]()
        while waiting or running:
            while waiting and len(running) < self.processes:
                mutant = waiting.pop(0)
                tests = self._within_budget(mutant)
                if not tests:
                    self.unreached.append(mutant)
                    self._say("unreached", mutant, f"\n{mutant.told}\n")
                    continue
                reader, child = _fork(partial(_run, mutant, [items[name] for name in tests]))
                limit = GRACE_SECONDS + 5 * sum(self.reach.seconds[name] for name in tests)
                running[reader] = (mutant, child, time.monotonic() + limit, tests)
            if not running:
                break
            for reader in select.select(list(running), [], [], 0.5)[0]:
                mutant, child, _, tests = running.pop(reader)
                answer = os.read(reader, 16)
                os.close(reader)
                os.waitpid(child, 0)
                self._note(mutant, tests, int(answer) if answer else None)
            for reader, (mutant, child, until, _tests) in list(running.items()):
                if time.monotonic() > until:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    os.close(reader)
                    del running[reader]
                    self.caught[mutant] = "it does not end"
                    self._say("caught", mutant, "it does not end")

    def _within_budget(self, mutant: Mutant) -> list[str]:
        tests: list[str] = []
        left = self.budget_seconds
        for test in self.reach.of(mutant):
            left -= self.reach.seconds[test]
            if left < 0 and tests:
                break
            tests.append(test)
        return tests

    def _note(self, mutant: Mutant, tests: list[str], failed: int | None) -> None:
        if failed == -1:
            self.lived.append(mutant)
            self._say("lived", mutant, f"{len(tests)} tests\n{mutant.told}\n")
        else:
            self.caught[mutant] = "the process ends" if failed is None else tests[failed]
            self._say("caught", mutant, self.caught[mutant])

    def _say(self, what: str, mutant: Mutant, more: str) -> None:
        print(f"{what:<10}{mutant.name}  {more}", flush=True)


def _fork(work: Callable[[], int]) -> tuple[int, int]:
    """A copy of this process that does the work; its answer comes through the pipe."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return reader, child
    os.close(reader)
    errors = os.dup(2)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    try:
        os.write(writer, str(work()).encode())
        os._exit(0)
    except BaseException:  # noqa: BLE001
        os.write(errors, traceback.format_exc().encode())
        os._exit(1)


def _measure(known: reached.Reach, items: Sequence[pytest.Item], wanted: Sequence[pytest.Item]) -> int:
    some, later = wanted[:MEASURED_AT_ONCE], wanted[MEASURED_AT_ONCE:]
    reached.measure(known, some)
    reached.save(known, items, {item.nodeid for item in later})
    return 0


def _run(mutant: Mutant, items: Sequence[pytest.Item]) -> int:
    """The place of the first test that fails; -1 when none does."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    mutant.install()
    passed = reached.Passed()
    items[0].config.pluginmanager.register(passed)
    for place, item in enumerate(items):
        following = items[place + 1] if place + 1 < len(items) else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if not passed.yes:
            return place
    return -1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, help="so many, drawn by chance; all without it")
    parser.add_argument("--seed", type=int, default=1, help="draws the same ones again")
    parser.add_argument("--path", choices=MUTATED, action="append", help="only of this module")
    parser.add_argument("--function", help="only of functions whose name contains this")
    parser.add_argument("--tests", action="append", help="try them against these tests alone")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of tests for one mutant")
    options = parser.parse_args(arguments)
    everything = [mutant for path in options.path or MUTATED for mutant in mutants_of(path)]
    chosen = [mutant for mutant in everything if (options.function or "") in mutant.function]
    if options.sample is not None:
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    trial = Trial(chosen, options.processes, options.budget)
    began = time.monotonic()
    pytest.main(
        [
            "-q",
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
            "-m",
            "not slow",
            "-k",
            LEFT_OUT,
            *(options.tests or SELECTION),
        ],
        [trial],
    )
    known = survivors.explained()
    excused = [m for m in [*trial.lived, *trial.unreached] if m.told in known]
    left = [m for m in [*trial.lived, *trial.unreached] if m.told not in known]
    for mutant in left:
        print(f"\n{mutant.told}\n  line {mutant.line}{', no test reaches it' * (mutant in trial.unreached)}")
    tried = len(chosen) - len(excused)
    print(
        f"\n{len(chosen):,} of {len(everything):,} mutants in {time.monotonic() - began:.0f} s: "
        f"{len(trial.caught):,} caught, {len(left):,} not, {len(excused):,} explained; "
        f"{100 * len(trial.caught) / max(tried, 1):.1f} % of those that are not explained"
    )
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
