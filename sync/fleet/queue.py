"""The turns of many links as jobs of procrastinate, in the database that holds the links' ledgers.

It holds no facts: whoever loses it loses time. Leases and fencing in the ledgers keep two workers apart, not
this.

News goes into a table of its own, and from there into the queue: a job that is already queued may be begun by
a worker that does not see yet what an open transaction has written, so what is told inside of one must not be
taken for told because such a job exists.

Two lines keep one merchant's import from another's redemption. Turns that a customer may be waiting for stand
in `NOW`, and each worker has places that take nothing else; all other turns stand in `LATER`, and so does one
that was cut short, until it has caught up. In both the first that came goes first. The turns of one lane of a
link never run at the same time, so that a link takes no more places than it has lanes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

import procrastinate
import psycopg
from procrastinate.schema import SchemaManager
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url

from sync.fleet.connections import CONNECT_SECONDS, engine_connector, pool
from sync.ledger.database.frozen import FROZEN
from sync.ledger.database.news import FORGET, TELL
from sync.ledger.database.news import QUEUE_SCHEMA as SCHEMA

#: The two lines of turns, as the engine calls them.
NOW: Final = "now"
LATER: Final = "later"
TASK: Final = "turn"
#: A worker says this often that it lives, and one that has not said so for the time below counts as dead.
HEARTBEAT_SECONDS: Final = 3.0
DEAD_SECONDS: Final = 15.0
#: Turns handed out by one statement.
BATCH: Final = 500
#: Longer than any statement here takes, so that a cut-off database is noticed.
ANSWER_SECONDS: Final = 10

_TABLES = f"""
CREATE TABLE {SCHEMA}.turns (
    ledger text NOT NULL,
    turn text NOT NULL,
    lane text NOT NULL,
    urgent boolean NOT NULL,
    behind boolean NOT NULL DEFAULT false,
    seconds double precision NOT NULL,
    due_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (ledger, turn)
);
CREATE INDEX turns_due ON {SCHEMA}.turns (due_at);
CREATE TABLE {SCHEMA}.news (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ledger text NOT NULL,
    turn text NOT NULL,
    due_at timestamptz NOT NULL
);
COMMENT ON TABLE {SCHEMA}.turns IS 'when each turn of each link is due next when nothing wakes it';
COMMENT ON COLUMN {SCHEMA}.turns.behind IS 'it was cut short and has not caught up since';
COMMENT ON TABLE {SCHEMA}.news IS 'turns that something was stored for; emptied into the queue';
"""
# A job that is queued and not begun answers for both. Rows that another worker hands out are passed over.
_HAND_OUT = f"""
WITH told AS (
    DELETE FROM news WHERE id IN (
        SELECT id FROM news WHERE due_at <= now() ORDER BY id LIMIT {BATCH} FOR UPDATE SKIP LOCKED
    )
    RETURNING ledger, turn
), timed AS (
    UPDATE turns SET due_at = now() + make_interval(secs => seconds)
    WHERE (ledger, turn) IN (
        SELECT ledger, turn FROM turns WHERE due_at <= now() ORDER BY due_at LIMIT {BATCH}
        FOR UPDATE SKIP LOCKED
    ) RETURNING ledger, turn
)
INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
SELECT CASE WHEN urgent AND NOT behind THEN '{NOW}' ELSE '{LATER}' END, '{TASK}',
    ledger || '/' || lane, ledger || '/' || turn,
    jsonb_build_object('ledger', ledger, 'turn', turn, 'behind', behind)
