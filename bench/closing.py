"""A month's close over many cards: how long it takes, and in how much memory, on each database.

    TEST_BENCH_CLOSED=1000000 python -m bench closing     # at full scale: most of the time is to set up

Each card has ten movements, the movements are spread evenly over two years, and half of them have a receipt.
A tenth of the cards expires, on days that are spread over two years as well.
The closed month is one in the middle, so half of the ledger lies before it and half after it. Filling and
closing are processes of their own, so that the peak memory is that of the close.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, text

from bench.postgres import postgres
from sync.books.journal import Accounts
from sync.books.render.pages import pdf_of
from sync.books.render.workbook import workbook_of
from sync.ledger.database.engine import open_engine
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.tables import movements, receipt_lines
from sync.ledger.secrets.vault import KEY_BYTES, Vault
from sync.support.bookkeeping import Bookkeeper, BookSettings, close

CARDS = int(os.environ.get("TEST_BENCH_CLOSED", "20000"))
MOVEMENTS_EACH = 10
SECONDS_MAX, MEMORY_MB_MAX = 60, 500
BEGAN = datetime(2024, 11, 1, tzinfo=UTC)
MONTH = "2025-11"
_DAYS = 730


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _measure("SQLite", f"sqlite:///{folder}/ledger.db")
    with postgres() as url:
        if url is not None:
            _measure("PostgreSQL", url)


def _measure(name: str, url: str) -> None:
    _in_process("fill", url)
    found = _in_process("close", url)
    print(
        f"{name}: {CARDS:,} cards, {CARDS * MOVEMENTS_EACH:,} movements, {found['booked']:,} of them in the "
        f"month: closed in {found['seconds']:.1f} s, {found['cpu_seconds']:.1f} s of them this process's own "
        f"({found['seconds'] / SECONDS_MAX:.2f} of the bound of {SECONDS_MAX} s), peak memory "
        f"{found['peak_mb']:.0f} MB (bound {MEMORY_MB_MAX}); {found['movements']:,} movements hashed; PDF "
        f"and spreadsheet in {found['render_seconds']:.1f} s more",
        flush=True,
    )


_FILL = (
    """
INSERT INTO cards (id, currency, balance_minor, status, held, behind, version, fencing, awaits_side,
    chain_seq, chain_head, created_at, expires_on)
{numbers} SELECT c, 'NOK', {worth}, 'active', false, false, 1, 1, false, {each}, '', {issued},
    CASE WHEN c % 10 = 0 THEN {last_day} END
FROM n""",
    """
INSERT INTO presences (card_id, side, native_id, last_chars, shadow_minor, shadow_status, born, stale,
    refusals, unreadable, note, watched, brand)
{numbers} SELECT c, side, side || '-' || c, '1234', 0, 'active', true, false, 0, 0, '', false,
    'Brand ' || c % 3
FROM n, (SELECT 'flow' AS side UNION ALL SELECT 'shopify') AS both_sides ORDER BY c""",
    """
INSERT INTO movements (card_id, side, kind, amount_minor, shadow_delta_minor, balance_after_minor, evidence,
    at, chain_seq, chain_hash)
{numbers} SELECT c, CASE WHEN (c + j / 3) % 2 = 0 THEN 'flow' ELSE 'shopify' END,
    CASE j WHEN 0 THEN 'opening' ELSE 'observed' END, {amount}, {amount}, {after}, {evidence}, {at}, j + 1,
    {chance}
FROM (SELECT c, j, c + j * {cards} AS slot FROM n, k) AS one ORDER BY slot""",
    """
INSERT INTO receipt_lines (side, key, native_id, kind, at, amount_minor, order_name, receipt, store, till)
SELECT side, 'r' || id, side || '-' || card_id, CASE WHEN amount_minor > 0 THEN 'sale' ELSE 'payment' END, at,
    amount_minor, 'o' || id, 'r' || id, 'Store ' || (card_id + chain_seq) % 20, '1'
