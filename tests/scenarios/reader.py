"""Scenario files: plain text, read line by line.

Scenario: a name
About: what it shows
Runs: memory, sandbox
Given … / When … / Then … / And …
Conflict log:
  open overdraft 20.00 NOK: words
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent
#: Set to write the conflict logs that come out into the files, to be read and then committed.
#: One process only: two would write the same file.
WRITES_SWITCH = "TEST_WRITE_SCENARIOS"
WRITES = WRITES_SWITCH in os.environ and "PYTEST_XDIST_WORKER" not in os.environ
STEP_WORDS = ("Given ", "When ", "Then ", "And ")
NO_CONFLICTS = "(empty)"


@dataclass
class Scenario:
    """One scenario of a file."""

    name: str
    path: Path
    about: str = ""
    runs: tuple[str, ...] = ("memory",)
    steps: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.name


def scenarios_in(path: Path) -> list[Scenario]:
    found: list[Scenario] = []
    in_log = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        key, _, value = text.partition(": ")
        if not text or text.startswith("#"):
            continue
        if key == "Scenario":
            found.append(Scenario(value, path))
            in_log = False
        elif not found:
            raise AssertionError(f"{path.name}:{number}: a step before any scenario")
        elif in_log:
            found[-1].log.append(text)
        elif key == "About":
            found[-1].about = value
        elif key == "Runs":
            found[-1].runs = tuple(value.split(", "))
        elif text == "Conflict log:":
            in_log = True
        elif text.startswith(STEP_WORDS):
            found[-1].steps.append(text.partition(" ")[2])
        else:
            raise AssertionError(f"{path.name}:{number}: what is {text!r}?")
    return found


def all_scenarios() -> list[Scenario]:
    return [one for path in sorted(FOLDER.glob("*.txt")) for one in scenarios_in(path)]


def write_log(scenario: Scenario, lines: Sequence[str]) -> None:
    """Put the log that came out into the scenario's file, in place of the one there."""
    text = scenario.path.read_text(encoding="utf-8")
    head, mark, rest = text.partition(f"Scenario: {scenario.name}\n")
    body, more, after = rest.partition("\nScenario: ")
    body = body.partition("Conflict log:")[0].rstrip("\n")
    shown = "\n".join(f"  {line}" for line in lines)
    new = f"{head}{mark}{body}\nConflict log:\n{shown}\n{more}{after}"
    scenario.path.write_text(new, encoding="utf-8")
