"""Real crashes: the worker is killed with SIGKILL again and again while people buy and spend.

Everything is real but the two systems themselves: processes, sockets, a database file or a PostgreSQL server.
The sandboxes drop answers, break and throttle all the while. At the end their ground truth must be what the
people did, to the minor unit.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.demo.control import Control, Refused
from cli.demo.truth import links_of, read_truth
from sync.ledger.database import migrations
from sync.ledger.database.engine import open_engine
from sync.ledger.views import list_cards, list_conflicts

#: On each of the two databases.
KILLS = int(os.environ.get("TEST_KILLS", "25"))
GIFTSYNC = (str(Path(sys.executable).with_name("giftsync")),)
CURRENCY = "NOK"
START_SECONDS_MAX = 60.0
SYNC_SECONDS_MAX = 300.0
JOIN_SECONDS_MAX = 60.0
PASSES_MAX = 6
#: Of every hundred requests on each side.
FAULTS = [
    {"match": "", "kind": "drop_response", "probability": 0.10},
    {"match": "", "kind": "error_500", "probability": 0.05},
    {"match": "", "kind": "drop_request", "probability": 0.03},
    {"match": "mutation", "kind": "late_apply", "probability": 0.03, "delay_ms": 500},
    {"match": "", "kind": "throttle", "probability": 0.03},
]


def _giftsync(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GIFTSYNC, *arguments], input=given, capture_output=True, text=True, timeout=SYNC_SECONDS_MAX
    )


@dataclass
class Sandbox:
    ready_line: str
    flow: Control
    shopify: Control


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    process = subprocess.Popen(
        [*GIFTSYNC, "sandbox", "serve", "--shopify-port", "0", "--flow-port", "0", "--cards", "20"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        urls = json.loads(line)
        yield Sandbox(line, Control(urls["flow"]["url"], CURRENCY), Control(urls["shopify"]["url"], CURRENCY))
    finally:
        process.terminate()
        process.communicate(timeout=30)


@dataclass
class People:
    """Customers and cashiers; `net_minor` is what they put on cards less what they took off."""

    sandbox: Sandbox
    seed: int
    net_minor: int = 0
    moves: int = 0
    failed: list[BaseException] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _acted: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._numbers: list[str] = []
        self._codes: list[str] = []
        self._thread = threading.Thread(target=self._live, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(JOIN_SECONDS_MAX)
        assert not self._thread.is_alive()
        assert not self.failed

    def act_once_more(self) -> None:
        """Wait until they have moved money again."""
        with self._acted:
            before = self.moves
            moved = self._acted.wait_for(lambda: self.moves > before or bool(self.failed), JOIN_SECONDS_MAX)
        assert moved
        assert not self.failed

    def _live(self) -> None:
        while not self._stop.wait(self._chance.uniform(0.05, 0.3)):
            try:
                self._act()
            except Refused:
                continue
            except BaseException as error:  # noqa: BLE001 shown by the test
                with self._acted:
                    self.failed.append(error)
                    self._acted.notify_all()
                return

    def _act(self) -> None:
        flow, shopify, amount = self.sandbox.flow, self.sandbox.shopify, self._chance.randint(100, 20_000)
        match self._chance.randrange(8):
            case 0:
                self._numbers.append(str(flow.move("sell", amount)["number"]))
                self._moved(amount)
            case 1:
                bought = shopify.move("purchase", amount, name="Kari Nordmann", email="kari@example.com")
                self._codes.append(str(bought["code"]))
                self._moved(amount)
            case 2:
                flow.move("deposit", amount, number=self._any(self._numbers))
                self._moved(amount)
            case 3 | 4 | 5:
                # A card that was sold in the store is spent online as well, once it is there.
                shopify.move("checkout", amount, code=self._any(self._codes + self._numbers))
                self._moved(-amount)
            case _:
                flow.move("redeem", amount, number=self._any(self._numbers))
                self._moved(-amount)

    def _any(self, serials: list[str]) -> str:
        if not serials:
            raise Refused("nobody has a card yet")
        return self._chance.choice(serials)

    def _moved(self, amount_minor: int) -> None:
        with self._acted:
            self.net_minor += amount_minor
            self.moves += 1
            self._acted.notify_all()


def _configure(sandbox: Sandbox, database: str, folder: Path) -> Path:
    made = _giftsync("sandbox", "config", given=sandbox.ready_line)
    assert made.returncode == 0, made.stderr
    text = re.sub(r"(?m)^#? ?database = .*\n", "", made.stdout)
    text = re.sub(r"(?m)^quiet_seconds = .*$", "quiet_seconds = 2", text)
    text = re.sub(r"(?m)^poll_seconds = .*$", "poll_seconds = 1\nlease_seconds = 30", text)
    path = folder / "giftsync.toml"
    path.write_text(f'database = "{database}"\nkey_file = "{folder / "giftsync.key"}"\n{text}')
    path.chmod(0o600)
    return path


def _run_and_kill(config: Path, people: People, chance: random.Random) -> None:
    """Start a worker, let money move under it, and kill it at a moment that nobody chose."""
    process = subprocess.Popen(
        [*GIFTSYNC, "run", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("Working"):
                break
        people.act_once_more()
        threading.Event().wait(chance.uniform(0.0, 1.0))
        assert process.poll() is None, "".join(said) + process.stderr.read()
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()


def _mutations(sandbox: Sandbox) -> int:
    return int(sandbox.flow.stats()["mutations"]) + int(sandbox.shopify.stats()["mutations"])


@pytest.mark.timeout(900)
def test_no_kill_creates_or_loses_money(sandbox: Sandbox, empty_url: str, tmp_path: Path) -> None:
    # Given cards on both sides, people who use them, and sides that fail
    config = _configure(sandbox, empty_url, tmp_path)
    opening = sum(c.balance_minor for c in (*sandbox.flow.cards(), *sandbox.shopify.cards()))
    for control in (sandbox.flow, sandbox.shopify):
        control.fail(FAULTS, seed=7)
    people = People(sandbox, seed=11)
    people.start()

    # When the worker is killed again and again
    chance = random.Random(13)
    for _ in range(KILLS):
        _run_and_kill(config, people, chance)
    people.stop()
    for control in (sandbox.flow, sandbox.shopify):
        control.fail([], seed=0)

    # Then a worker that is left alone brings everything in step
    for _ in range(PASSES_MAX):
        ended = _giftsync("sync", "--json", "--config", str(config))
        assert ended.returncode in (0, 1, 2), ended.stderr
        report: Mapping[str, object] = json.loads(ended.stdout)
        if ended.returncode in (0, 1):
            break
    assert ended.returncode in (0, 1), report

    # And the ground truth is what the people did
    engine = open_engine(empty_url)
    try:
        migrations.upgrade(engine)
        truth = read_truth(sandbox.flow, sandbox.shopify, links_of(list_cards(engine)))
        conflicts = list(list_conflicts(engine, include_closed=True))
        written_off = sum(c.amount_minor for c in conflicts if c.kind == "overdraft")
    finally:
        engine.dispose()
    print(f"{KILLS} kills survived, {people.moves} movements, {len(truth.pairs)} cards")
    assert [pair for pair in truth.pairs if not pair.agrees] == []
    assert truth.flow_minor == truth.shopify_minor == opening + people.net_minor + written_off
    assert people.moves >= KILLS

    # And a further pass changes nothing
    before = _mutations(sandbox)
    again = _giftsync("sync", "--json", "--config", str(config))
    assert again.returncode == ended.returncode
    assert _mutations(sandbox) == before