FROM movements WHERE side = 'flow'""",
)
_AMOUNT = "CASE j WHEN 0 THEN 10000 * (1 + c % 10) WHEN 5 THEN 5000 ELSE -(500 + c % 400) END"
_AFTER = (
    "10000 * (1 + c % 10) - (500 + c % 400) * (CASE WHEN {j} < 5 THEN {j} ELSE {j} - 1 END)"
    " + CASE WHEN {j} < 5 THEN 0 ELSE 5000 END"
)
_NUMBERS = """WITH RECURSIVE n(c) AS (SELECT 1 UNION ALL SELECT c + 1 FROM n WHERE c < {cards}),
    k(j) AS (SELECT 0 UNION ALL SELECT j + 1 FROM k WHERE j < {last})"""
_EVIDENCE = '{"shown_minor": 27709, "shadow_minor": 50000, "explained_minor": 0, "entries": []}'


def _fill(engine: Engine) -> dict[str, object]:
    """Rows made by the database itself; each movement's id follows its time, as in a real ledger."""
    upgrade(engine)
    is_sqlite = engine.dialect.name == "sqlite"
    start, step = BEGAN.timestamp(), _DAYS * 86_400 / (CARDS * MOVEMENTS_EACH)
    at = f"to_timestamp({start} + slot * {step})"
    if is_sqlite:
        at = f"strftime('%Y-%m-%d %H:%M:%f000', {start} + slot * {step}, 'unixepoch')"
    words = {
        "numbers": _NUMBERS.format(cards=CARDS, last=MOVEMENTS_EACH - 1),
        "cards": CARDS,
        "each": MOVEMENTS_EACH,
        "amount": _AMOUNT,
        "after": _AFTER.format(j="j"),
        "worth": _AFTER.format(j=MOVEMENTS_EACH - 1),
        "evidence": f"'{_EVIDENCE}'" + ("" if is_sqlite else "::jsonb"),
        "at": at,
        "last_day": "date('2025-01-01', '+' || (c % 730) || ' days')"
        if is_sqlite
        else "date '2025-01-01' + c % 730",
        "issued": at.replace("slot", "c"),
        "chance": "lower(hex(randomblob(32)))" if is_sqlite else "md5(random()::text) || md5(random()::text)",
    }
    # Built once all rows are there, indexes take a tenth of the time.
    indexes = [*movements.indexes, *receipt_lines.indexes]
    engine.dispose()  # The upgrade's connection is kept for a moment, and SQLite's log goes only without it.
    with engine.connect() as connection:
        if is_sqlite:
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -3000000"):
                connection.connection.cursor().execute(f"PRAGMA {pragma}")
        for index in indexes:
            index.drop(connection)
        began = BEGAN.replace(tzinfo=None) if is_sqlite else BEGAN
        for name in ("flow", "shopify"):
            connection.execute(
                text("INSERT INTO sides VALUES (:name, :name, 'NOK', 'Europe/Oslo', :at)"),
                {"name": name, "at": began},
            )
        for statement in _FILL:
            connection.exec_driver_sql(statement.format(**words).replace("%", "%" if is_sqlite else "%%"))
        for index in indexes:
            index.create(connection)
        connection.commit()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # What PostgreSQL does by itself to a ledger that grows over two years.
        connection.exec_driver_sql("PRAGMA optimize" if is_sqlite else "VACUUM (ANALYZE)")
    return {}


def _close(engine: Engine) -> dict[str, object]:
    accounts = Accounts("2900", "2990", "1570", "1570", "1570", "3900", "7830", "7790")
    vault = Vault(bytes(range(KEY_BYTES)))
    keeper = Bookkeeper(
        engine, vault, ZoneInfo("Europe/Oslo"), BookSettings(accounts), lambda: datetime.now(UTC)
    )
    began, cpu_began = time.perf_counter(), time.process_time()
    sealed = close(keeper, MONTH)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    began = time.perf_counter()
    pdf_of(sealed.statement)
    workbook_of(sealed.statement)
    part = sealed.statement.currencies[0]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mb": peak_mb,
        "render_seconds": time.perf_counter() - began,
        "booked": sum(part.total.counts.values()),
        "movements": sealed.statement.ledger.movements,
    }


def _in_process(what: str, url: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.closing", what, url]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps({"fill": _fill, "close": _close}[sys.argv[1]](open_engine(sys.argv[2]))))
    else:
        main()
