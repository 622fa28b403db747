"""Which tests run which lines, and how long each takes: measured once, then kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from coverage import Coverage

from tests.mutation.changes import MUTATED, ROOT, Mutant

KEPT = ROOT / "var"


@dataclass
class Reach:
    """What was measured of the tests."""

    #: Seconds of each test that passed.
    seconds: dict[str, float] = field(default_factory=dict)
    #: By "path:line", the tests that run it.
    tests: dict[str, set[str]] = field(default_factory=dict)

    def of(self, mutant: Mutant) -> list[str]:
        """The tests that can see the change, the quickest first."""
        found: set[str] = set()
        for line in mutant.lines:
            found |= self.tests.get(f"{mutant.path}:{line}", set())
        return sorted(found & self.seconds.keys(), key=lambda test: (self.seconds[test], test))

    def forget(self, tests: set[str]) -> None:
        for test in tests:
            self.seconds.pop(test, None)
        for known in self.tests.values():
            known -= tests


def load(items: Sequence[pytest.Item]) -> tuple[Reach, list[pytest.Item]]:
    """What is known, and the tests to be measured: new ones, and those of changed files."""
    reach, kept = Reach(), {}
    if _file(items).exists():
        kept = json.loads(_file(items).read_text())
        if kept["source"] != _digest([ROOT / path for path in MUTATED]):
            kept = {}
    if kept:
        reach.seconds = kept["seconds"]
        reach.tests = {place: {kept["names"][i] for i in tests} for place, tests in kept["tests"].items()}
    files = {str(item.path): item.path for item in items}
    changed = {name for name, path in files.items() if kept.get("files", {}).get(name) != _digest([path])}
    wanted = [item for item in items if str(item.path) in changed or item.nodeid not in kept["tried"]]
    reach.forget({item.nodeid for item in wanted})
    return reach, wanted


def measure(reach: Reach, wanted: Sequence[pytest.Item]) -> None:
    """Run these tests, watching the mutated modules."""
    coverage = Coverage(data_file=None, include=[str(ROOT / path) for path in MUTATED], config_file=False)
    coverage.start()
    passed = Passed()
    wanted[0].config.pluginmanager.register(passed)
    for item, following in zip(wanted, [*wanted[1:], None], strict=True):
        coverage.switch_context(item.nodeid)
        began, passed.yes = time.perf_counter(), True
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if passed.yes:
            reach.seconds[item.nodeid] = round(time.perf_counter() - began, 4)
    coverage.stop()
    data = coverage.get_data()
    for path in MUTATED:
        for line, tests in data.contexts_by_lineno(str(ROOT / path)).items():
            reach.tests.setdefault(f"{path}:{line}", set()).update(tests)


def save(reach: Reach, items: Sequence[pytest.Item], untried: set[str]) -> None:
    names = sorted(reach.seconds)
    number = {name: i for i, name in enumerate(names)}
    kept = {
        "source": _digest([ROOT / path for path in MUTATED]),
        "files": {str(item.path): _digest([item.path]) for item in items},
        "tried": [item.nodeid for item in items if item.nodeid not in untried],
        "seconds": reach.seconds,
        "names": names,
        "tests": {p: sorted(number[t] for t in tests if t in number) for p, tests in reach.tests.items()},
    }
    KEPT.mkdir(exist_ok=True)
    _file(items).write_text(json.dumps(kept))


def _file(items: Sequence[pytest.Item]) -> Path:
    """Another choice of tests is measured by itself."""
    places = ",".join(sorted({str(item.path.parent) for item in items}))
    return KEPT / f"mutation-{hashlib.sha256(places.encode()).hexdigest()[:8]}.json"


class Passed:
    """Whether the test that runs has passed so far."""

    yes = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.yes = self.yes and not report.failed


def _digest(paths: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
