"""The list of mutants that no test has to catch, each with why (`survivors.txt`)."""

from __future__ import annotations

from pathlib import Path

from tests.mutation.changes import Mutant

LIST = Path(__file__).with_name("survivors.txt")


def explained() -> dict[str, str]:
    """Why a mutant does not matter, by what is told of it."""
    found = {}
    for paragraph in LIST.read_text().split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line and not line.startswith("#")]
        if lines:
            change = [line for line in lines if not line.startswith("  ")]
            found["\n".join(change)] = " ".join(line.strip() for line in lines if line.startswith("  "))
    return found


def stale(mutants: list[Mutant]) -> list[str]:
    """Entries whose change cannot be made any more."""
    told = {mutant.told for mutant in mutants}
    return [change for change in explained() if change not in told]
