"""Commands on a fleet of links."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import main
from cli.emulators import Address
from cli.sandbox_config import Pace, sandbox_toml

Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A command with `--json`: its exit code, its answer and what it said beside it."""

    def runs(*arguments: str) -> tuple[int, Any, str]:
        code = main.run([*arguments, "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out.splitlines()[-1]), captured.err

    return runs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "links"


@pytest.fixture
def links(run: Run, folder: Path) -> Run:
    return lambda *arguments: run("links", *arguments, "--fleet", str(folder))


@pytest.fixture
def settings(tmp_path: Path, address: Address) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(sandbox_toml(address, Pace(quiet_seconds=0, poll_seconds=1)), encoding="utf-8")
    return path