FROM (SELECT * FROM told UNION SELECT * FROM timed) AS due JOIN turns USING (ledger, turn)
ORDER BY ledger, turn
ON CONFLICT DO NOTHING
"""
# Never back into the queue: a job of the same turn may wait there, and the two would lock each other out.
_REASSIGN = f"""
WITH dead AS (
    DELETE FROM procrastinate_jobs AS job
    WHERE status = 'doing' AND NOT EXISTS (
        SELECT FROM procrastinate_workers AS worker WHERE worker.id = job.worker_id
        AND last_heartbeat > now() - interval '{DEAD_SECONDS} seconds'
    )
    RETURNING args ->> 'ledger' AS ledger, args ->> 'turn' AS turn
)
UPDATE turns SET due_at = now() FROM dead WHERE (turns.ledger, turns.turn) = (dead.ledger, dead.turn)
RETURNING turns.ledger, turns.turn
"""


@dataclass(frozen=True)
class Timed:
    """A turn that is due every so many seconds when nothing wakes it."""

    turn: str
    seconds: float
    #: Turns of one lane of a link never run at the same time.
    lane: str
    #: A customer may be waiting for it.
    urgent: bool


class TurnQueue:
    """The queue in one database. Thread-safe."""

    def __init__(self, database: str) -> None:
        """`database` is the address of any ledger in it."""
        url = make_url(database).set(drivername="postgresql").difference_update_query(["schema", "options"])
        self.address = url.render_as_string(hide_password=False)
        self._connect = {
            "options": f"-csearch_path={SCHEMA}",
            "connect_timeout": CONNECT_SECONDS,
            # A server that is cut off says nothing; the system gives it up after this time.
            "tcp_user_timeout": ANSWER_SECONDS * 1000,
        }
        self._pool = pool(self.address, self._connect)

    def open(self) -> None:
        """Make what is not there yet. Raises psycopg.Error when the database does not answer."""
        with psycopg.connect(self.address, **self._connect) as connection:  # type: ignore[arg-type]
            # Two that make it at once would fail.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [SCHEMA])
            if connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.turns"]).fetchone() == (None,):
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
                connection.execute(SchemaManager.get_schema().encode())
                connection.execute(_TABLES.encode())
        self._pool.open()

    def close(self) -> None:
        self._pool.close()

    def engine(self) -> procrastinate.App:
        """procrastinate's own view of it, to be opened by whoever works."""
        return procrastinate.App(connector=engine_connector(self.address, self._connect))

    def keep(self, ledger: str, turns: Iterable[Timed], *, with_others: bool = False) -> None:
        """Have these turns of the ledger handed out from now on, and no others of it unless `with_others`."""
        timed = list(turns)
        with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
            if not with_others:
                names = [t.turn for t in timed]
                cursor.execute("DELETE FROM turns WHERE ledger = %s AND turn <> ALL (%s)", [ledger, names])
            cursor.executemany(
                "INSERT INTO turns AS known (ledger, turn, lane, urgent, seconds) "
                "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (ledger, turn) DO UPDATE "
                "SET lane = EXCLUDED.lane, urgent = EXCLUDED.urgent, "
                "seconds = EXCLUDED.seconds, "
                "due_at = least(known.due_at, now() + make_interval(secs => EXCLUDED.seconds)) "
                "WHERE (known.lane, known.urgent, known.seconds) "
                "<> (EXCLUDED.lane, EXCLUDED.urgent, EXCLUDED.seconds)",
                [(ledger, t.turn, t.lane, t.urgent, t.seconds) for t in timed],
            )

    def time(self) -> datetime:
        """What the database's clock says."""
        with self._pool.connection() as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        return cast(datetime, row[0] if row else None)

    def known(self) -> set[str]:
        """The ledgers that have turns here."""
        with self._pool.connection() as connection:
            return {row[0] for row in connection.execute("SELECT DISTINCT ledger FROM turns")}

    def forget(self, ledger: str) -> None:
        """Hand out no more turns of the ledger, and none that wait."""
        with self._pool.connection() as connection, connection.transaction():
            for statement in FORGET:
                connection.execute(statement.encode(), {"ledger": ledger})

    def is_given_up(self, ledger: str) -> bool:
        """Whether the ledger was moved away or is gone, so that nobody can work on it here."""
        table = Identifier(ledger, "marks")
        with self._pool.connection() as connection:
            there = connection.execute("SELECT to_regclass(%s)", [table.as_string(connection)]).fetchone()
            if there == (None,):
                return True
            query = SQL("SELECT 1 FROM {} WHERE name = %s").format(table)
            return connection.execute(query, [FROZEN]).fetchone() is not None

    def tell(self, ledger: str, turn: str) -> None:
        """The turn has something to do now."""
        with self._pool.connection() as connection:
            connection.execute(TELL.encode(), {"ledger": ledger, "turn": turn, "seconds": 0.0})

    def cut_short(self, ledger: str, turn: str, others: Sequence[str] = ()) -> None:
        """Have the turn go on behind those of other links, and `others` of its ledger beside it."""
        with self._pool.connection() as connection, connection.transaction():
            where = "WHERE (ledger, turn) = (%s, %s) AND NOT behind"
            connection.execute(f"UPDATE turns SET behind = true {where}".encode(), [ledger, turn])
            for one in (turn, *others):
                connection.execute(TELL.encode(), {"ledger": ledger, "turn": one, "seconds": 0.0})

    def caught_up(self, ledger: str, turn: str) -> None:
        """From now on the turn stands in line as before it was cut short."""
        with self._pool.connection() as connection:
            connection.execute(
                "UPDATE turns SET behind = false WHERE (ledger, turn) = (%s, %s)", [ledger, turn]
            )

    def due_in(self, ledger: str, turn: str, seconds: float) -> None:
        """The turn is due again in so many seconds, whatever its pace."""
        with self._pool.connection() as connection:
            connection.execute(
                "UPDATE turns SET due_at = now() + make_interval(secs => %s) WHERE (ledger, turn) = (%s, %s)",
                [seconds, ledger, turn],
            )

    def hand_out(self) -> int:
        """Put what is due into the queue; how many jobs were added."""
        with self._pool.connection() as connection:
            return connection.execute(_HAND_OUT.encode()).rowcount

    def reassign(self) -> list[tuple[str, str]]:
        """Have what workers have left that are dead done by others; these turns, each with its ledger."""
        with self._pool.connection() as connection:
            return connection.execute(_REASSIGN.encode()).fetchall()

    def listen(self, came: Callable[[], None], stop: threading.Event, seconds: float) -> None:
        """Call `came` whenever there is news, and every so many seconds besides, until `stop` is set.

        Raises psycopg.Error when the database is gone.
        """
        with psycopg.connect(self.address, autocommit=True, **self._connect) as connection:  # type: ignore[arg-type]
            connection.execute(f"LISTEN {SCHEMA}".encode())
            while not stop.is_set():
                came()
                # One is enough to look, and all that have come by then are answered by that look.
                for _ in connection.notifies(timeout=seconds, stop_after=1):
                    pass
