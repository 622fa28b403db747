"""A merchant with years of cards, to be imported: the sandbox, its dirty export, and the proof at the end."""

from __future__ import annotations

import csv
import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from cli.sandbox_config import Pace, parse_ready_line, sandbox_toml
from mappings.money import minor_from_decimal

HEADER = ("number", "CVC", "balance", "brand", "store", "validTo", "status", "legacy number", "note")
SERVE_SECONDS_MAX = 300
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Merchant:
    """The sandbox, a folder with the configuration, and what is expected of the import."""

    folder: Path
    ready: Mapping[str, Mapping[str, str]]
    #: Numbers of clean, active cards with money, and what is on them in minor units.
    clean: dict[str, int] = field(default_factory=dict, repr=False)
    dirty_lines: int = 0

    @property
    def database(self) -> Path:
        return self.folder / "giftsync.db"

    @property
    def plan(self) -> Path:
        return self.folder / "plan.csv"

    def get(self, side: str, name: str) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{self.ready[side]['url']}/_sandbox/{name}", timeout=300).json()

    def write_export(self, share: float, seed: int = 7) -> Path:
        """The store's export, as Flow would write it, with a share of rows that are wrong in some way."""
        chance = random.Random(seed)
        path = self.folder / "cards.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            writer.writerow(HEADER)
            for card in self.get("flow", "cards"):
                number, balance = card["number"], card["balance"].replace(".", ",")
                row = [number, "", balance, card["brand"], f"Store {number[-1]}", card["expires"] or ""]
                row += [card["status"], "", ""]
                if chance.random() < share:
                    self.dirty_lines += 1
                    row = _spoilt(row, chance)
                elif minor_from_decimal(card["balance"], "NOK"):
                    self.clean[number] = minor_from_decimal(card["balance"], "NOK")
                writer.writerow(row)
        return path

    def run(self, *arguments: str) -> subprocess.Popen[str]:
        """`giftsync …` in a process of its own."""
        code = "import sys; from cli.main import run; sys.exit(run(sys.argv[1:]))"
        return self._start("-c", code, *arguments)

    def run_until(self, rows: int, *arguments: str) -> subprocess.Popen[str]:
        """The same, but with so many rows begun it stands still and does not end by itself."""
        return self._start("-m", "tests.scenarios.halted_import", str(self.database), str(rows), *arguments)

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments, "--config", str(self.folder / "giftsync.toml")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )

    def finish(self, *arguments: str, seconds: float = 3600) -> dict[str, Any]:
        """Run a command to its end, with `--json`; its answer with its exit code."""
        process = self.run(*arguments, "--json")
        out, err = process.communicate(timeout=seconds)
        try:
            answer: dict[str, Any] = json.loads(out)
        except ValueError:
            raise AssertionError(f"no answer: {err}") from None
        return {**answer, "code": process.returncode, "stderr": err}

    def rows_begun(self) -> int:
        """Rows of the plan that are past being planned, by the ledger."""
        return rows_begun(self.database)


def rows_begun(database: Path) -> int:
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        query = "SELECT count(*) FROM import_rows WHERE state != 'planned'"
        found: int = connection.execute(query).fetchone()[0]
        return found


def _spoilt(row: list[str], chance: random.Random) -> list[str]:
    number = row[0]
    match chance.randrange(6):
        case 0:
            row[0] = f"{number[0]},{number[1:3]}E+15"
        case 1:
            row[2] = "a lot"
        case 2:
            row[5] = "2027-13-45"
        case 3:
            row[6] = "WEIRD"
        case 4:
            row = row[:5]
        case _:
            row[2] = "-5,00"
    return row


@contextmanager
def merchant(folder: Path, *, pos: int, online: int, plan: str = "plus", seed: int = 5) -> Iterator[Merchant]:
    """The sandbox in a process of its own, and its configuration in the folder."""
    options = {"seed": seed, "cards": {"shopify": online, "flow": pos}, "plan": plan}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.scenarios.sandbox_process", json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    try:
        if process.stdout is None:
            raise AssertionError("the sandbox has no output")
        line = process.stdout.readline()
        toml = sandbox_toml(parse_ready_line(line), Pace(quiet_seconds=1, poll_seconds=1))
        (folder / "giftsync.toml").write_text(toml, encoding="utf-8")
        yield Merchant(folder, json.loads(line))
    finally:
        # Ends the process; the pipes are closed, too.
        process.communicate(timeout=SERVE_SECONDS_MAX)


@dataclass(frozen=True)
class Outcome:
    """What the sandboxes really hold in the end. Amounts in minor units."""

    flow_minor: int
    shopify_minor: int
    #: Clean store cards that Shopify lacks or holds with another balance.
    wrong_online: int
    #: Online cards that the store lacks, has twice, or has with another balance.
    wrong_pos: int
    codes_twice: int
    notifications: int


def outcome(shop: Merchant) -> Outcome:
    """Compare both truths, card by card."""
    online = shop.get("shopify", "cards")
    pos = [card for card in shop.get("flow", "cards") if card["issued"]]
    by_code = {card["code"]: _minor(card["balance"]) for card in online}
    wrong_online = sum(by_code.get(number) != minor for number, minor in shop.clean.items())
    purchased = [_minor(card["balance"]) for card in online if card["source"] == "purchased"]
    bought = sorted(minor for minor in purchased if minor)
    made = sorted(_minor(card["balance"]) for card in pos if card["note"].startswith("Shopify "))
    wrong_pos = abs(len(bought) - len(made)) + sum(a != b for a, b in zip(bought, made, strict=False))
    stats = shop.get("shopify", "stats")
    return Outcome(
        sum(_minor(card["balance"]) for card in pos),
        sum(by_code.values()),
        wrong_online,
        wrong_pos,
        len(online) - len(by_code),
        stats["notifications"],
    )


def _minor(text: str) -> int:
    return minor_from_decimal(text, "NOK")
