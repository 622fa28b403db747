"""A shop on each database engine, and commands on both emulators."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cli import main
from cli.demo.control import Control
from cli.demo.thread import sandbox_thread
from cli.emulators import Address, SandboxOptions
from cli.output import ExitCode, Output
from cli.sandbox_config import Pace, sandbox_toml
from sync import crashpoints
from sync.ledger.secrets.vault import Vault
from tests.integration.answers import check_answer
from tests.integration.shop import Shop
from tests.support import Clock, Crashed, Giftsync


@pytest.fixture(autouse=True)
def checked_answers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every answer that a command prints is checked against its schema; the names of those."""
    checked: set[str] = set()
    emit = Output.emit

    def checks(
        output: Output, name: str, result: Mapping[str, object], code: int | ExitCode = ExitCode.IN_STEP
    ) -> None:
        # What a connector answers is its own.
        if output.as_json and not name.startswith(("shopify ", "contract ")):
            check_answer(name, result, code)
            checked.add(name)
        emit(output, name, result, code)

    monkeypatch.setattr(Output, "emit", checks)
    return checked


@pytest.fixture
def shop(engine: Engine, vault: Vault, clock: Clock) -> Shop:
    return Shop(engine, vault, clock)


@pytest.fixture
def make_shop(engine: Engine, vault: Vault, clock: Clock) -> Callable[..., Shop]:
    """A shop with other settings."""
    return lambda **settings: Shop(engine, vault, clock, **settings)


@pytest.fixture
def crash_after() -> Iterator[Callable[[str, int], None]]:
    """`crash_after(name, skip)`: the process dies once, after passing the point `skip` times."""

    def install(name: str, skip: int) -> None:
        left = [skip]
        lock = threading.Lock()

        def reached(point: str) -> None:
            if point != name:
                return
            with lock:
                left[0] -= 1
                dies = left[0] == -1
            if dies:
                raise Crashed(name)

        crashpoints.install(reached)

    yield install
    crashpoints.install(None)


@pytest.fixture
def empty_postgres(_start_over: Callable[[str], str]) -> str:
    """An empty database on PostgreSQL."""
    return _start_over("empty")


@pytest.fixture
def sandbox_options() -> SandboxOptions:
    return SandboxOptions(plan="plus")


@pytest.fixture
def address(sandbox_options: SandboxOptions) -> Iterator[Address]:
    """A sandbox for one test: a second ledger would take the cards of the first for strangers."""
    with sandbox_thread(sandbox_options) as found:
        yield found


@pytest.fixture
def flow(address: Address) -> Control:
    return Control(address.flow_url, "NOK")


@pytest.fixture
def shopify(address: Address) -> Control:
    return Control(address.shopify_url, "NOK")


@pytest.fixture
def config(address: Address, tmp_path: Path) -> Path:
    path = tmp_path / "giftsync.toml"
    path.write_text(sandbox_toml(address, Pace(quiet_seconds=0, poll_seconds=1)), encoding="utf-8")
    return path


@pytest.fixture
def giftsync(config: Path, capsys: pytest.CaptureFixture[str]) -> Giftsync:
    """Run a command on the link: its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.run([*arguments, "--config", str(config)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
