"""What a fleet of idle links costs to look at: `giftsync links list`, in files and in one PostgreSQL.

    python -m bench fleet

Each link has a ledger of its own with a few cards in it. Beside it stands what the list would cost if each
link's ledger was opened as `giftsync status` opens it.
"""

from __future__ import annotations

import resource
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, event, insert, make_url, text

from bench.postgres import postgres
from cli.build import now, open_ledger
from cli.emulators import Address
from cli.fleet import Fleet, FleetLink
from cli.fleet_list import FleetReader
from cli.sandbox_config import Pace, sandbox_values
from cli.session import load_settings, opened_sides
from cli.status_report import read_report
from config.template import Values, render_toml
from sync.ledger.database.engine import open_engine
from sync.ledger.database.tables import cards, metadata

FILES, SCHEMAS, CARDS = 1_000, 200, 5
COMPARED = 20
#: Nobody is asked anything.
NOWHERE = Address(
    {
        "shopify": {
            "url": "http://127.0.0.1:1",
            "shop": "s.myshopify.com",
            "token": "of-no-worth",
            "api_secret": "of-no-worth",
        },
        "flow": {"url": "http://127.0.0.1:1", "tenant": "t", "store": "s", "token": "of-no-worth"},
    }
)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _measure("files", Fleet(folder / "files"), _in_files(folder / "files", FILES))
        with postgres() as url:
            if url is None:
                return
            fleet = Fleet(folder / "schemas")
            _measure("schemas of one PostgreSQL", fleet, fill_schemas(folder / "schemas", url, SCHEMAS), url)


def _measure(where: str, fleet: Fleet, made: float, url: str | None = None) -> None:
    print(f"links in {where}: made in {made:.0f} s")
    queries = 0

    def counted(*_: object) -> None:
        nonlocal queries
        queries += 1

    event.listen(Engine, "before_cursor_execute", counted)
    links = fleet.links()
    with FleetReader() as reader:
        reader.row(links[0])
    queries, connections = 0, 0
    before = _memory()
    began, used = time.monotonic(), time.process_time()
    with FleetReader() as reader:
        rows = [reader.row(link) for link in links]
        connections = 0 if url is None else _connections(url)
    seconds, cpu = time.monotonic() - began, time.process_time() - used
    event.remove(Engine, "before_cursor_execute", counted)
    states = {row["state"] for row in rows}
    if states != {"idle"} or any(row["cards"] != CARDS for row in rows):
        raise SystemExit(f"the links do not stand as they should: {states}")
    one_by_one = _opened_each(links[:COMPARED])
    print(
        f"  {len(rows):,} links: {seconds:.1f} s, {cpu / len(rows) * 1000:.1f} ms of a processor each, "
        f"{queries / len(rows):.1f} statements each, {_memory() - before:.1f} MiB more at the peak"
        + (f", {connections} connections" if url is not None else "")
    )
    print(f"  opened one by one as `status` does: {one_by_one:.0f} ms of a processor each")


def _opened_each(links: list[FleetLink]) -> float:
    """Milliseconds of a processor for each link."""
    used = time.process_time()
    for link in links:
        settings = load_settings(link.config)
        with open_ledger(settings, create=False) as ledger, opened_sides(settings) as sides:
            read_report(settings, ledger.engine, sides, now())
    return (time.process_time() - used) / len(links) * 1000


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _connections(url: str) -> int:
    """Connections to the database but for the one that asks."""
    engine = open_engine(url)
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        found = connection.execute(query).scalar_one()
    engine.dispose()
    return int(found) - 1


def _schema(url: str, number: int) -> str:
    with_schema = make_url(url).update_query_dict({"schema": f"link_{number}"})
    return with_schema.render_as_string(hide_password=False)


def _settings(database: str, values: Values | None = None) -> str:
    values = values or sandbox_values(NOWHERE, Pace())
    own: Values = {("database",): database, ("key_file",): "giftsync.key"}
    return render_toml({**values, **own})


def _fill(engine: Engine, count: int = CARDS) -> None:
    with engine.begin() as connection:
        at = datetime.now(UTC)
        row = {"currency": "NOK", "balance_minor": 100, "status": "active", "created_at": at}
        if count:
            connection.execute(insert(cards), [row] * count)


def _folder(fleet: Path, number: int, database: str, values: Values | None = None) -> Path:
    folder = fleet / f"link-{number:04}"
    folder.mkdir(parents=True)
    (folder / "giftsync.toml").write_text(_settings(database, values), encoding="utf-8")
    return folder


def _in_files(fleet: Path, count: int) -> float:
    began = time.monotonic()
    first = _folder(fleet, 0, "sqlite:///giftsync.db")
    with open_ledger(load_settings(first / "giftsync.toml")) as ledger:
        _fill(ledger.engine)
    for number in range(1, count):
        folder = _folder(fleet, number, "sqlite:///giftsync.db")
        for name in ("giftsync.db", "giftsync.key"):
            shutil.copy(first / name, folder / name)
    return time.monotonic() - began


def fill_schemas(
    fleet: Path, url: str, count: int, *, cards_each: int = CARDS, values: Values | None = None
) -> float:
    """Seconds that it takes to make so many links in schemas of one database, with `values` as settings.

    The first is migrated; the tables of the others are made at once, which takes a tenth of the time.
    """
    began = time.monotonic()
    plain = open_engine(url)
    first = _folder(fleet, 0, _schema(url, 0), values)
    with open_ledger(load_settings(first / "giftsync.toml")) as ledger:
        _fill(ledger.engine, cards_each)
    for number in range(1, count):
        folder = _folder(fleet, number, _schema(url, number), values)
        shutil.copy(first / "giftsync.key", folder / "giftsync.key")
        with plain.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA link_{number}"))
            connection.execute(text(f"SET LOCAL search_path = link_{number}"))
            metadata.create_all(connection, checkfirst=False)
            connection.execute(text("CREATE TABLE alembic_version AS SELECT * FROM link_0.alembic_version"))
            at = datetime.now(UTC)
            row = {"currency": "NOK", "balance_minor": 100, "status": "active", "created_at": at}
            if cards_each:
                connection.execute(insert(cards), [row] * cards_each)
    plain.dispose()
    return time.monotonic() - began


if __name__ == "__main__":
    main()
