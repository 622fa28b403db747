"""News that a transaction stores, told in that same transaction to the queue that hands out work on ledgers.

So it is told if and only if it is kept. Where there is no queue, nobody is told: an embedded worker looks. A
process that works beside a worker of its own notifies that one as well (`wake_ups`).
"""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

from sqlalchemy import Connection

from sync.ledger.database.engine import Engine

#: The schema of the queue. Its number rises with its shape: workers of two releases each have their own.
QUEUE_SCHEMA: Final = "giftsync_turns_1"
#: Told by its ledger and turn; whoever hands out turns listens on the channel.
TELL: Final = f"""
WITH told AS (
    INSERT INTO {QUEUE_SCHEMA}.news (ledger, turn, due_at)
    VALUES (%(ledger)s, %(turn)s, now() + make_interval(secs => %(seconds)s)) RETURNING 1
)
SELECT pg_notify('{QUEUE_SCHEMA}', '') FROM told
"""
#: The turns that news is for (`sync/worker/turns.py`): cards have become due, cards have arrived,
#: deliveries came that a side is to be asked about (the side's name follows), and below.
DUE: Final = "due"
ARRIVED: Final = "match"
DELIVERED: Final = "process/"
#: An import was queued.
IMPORT: Final = "import"
#: A receiver of events was added, or is to be told again.
TELL_RECEIVERS: Final = "tell"

#: The name in the queue of each engine's ledger.
_told: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()
#: The channel that a worker of this one ledger listens on, of each engine that notifies it.
_channels: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()


def notify_on(engine: Engine, channel: str) -> None:
    """From now on notify a PostgreSQL channel of the engine's news, which is told at once."""
    _channels[engine] = channel


def tell_queue(engine: Engine, ledger: str) -> bool:
    """Have the engine tell the queue of its news, if the database has one; whether it has."""
    if engine.dialect.name != "postgresql":
        return False
    with engine.connect() as connection:
        there = connection.exec_driver_sql("SELECT to_regclass(%s)", (f"{QUEUE_SCHEMA}.news",)).scalar_one()
    if there is not None:
        _told[engine] = ledger
    return there is not None


#: What the queue has of one ledger. A job that a worker has begun ends by itself.
FORGET: Final = (
    f"DELETE FROM {QUEUE_SCHEMA}.turns WHERE ledger = %(ledger)s",
    f"DELETE FROM {QUEUE_SCHEMA}.news WHERE ledger = %(ledger)s",
    f"DELETE FROM {QUEUE_SCHEMA}.procrastinate_jobs WHERE status = 'todo' AND args ->> 'ledger' = %(ledger)s",
)


def forget(engine: Engine, ledger: str) -> None:
    """Have the queue beside a ledger forget it: it was moved away, or erased."""
    if engine.dialect.name != "postgresql":
        return
    with engine.begin() as connection:
        there = connection.exec_driver_sql("SELECT to_regclass(%s)", (f"{QUEUE_SCHEMA}.turns",)).scalar_one()
        if there is None:
            return
        # The engine's own triggers name its tables without their schema.
        connection.exec_driver_sql(f"SET LOCAL search_path = {QUEUE_SCHEMA}")
        for statement in FORGET:
            connection.exec_driver_sql(statement, {"ledger": ledger})


def tell(connection: Connection, turn: str, seconds: float = 0.0) -> None:
    """Call it in the transaction that stores the news; `seconds` say how long it has to wait."""
    ledger = _told.get(connection.engine)
    if ledger is not None:
        connection.exec_driver_sql(TELL, {"ledger": ledger, "turn": turn, "seconds": seconds})
    channel = _channels.get(connection.engine)
    if channel is not None and seconds == 0:
        connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (channel, turn))
