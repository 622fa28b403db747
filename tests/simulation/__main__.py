"""Try every schedule and say how many there were: `python -m tests.simulation --help`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence

from tests.simulation.explore import Report
from tests.simulation.families import BOUNDED, FULL, explore_family
from tests.simulation.mutants import MUTANTS, smallest_counter_example

COLUMNS = "{:<56} {:>12} {:>10} {:>8} {:>9} {:>8}"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: no violation; 1: at least one, or a mutant survived; 2: not every family was tried."""
    options = _options(arguments)
    families = [name for name in (FULL if options.size == "full" else BOUNDED) if options.family in name]
    say = sys.stdout.write
    say(COLUMNS.format("family", "schedules", "violations", "worlds", "runs", "seconds") + "\n")
    started = time.monotonic()
    reports: list[Report] = []
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        results = pool.imap_unordered(explore_family, families)
        for _ in families:
            left = None if options.seconds is None else options.seconds - (time.monotonic() - started)
            try:
                name, report = results.next(left)
            except multiprocessing.TimeoutError:
                break
            reports.append(report)
            say(_row(name, report) + "\n")
            for example in report.counter_examples:
                say(f"    {example.words}\n")
            sys.stdout.flush()
    total = sum(r.schedules for r in reports), sum(r.violations for r in reports)
    say(f"{total[0]:,} schedules, {total[1]:,} violations, {len(reports)} of {len(families)} families, ")
    say(f"{time.monotonic() - started:.0f} seconds\n")
    survived = _try_mutants(options.mutants)
    if total[1] or survived:
        return 1
    return 0 if len(reports) == len(families) else 2


def _row(name: str, r: Report) -> str:
    return COLUMNS.format(
        name, f"{r.schedules:,}", f"{r.violations:,}", f"{r.worlds:,}", f"{r.legs:,}", f"{r.seconds:.0f}"
    )


def _try_mutants(wanted: bool) -> int:
    survived = 0
    for mutant in MUTANTS if wanted else ():
        example = smallest_counter_example(mutant)
        survived += example is None
        words = "SURVIVES" if example is None else example.words
        sys.stdout.write(f"\n{mutant.name}: “{mutant.story}”\n    {words}\n")
    return survived


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--size", choices=("bounded", "full"), default="full")
    parser.add_argument("--family", default="", help="only families with this in their name")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, help="stop after so long, and say how far it came")
    parser.add_argument("--mutants", action="store_true", help="also say how each mutant loses")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
