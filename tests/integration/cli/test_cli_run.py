"""`run` as a process: it works, refuses a second worker, and stops when told to."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.demo.control import Control
from cli.emulators import Address
from cli.sandbox_config import Pace, sandbox_toml
from tests.integration.answers import check_printed

GIFTSYNC = (sys.executable, "-c", "from cli.main import main; main()")
READY_SECONDS_MAX = 60
#: Ten to drain, and some for a busy machine.
STOP_SECONDS_MAX = 30
LOOKS_MAX = 600


@pytest.fixture
def config(address: Address, tmp_path: Path) -> Path:
    path = tmp_path / "giftsync.toml"
    path.write_text(sandbox_toml(address, Pace(quiet_seconds=0, poll_seconds=0.2)), encoding="utf-8")
    return path


@contextmanager
def running(config: Path) -> Iterator[subprocess.Popen[str]]:
    """A `run` that says it works. Its stderr goes to a file, so that no full pipe stops it."""
    with (
        (config.parent / "log").open("w+") as log,
        subprocess.Popen(
            [*GIFTSYNC, "run", "--json", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            wait_until(lambda: "Working; Ctrl-C stops." in (config.parent / "log").read_text(), process)
            yield process
        finally:
            process.kill()


def wait_until(done: object, process: subprocess.Popen[str]) -> None:
    """Look again and again, until `done`; the process ending ends the waiting."""
    assert callable(done)
    assert process.stdout is not None
    for _ in range(LOOKS_MAX):
        if done():
            return
        # Standard output stays silent while it works; its end is worth waking up for.
        readable, _, _ = select.select([process.stdout], [], [], 0.1)
        assert not readable, "it ended"
    raise AssertionError("it took too long")


def test_it_keeps_in_step_until_it_is_told_to_stop(config: Path, address: Address) -> None:
    flow, shopify = Control(address.flow_url, "NOK"), Control(address.shopify_url, "NOK")
    with running(config) as process:
        number = flow.move("sell", 10_000)["number"]
        wait_until(lambda: [c.balance_minor for c in shopify.cards()] == [10_000], process)
        flow.move("redeem", 2_500, number=number)
        wait_until(lambda: [c.balance_minor for c in shopify.cards()] == [7_500], process)

        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=STOP_SECONDS_MAX)

    assert process.returncode == 0
    answer = json.loads(out)
    check_printed("run", answer)
    assert answer["drained"] is True
    assert answer["status"]["in_step"] == answer["status"]["cards"] == 1
    log = (config.parent / "log").read_text()
    assert number not in log
    assert address.sides["flow"]["token"] not in log
    assert "Stopping: finishing what is under way, " in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    actions = [line["action"] for line in lines]
    assert actions[0] == "run.started"
    assert actions[-1] == "run.stopped"
    assert actions.count("card.met") == 1
    taken = [line for line in lines if line["action"] == "movement.taken"]
    assert [(line["side"], line["kind"], line["amount_minor"]) for line in taken] == [
        ("flow", "opening", 10_000),
        ("flow", "observed", -2_500),
    ]
    assert {line["card"] for line in taken} == {f"••••{number[-4:]}"}
    applied = [line for line in lines if line["action"] == "effect.applied"]
    assert [(line["side"], line["effect"], line["amount_minor"]) for line in applied] == [
        ("shopify", "create", 10_000),
        ("shopify", "debit", -2_500),
    ]


def test_given_a_worker_at_work_when_the_link_is_paused_then_it_reads_and_writes_nothing_until_resumed(
    config: Path, address: Address
) -> None:
    flow, shopify = Control(address.flow_url, "NOK"), Control(address.shopify_url, "NOK")

    def ask(*arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [*GIFTSYNC, *arguments, "--json", "--config", str(config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return dict(json.loads(done.stdout.splitlines()[-1]))

    with running(config) as process:
        number = flow.move("sell", 10_000)["number"]
        wait_until(lambda: [c.balance_minor for c in shopify.cards()] == [10_000], process)
        ask("pause", "--why", "stocktaking")
        flow.move("redeem", 2_500, number=number)
        # The redemption was read: its card is due, and stays so.
        wait_until(lambda: ask("status")["due"] == 1, process)
        assert ask("status")["stopped_by"][0].endswith(" has paused the link: stocktaking.")
        assert [c.balance_minor for c in shopify.cards()] == [10_000]

        assert ask("resume", "--why", "counted")["released"] == 1
        wait_until(lambda: [c.balance_minor for c in shopify.cards()] == [7_500], process)


def test_a_second_worker_on_the_same_ledger_is_refused(config: Path) -> None:
    with running(config) as process:
        second = subprocess.run(
            [*GIFTSYNC, "sync", "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert second.returncode == 3
    assert f"another giftsync worker (process {process.pid}) is using" in second.stderr
    assert "Stop it first, or use PostgreSQL" in second.stderr
