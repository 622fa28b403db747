"""`giftsync links` is killed with SIGKILL, which lets nothing be tidied up; the same command goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench.fleet import NOWHERE
from cli.build import open_ledger
from cli.fleet import Fleet
from cli.sandbox_config import Pace, sandbox_toml
from config.load import load
from sync.ledger.database.engine import LedgerUnavailable
from sync.support.audit import audit
from tests.integration.shop import Shop
from tests.support import Clock

MOVE_STEPS = (
    *("move.prepared", "move.frozen", "move.copying", "move.copied", "move.proved"),
    *("move.switching", "file.written", "move.switched"),
)
ERASE_STEPS = (
    *("erase.frozen", "erase.renamed", "erase.key_overwritten", "erase.key_destroyed"),
    *("erase.ledger_dropped", "erase.emptied"),
)


class KilledFleet:
    """Links with a card of 100.00 each, and commands that are killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._settings = folder.parent / "settings.toml"
        self._settings.write_text(sandbox_toml(NOWHERE, Pace()), encoding="utf-8")

    def add(self, name: str) -> Path:
        made = Fleet(self.folder).add(name, self._settings, None)
        with open_ledger(load(made.config)) as ledger:
            Shop(ledger.engine, ledger.vault, Clock()).in_step()
        return made.config

    def killed(self, step: str, *arguments: str) -> None:
        """The process is gone at the step."""
        assert self._run("tests.integration.killed_giftsync", step, *arguments).returncode == -signal.SIGKILL

    def run(self, *arguments: str) -> Any:
        done = self._run("tests.integration.killed_giftsync", "never", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def _run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        where = ("--fleet", str(self.folder), "--json")
        return subprocess.run(
            [sys.executable, "-m", module, *arguments, *where],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def fleet(tmp_path: Path) -> KilledFleet:
    return KilledFleet(tmp_path / "links")


def works(config: Path) -> bool:
    """Whether the ledger that the settings name opens, and is proved."""
    try:
        with open_ledger(load(config), create=False) as ledger:
            proof = audit(ledger.engine, ledger.vault, lambda: datetime.now(UTC))
            assert [one.summary for one in proof] == []
            assert proof.cards == 1
            return True
    except LedgerUnavailable:
        return False


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize("step", MOVE_STEPS)
def test_given_a_move_that_is_killed_at_any_step_then_the_same_command_ends_it(
    fleet: KilledFleet, empty_postgres: str, step: str
) -> None:
    config, to = fleet.add("acme"), ("--postgres", empty_postgres)

    fleet.killed(step, "links", "move", "acme", *to)

    assert works(config) == (step in ("move.prepared", "move.switched"))
    if step != "move.switched":
        fleet.run("links", "move", "acme", *to)
    assert works(config)
    assert load(config).database.startswith("postgresql")


@pytest.mark.slow
@pytest.mark.parametrize("step", ["move.key_made", *MOVE_STEPS])
def test_given_a_rotation_that_is_killed_at_any_step_then_the_same_command_ends_it(
    fleet: KilledFleet, step: str
) -> None:
    config = fleet.add("acme")

    fleet.killed(step, "links", "rotate", "acme")

    assert works(config) == (step in ("move.key_made", "move.prepared", "move.switched"))
    if step != "move.switched":
        fleet.run("links", "rotate", "acme")
    assert works(config)
    key = load(config).key_file
    assert key is not None
    assert len((config.parent / key).read_text().split()) == 2


@pytest.mark.parametrize(
    "step",
    [
        # The two that leave the most behind are tried each time.
        one if one in ("erase.frozen", "erase.ledger_dropped") else pytest.param(one, marks=pytest.mark.slow)
        for one in ERASE_STEPS
    ],
)
def test_given_an_erasure_that_is_killed_at_any_step_then_the_same_command_ends_it(
    fleet: KilledFleet, step: str
) -> None:
    other, config = fleet.add("other"), fleet.add("acme")

    fleet.killed(step, "links", "erase", "acme", "--yes")

    assert not config.exists() or not works(config)
    fleet.run("links", "erase", "acme", "--yes")
    assert [one.name for one in fleet.folder.iterdir()] == ["other"]
    assert works(other)


@pytest.mark.slow
def test_given_a_restore_that_is_killed_then_there_is_no_link_and_the_same_command_makes_it(
    fleet: KilledFleet, tmp_path: Path
) -> None:
    config = fleet.add("acme")
    file, key = tmp_path / "acme.giftsync", str(config.with_name("giftsync.key"))
    fleet.run("links", "export", "acme", str(file))

    for step in ("restore.filled", "link.prepared"):
        fleet.killed(step, "links", "add", "again", "--from", str(file), "--key", key)
        assert [one.name for one in Fleet(fleet.folder).links()] == ["acme"]
    fleet.run("links", "add", "again", "--from", str(file), "--key", key)

    assert works(fleet.folder / "again/giftsync.toml")
