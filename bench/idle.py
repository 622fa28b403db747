"""What idle links cost a worker of a fleet: memory, threads, connections, and what it asks the database.

    TEST_BENCH_IDLE=1000 TEST_BENCH_POLL=300 python -m bench idle      # at full scale; a quarter of an hour

Each link has a ledger of its own in one PostgreSQL, and the paces that a merchant gets who sets none, unless
TEST_BENCH_POLL says how often their feeds are read. All ask the same two emulators, which hold no cards: what
is measured is what a link costs by being there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from bench.fleet import fill_schemas
from bench.fleet_house import Postgres
from bench.postgres import logged_statements
from bench.processes import GIFTSYNC, emulators, processor_seconds
from cli.sandbox_config import parse_ready_line, sandbox_values
from sync.ledger.database.news import QUEUE_SCHEMA as SCHEMA

LINKS = int(os.environ.get("TEST_BENCH_IDLE", "50"))
POLL = os.environ.get("TEST_BENCH_POLL")
SECONDS, LOGGED_SECONDS = 60.0, 20.0
TURNS = 8
#: How long it may take until every link is open.
OPEN_SECONDS_MAX = 900.0
MIB = 1024 * 1024


def main() -> None:
    """Three lines: the process, the database, and what each link asks of it."""
    folder = Path(tempfile.mkdtemp(prefix="giftsync-idle-"))
    postgres = Postgres(folder)
    try:
        with emulators("--cards", "0") as ready:
            values = {**sandbox_values(parse_ready_line(ready)), ("api", "enabled"): False}
            del values["worker", "poll_seconds"]
            if POLL:
                values["worker", "poll_seconds"] = float(POLL)
            made = fill_schemas(folder / "links", postgres.url, LINKS, cards_each=0, values=values)
            print(f"{LINKS:,} links made in {made:.0f} s", flush=True)
            with _worker(folder) as worker:
                _measure(postgres, worker, folder)
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _measure(postgres: Postgres, worker: psutil.Process, folder: Path) -> None:
    address = postgres.url.replace("+psycopg", "")
    pause, began = threading.Event(), time.monotonic()
    with psycopg.connect(address, autocommit=True) as connection:

        def one(query: str) -> float:
            row = connection.execute(query.encode()).fetchone()
            return float(row[0]) if row is not None and row[0] is not None else 0.0

        opened = f"SELECT count(*) FROM (SELECT ledger FROM {SCHEMA}.turns GROUP BY 1 HAVING count(*) > 1) x"
        late = f"SELECT extract(epoch FROM now() - min(due_at)) FROM {SCHEMA}.turns"
        while one(f"SELECT count(*) FROM pg_namespace WHERE nspname = '{SCHEMA}'") == 0:
            pause.wait(0.2)
        while one(opened) < LINKS or one(late) > 1.0:
            if time.monotonic() - began > OPEN_SECONDS_MAX:
                raise SystemExit(f"{one(opened):.0f} links open, the oldest turn is {one(late):.0f} s late")
            pause.wait(0.5)
        print(f"all open and on time after {time.monotonic() - began:.0f} s", flush=True)
        transactions = (
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        )
        jobs = f"SELECT last_value FROM {SCHEMA}.procrastinate_jobs_id_seq"
        server = psutil.Process(int((folder / "data" / "postmaster.pid").read_text().split()[0]))
        before = (one(transactions), one(jobs), processor_seconds(worker))
        servers = _of_each(server)
        pause.wait(SECONDS)
        after = (one(transactions), one(jobs), processor_seconds(worker))
        asked, turns, processor = ((b - a) / SECONDS for a, b in zip(before, after, strict=True))
        # What a connection's process has used that ended meanwhile is not known any more.
        used = sum(now - servers.get(pid, 0.0) for pid, now in _of_each(server).items()) / SECONDS
        lateness = one(late)
        connections = one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") - 1
        with logged_statements(connection, folder / "data" / "log") as logged:
            pause.wait(LOGGED_SECONDS)
        statements = logged.count / LOGGED_SECONDS
    memory = worker.memory_full_info()
    print(
        f"the worker: {memory.pss / MIB:.0f} MiB ({memory.pss / MIB / LINKS * 1024:.0f} KiB a link), "
        f"{worker.num_threads()} threads, {len(worker.net_connections('inet'))} connections to the sides, "
        f"{processor:.2f} of a core"
    )
    print(f"the database: {connections:.0f} connections, {used:.2f} of a core, oldest turn {lateness:.1f} s")
    print(
        f"a second: {turns:.1f} turns, {asked:.0f} transactions, {statements:.0f} statements; "
        f"{1000 * turns / LINKS:.0f} turns, {1000 * statements / LINKS:.0f} statements per 1,000 links; "
        f"{logged.count / max(logged.turns, 1):.1f} statements for each turn that ended"
    )


def _of_each(server: psutil.Process) -> dict[int, float]:
    """The processor time that each process of the server has used."""
    found: dict[int, float] = {}
    for one in server.children():
        with suppress(psutil.NoSuchProcess):
            found[one.pid] = processor_seconds(one)
    return found


@contextmanager
def _worker(folder: Path) -> Iterator[psutil.Process]:
    command = [*GIFTSYNC, "worker", "--fleet", str(folder / "links"), "--turns", str(TURNS), "--json"]
    with (
        (folder / "worker.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            if process.wait() != 0:
                print((folder / "worker.log").read_text()[-2000:], file=sys.stderr)


if __name__ == "__main__":
    main()
