"""A crowd of half-open requests at `run`'s receiver takes nothing from the worker in the same process."""

from __future__ import annotations

import json
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from cli.demo.control import Control
from cli.emulators import Address
from cli.sandbox_config import Pace, sandbox_values
from config.template import render_toml
from console.guard import CONNECTIONS_MAX
from console.server import BACKLOG
from tests.support import seen_in_time

GIFTSYNC = "from cli.main import main; main()"
SOFT_LIMIT = 1_024
HALF_OPEN = 1_100
HEAD = b"POST /webhooks/shopify HTTP/1.1\r\nHost: giftsync\r\n"
RECEIVED_AT = re.compile(r"Webhooks are received at http://127\.0\.0\.1:(\d+)/")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """For the crowd, which is this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = HALF_OPEN + 1_000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this machine lets a process open {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def running(config: Path, hard_limit: int) -> Iterator[tuple[int, int]]:
    """A `run` that may open 1,024 files, and whether more depends on the hard limit: process and port."""
    limits = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT_LIMIT}, {hard_limit})); "
    log = config.parent / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", limits + GIFTSYNC, "run", "--json", "--config", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        ) as process,
    ):
        try:
            assert seen_in_time(lambda: "Working; Ctrl-C stops." in log.read_text()), log.read_text()
            found = RECEIVED_AT.search(log.read_text())
            assert found is not None
            yield process.pid, int(found.group(1))
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.parametrize("hard_limit", [SOFT_LIMIT, HALF_OPEN * 4], ids=["1,024 at most", "more on demand"])
@pytest.mark.usefixtures("many_descriptors")
def test_given_1100_half_open_requests_at_1024_descriptors_then_sales_are_synced_and_deliveries_answered(
    address: Address, tmp_path: Path, hard_limit: int
) -> None:
    config = tmp_path / "giftsync.toml"
    pace = Pace(quiet_seconds=0, poll_seconds=0.2)
    values = {**sandbox_values(address, pace), ("console", "port"): 0}
    config.write_text(render_toml(values), encoding="utf-8")
    flow, shopify = Control(address.flow_url, "NOK"), Control(address.shopify_url, "NOK")

    def is_synced(*minor: int) -> Callable[[], bool]:
        return lambda: sorted(card.balance_minor for card in shopify.cards()) == sorted(minor)

    with running(config, hard_limit) as (pid, port), ExitStack() as crowd:
        number = flow.move("sell", 10_000)["number"]
        assert seen_in_time(is_synced(10_000))
        alone = descriptors(pid)

        for _ in range(HALF_OPEN):
            client = crowd.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            client.sendall(HEAD)
        held = descriptors(pid)
        flow.move("redeem", 2_500, number=number)
        flow.move("sell", 30_000)
        assert seen_in_time(is_synced(7_500, 30_000))
        unsigned = requests.post(f"http://127.0.0.1:{port}/webhooks/shopify", b"{}", timeout=60)
        allowed, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)

    assert unsigned.status_code == 401
    assert allowed == hard_limit, "it takes what it may have"
    assert held <= alone + CONNECTIONS_MAX + BACKLOG < SOFT_LIMIT
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    assert {line["action"] for line in lines if line["level"] == "error"} == set()
    assert [line["action"] for line in lines].count("webhook.crowded") == 1
    assert "Traceback" not in (tmp_path / "log").read_text()
