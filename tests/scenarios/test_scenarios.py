"""Every scenario of tests/scenarios/*.txt, in memory and, where it says so, against both sandboxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from config.keys import ENV_PREFIX
from sync.ledger.database.engine import open_engine
from sync.ledger.secrets.vault import Vault
from tests.scenarios.reader import NO_CONFLICTS, WRITES, WRITES_SWITCH, Scenario, all_scenarios, write_log
from tests.scenarios.steps import Story, carry_out, log_lines
from tests.scenarios.worlds import MemoryWorld, World, sandbox_world
from tests.support import Clock

SCENARIOS = all_scenarios()
IN_MEMORY = [s for s in SCENARIOS if "memory" in s.runs]
IN_SANDBOX = [s for s in SCENARIOS if "sandbox" in s.runs]


def play(scenario: Scenario, world: World, *, writes: bool) -> None:
    """Carry out the steps; then nothing is left to do, and the conflict log is the one in the file."""
    story = Story(world)
    for number, line in enumerate(scenario.steps, start=1):
        try:
            carry_out(story, line)
        except AssertionError as error:
            raise AssertionError(
                f"{scenario.path.name}, {scenario.name}, step {number}: {line}: {error}"
            ) from error
    lines = log_lines(story) or [NO_CONFLICTS]
    if writes:
        write_log(scenario, lines)
    else:
        assert lines == scenario.log


@pytest.fixture
def sqlite(tmp_path: Path, _migrated_file: Path) -> Engine:
    path = tmp_path / "ledger.db"
    path.write_bytes(_migrated_file.read_bytes())
    return open_engine(f"sqlite:///{path}")


@pytest.mark.parametrize("scenario", IN_MEMORY, ids=str)
def test_in_memory(scenario: Scenario, sqlite: Engine, vault: Vault, clock: Clock) -> None:
    try:
        play(scenario, MemoryWorld(sqlite, vault, clock), writes=WRITES)
    finally:
        sqlite.dispose()


@pytest.mark.parametrize("scenario", IN_SANDBOX, ids=str)
def test_in_the_sandbox(scenario: Scenario, tmp_path: Path) -> None:
    with sandbox_world(tmp_path) as world:
        play(scenario, world, writes=False)


def test_there_are_enough_of_them_and_each_has_its_own_name() -> None:
    names = [s.name for s in SCENARIOS]
    assert len(names) == len(set(names)) >= 40
    assert all(s.about and s.steps and s.log for s in SCENARIOS)


def test_settings_do_not_take_what_steers_the_tests_for_one_of_theirs() -> None:
    assert not WRITES_SWITCH.startswith(ENV_PREFIX)


def test_a_sentence_that_no_step_knows_is_an_error() -> None:
    unused: Callable[..., None] = carry_out
    with pytest.raises(AssertionError, match="no step says"):
        unused(Story(None), "pigs fly")  # type: ignore[arg-type]
