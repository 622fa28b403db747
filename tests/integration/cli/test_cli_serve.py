"""`serve` in processes of its own beside `run --no-console`: deliveries wake the worker, none is lost or
counted twice, and it stops when told to.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
import requests
from sqlalchemy import func, select

from cli import main
from cli.commands.sync import SETTINGS_SECONDS, _follow_settings
from cli.console import served_console
from cli.demo.control import Control
from cli.emulators import Address, SandboxOptions
from cli.output import Output
from cli.sandbox_config import Pace, sandbox_values
from cli.session import opened_worker
from config.load import load
from config.template import render_toml
from sync.ledger.database.engine import open_engine, reading
from sync.ledger.database.only_console import console_file
from sync.ledger.database.tables import deliveries, movements
from sync.worker.service import Service
from tests.integration.answers import check_printed
from tests.support import kept_port, seen_in_time

GIFTSYNC = (sys.executable, "-c", "from cli.main import main; main()")
KILLED = (sys.executable, "-m", "tests.integration.killed_giftsync")
STOP_SECONDS_MAX = 30
#: What service managers allow.
STOPPED_SECONDS = 10


@pytest.fixture
def sandbox_options() -> SandboxOptions:
    return SandboxOptions(plan="plus", local_webhooks=True)


class House:
    """A link whose news comes by webhook or not at all, and the processes that work on it."""

    def __init__(self, address: Address, folder: Path, database: str) -> None:
        self.address, self.folder, self.database = address, folder, database
        self._ports = ExitStack()
        self.port = self.keep_port()
        self.values = {
            # Feeds are read once, at the start.
            **sandbox_values(address, Pace(quiet_seconds=0, poll_seconds=3_600)),
            ("database",): database,
            ("key_file",): str(folder / "giftsync.key"),
            ("worker", "sweep_seconds"): 3_600,
            ("console", "port"): self.port,
            ("api", "enabled"): False,
            ("console", "public_url"): f"http://127.0.0.1:{self.port}",
        }
        self.config = self.write("giftsync.toml", {})
        self.processes: list[subprocess.Popen[bytes]] = []

    def keep_port(self) -> int:
        return self._ports.enter_context(kept_port())

    def write(self, name: str, more: dict[tuple[str, ...], object], *without: tuple[str, ...]) -> Path:
        kept = {key: value for key, value in {**self.values, **more}.items() if key not in without}
        path = self.folder / name
        path.write_text(render_toml(kept), encoding="utf-8")
        return path

    def start(
        self, name: str, *arguments: str, config: Path | None = None, by: tuple[str, ...] = GIFTSYNC
    ) -> subprocess.Popen[bytes]:
        with (self.folder / name).open("w") as log:
            command = [*by, *arguments, "--config", str(config or self.config)]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def says(self, name: str, words: str) -> None:
        assert seen_in_time(lambda: words in self.log(name), pause_seconds=0.05), self.log(name)

    def log(self, name: str) -> str:
        return (self.folder / name).read_text()

    def deliver(self, delivery: str, native_id: str, order: int = 1) -> int:
        """One delivery as Shopify sends it; 0 when nobody took it."""
        receipt = json.dumps({"gift_card_id": int(native_id.rpartition("/")[2])})
        sent = {"id": order, "order_id": order, "gateway": "gift_card", "receipt": receipt}
        body = json.dumps(sent).encode()
        secret = self.address.sides["shopify"]["api_secret"].encode()
        headers = {
            "X-Shopify-Hmac-Sha256": base64.b64encode(hmac.digest(secret, body, hashlib.sha256)).decode(),
            "X-Shopify-Topic": "order_transactions/create",
            "X-Shopify-Shop-Domain": self.address.sides["shopify"]["shop"],
            "X-Shopify-Webhook-Id": delivery,
        }
        url = f"http://127.0.0.1:{self.port}/webhooks/shopify"
        with suppress(requests.ConnectionError):
            return requests.post(url, body, headers=headers, timeout=30).status_code
        return 0

    def count(self, what: object) -> int:
        engine = open_engine(self.database)
        with reading(engine) as connection:
            found = connection.execute(what).scalar_one()  # type: ignore[call-overload]
        engine.dispose()
        return int(found)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(STOP_SECONDS_MAX)
        self._ports.close()

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGTERM)
        return process.wait(STOP_SECONDS_MAX)


@pytest.fixture
def house(address: Address, tmp_path: Path, empty_url: str) -> Iterator[House]:
    made = House(address, tmp_path, empty_url)
    yield made
    made.end()


def scraped(port: str) -> str:
    return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text


def shown(control: Control, number: str) -> int:
    return next(card.balance_minor for card in control.cards() if card.serial == number)


#: A pair of processes takes seconds to start, and what differs is tried by `test_wake_ups.py` on both.
ON_BOTH = pytest.mark.parametrize(
    "empty_url",
    ["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.slow])],
    indirect=True,
)


@ON_BOTH
def test_given_receivers_apart_when_one_is_killed_then_the_other_goes_on_and_every_delivery_counts_once(
    house: House, flow: Control, shopify: Control
) -> None:
    number = flow.move("sell", 10_000)["number"]
    # One is given no access to the sides; it starts before there is a ledger, and waits for the worker.
    house.write("shut.toml", {}, ("sides", "shopify", "token"), ("sides", "flow", "token"))
    shut, ports = house.folder / "shut.toml", [f"{house.keep_port()}" for _ in range(3)]
    first = house.start("first", "serve", "--part", "webhooks", "--metrics-port", ports[0], config=shut)
    worker = house.start("worker", "run", "--yes", "--no-console", "--metrics-port", ports[1], "--json")
    second = house.start("second", "serve", "--metrics-port", ports[2], "--json")
    house.says("worker", "Working; Ctrl-C stops.")
    house.says("first", "Serving; Ctrl-C stops.")
    house.says("second", "Serving; Ctrl-C stops.")
    assert seen_in_time(lambda: [c.balance_minor for c in shopify.cards()] == [10_000], pause_seconds=0.05)
    native = shopify.cards()[0].id

    shopify.move("checkout", 1_000, code=number)
    assert house.deliver("a", native) == 202
    assert seen_in_time(lambda: shown(flow, number) == 9_000, pause_seconds=0.05)
    received = 'giftsync_requests_total{link="",part="webhooks",side="shopify",status="202"} '
    assert sum(received in scraped(port) for port in (ports[0], ports[2])) >= 1
    assert "giftsync_worker_up 1.0" in scraped(ports[1])
    first.kill()
    first.wait(STOP_SECONDS_MAX)
    shopify.move("checkout", 2_000, code=number)
    # What stood in the dead one's line is refused, and the side sends it again.
    assert seen_in_time(lambda: house.deliver("b", native) == 202)
    assert [house.deliver("b", native) for _ in range(3)] == [202] * 3
    assert seen_in_time(lambda: shown(flow, number) == 7_000, pause_seconds=0.05)
    codes = [house.stop(second), house.stop(worker)]

    assert codes == [0, 0]
    assert house.count(select(func.count()).where(deliveries.c.key.in_(("a", "b")))) == 2
    assert house.count(select(func.count()).where(movements.c.kind == "observed")) == 2
    answer = json.loads(house.log("second").splitlines()[-1])
    check_printed("serve", answer)
    assert answer["parts"] == ["console", "webhooks"]
    assert number not in house.log("first") + house.log("second") + house.log("worker")
    assert not list(house.folder.glob("*.wake"))


@ON_BOTH
def test_given_a_kill_between_receipt_and_commit_when_the_side_sends_again_then_it_counts_once(
    house: House, flow: Control, shopify: Control
) -> None:
    number = flow.move("sell", 10_000)["number"]
    assert main.run(["sync", "--yes", "--config", str(house.config)]) == 0
    native = shopify.cards()[0].id
    shopify.move("checkout", 1_000, code=number)
    dying = house.start("dying", "inbox.inside", "serve", "--part", "webhooks", by=KILLED)
    house.says("dying", "Serving; Ctrl-C stops.")

    assert house.deliver("a", native) == 0
    assert dying.wait(STOP_SECONDS_MAX) == -signal.SIGKILL
    assert house.count(select(func.count()).select_from(deliveries)) == 0
    house.start("next", "serve", "--part", "webhooks")
    house.says("next", "Serving; Ctrl-C stops.")
    assert [house.deliver("a", native) for _ in range(2)] == [202, 202]

    assert house.count(select(func.count()).select_from(deliveries)) == 1
    assert main.run(["sync", "--config", str(house.config)]) == 0
    assert house.count(select(func.count()).where(movements.c.kind == "observed")) == 1
    assert shown(flow, number) == 9_000


@pytest.mark.slow
def test_given_a_ledger_that_is_locked_when_it_is_told_to_stop_then_it_ends_in_time_and_the_side_comes_again(
    settings: House, flow: Control, shopify: Control
) -> None:
    flow.move("sell", 10_000)
    assert main.run(["sync", "--yes", "--config", str(settings.config)]) == 0
    native = shopify.cards()[0].id
    receiver = settings.start("receiver", "serve", "--part", "webhooks")
    settings.says("receiver", "Serving; Ctrl-C stops.")
    path = settings.database.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other, ThreadPoolExecutor(1) as side:
        other.execute("BEGIN IMMEDIATE")
        answer = side.submit(settings.deliver, "a", native)
        # It is being stored: the receiver answers others meanwhile.
        assert not answer.done()
        url = f"http://127.0.0.1:{settings.port}/health"
        assert [requests.get(url, timeout=30).status_code for _ in range(20)] == [200] * 20
        began = time.monotonic()

        assert settings.stop(receiver) == 0

        assert time.monotonic() - began < STOPPED_SECONDS
        assert answer.result() in (0, 503)
    assert "Traceback" not in settings.log("receiver")
    assert settings.count(select(func.count()).select_from(deliveries)) == 0


@pytest.fixture
def settings(address: Address, tmp_path: Path) -> Iterator[House]:
    """Settings with a ledger that is not there yet."""
    made = House(address, tmp_path, f"sqlite:///{tmp_path / 'ledger.db'}")
    yield made
    made.end()


def served(house: House, *arguments: str) -> int:
    return main.run(["serve", *arguments, "--config", str(house.config)])


def test_given_parts_that_the_settings_do_not_switch_on_then_it_says_which_and_how(
    settings: House, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served(settings, "--part", "api", "--part", "webhooks") == 3

    err = capsys.readouterr().err
    assert "the settings do not switch on what is to be served: api." in err
    assert "The API needs `enabled = true` in [api]." in err


def test_given_a_console_that_another_process_serves_then_it_says_so_and_run_goes_on_without_pages(
    settings: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.console.HANDED_OVER_SECONDS", 0.0)
    assert main.run(["sync", "--yes", "--config", str(settings.config)]) == 0
    path = settings.database.removeprefix("sqlite:///")
    with open(console_file(path), "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        assert served(settings, "--part", "console", "--port", "0") == 3
        assert "another process serves the console of this link" in capsys.readouterr().err
        with opened_worker(load(settings.config), threading.Event()) as (worker, ledger):
            output = Output()
            with served_console(load(settings.config), Service(worker), ledger, output) as address:
                assert address is None
        err = capsys.readouterr().err
    assert "this one serves no pages" in err
    assert "Webhooks are received" in err


def test_given_settings_that_serve_nothing_then_it_says_what_would(
    settings: House, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.write(
        "giftsync.toml", {("console", "pages"): False}, ("console", "port"), ("console", "public_url")
    )

    assert served(settings) == 3
    assert "Webhooks need `port` in [console]." in capsys.readouterr().err


def test_given_a_port_that_another_program_has_then_it_says_which(
    settings: House, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", settings.port))
        other.listen()
        main.run(["sync", "--yes", "--config", str(settings.config)])

        assert served(settings, "--part", "webhooks") == 3
    assert f"cannot listen on 127.0.0.1 port {settings.port}" in capsys.readouterr().err


def test_given_a_part_that_is_none_then_it_lists_what_there_is(
    settings: House, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served(settings, "--part", "pages") == 3
    assert "'webhooks', 'console', 'api'" in capsys.readouterr().err


@contextmanager
def followed(house: House) -> Iterator[threading.Event]:
    """Is set once the worker would begin anew."""
    begun, stop = threading.Event(), threading.Event()
    arguments = (house.config, load(house.config), stop, begun.set)
    thread = threading.Thread(target=_follow_settings, args=arguments, daemon=True)
    thread.start()
    try:
        yield begun
    finally:
        stop.set()
        thread.join(SETTINGS_SECONDS * 30)


def test_given_settings_that_are_changed_elsewhere_then_a_worker_begins_anew_with_those_that_can_be_used(
    settings: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cli.commands.sync.SETTINGS_SECONDS", 0.01)
    told: list[str] = []
    monkeypatch.setattr("cli.commands.sync.log.warning", lambda words, **more: told.append(more["why"]))
    with followed(settings) as begun:
        settings.write("giftsync.toml", {("link", "quiet_seconds"): "never"})
        assert seen_in_time(lambda: len(told) == 1)
        assert not begun.is_set()
        settings.write("giftsync.toml", {("link", "quiet_seconds"): 7})

        assert begun.wait(30)
    assert "quiet_seconds" in told[0]
