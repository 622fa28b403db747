"""How soon the console answers with many cards in the ledger: pages, and searches by what people say.

    TEST_BENCH_PAGES=1000000 python -m bench pages

Every page is asked for by one signed-in browser, one after the other, over loopback, while the overview is
counted beside the pages as it always is; how long that takes is told as well. One card in a hundred is out
of step and one in two hundred has an open conflict. The ratio is each page's median to that of the
sign-in page, which reads nothing of the cards. TEST_BENCH_PAGES_KEPT names a folder in which the ledgers
stay, so that the next run need not make them.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import requests
from argon2 import PasswordHasher
from sqlalchemy import Connection, Engine, Table, text
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from bench.pace import p99
from bench.postgres import postgres
from connectors.memory import MemorySide
from console.app import create_app
from console.pulse import Pulse
from console.receiver import create_receiver
from console.server import serve
from console.visit import Console
from mappings.brands import Brands
from mappings.serials import Serial
from sync.ledger import views
from sync.ledger.cards.store import Store
from sync.ledger.database.engine import open_engine
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.tables import cards, conflicts, movements, origin_names, origins, presences
from sync.ledger.incoming.deliveries import Inbox
from sync.ledger.incoming.intake import Intake
from sync.ledger.secrets.vault import Vault, make_key
from sync.ledger.totals import Totals, read_totals
from sync.model import LinkRules, SideRules
from sync.reconcile.work import Link
from sync.standing import Standing, read_standing
from sync.support.people import People, Role

CARDS = 20_000
BATCH = 10_000
ASKED = 200
OUT_OF_STEP_EACH, CONFLICT_EACH = 100, 200
MEDIAN_MS_MAX, P99_MS_MAX = 50, 150
SIDES = ("flow", "shopify")
PASSWORD = "a sentence that nobody guesses"


def main() -> None:
    count = int(os.environ.get("TEST_BENCH_PAGES", CARDS))
    with kept_folder() as folder:
        key = folder / "key"
        if not key.exists():
            key.write_bytes(make_key())
        vault = Vault(key.read_bytes())
        measure("SQLite", f"sqlite:///{folder / 'ledger.db'}", vault, count)
        with postgres(folder / "postgres") as url:
            if url is not None:
                measure("PostgreSQL", url, vault, count)


@contextmanager
def kept_folder() -> Iterator[Path]:
    kept = os.environ.get("TEST_BENCH_PAGES_KEPT")
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
        yield Path(kept)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def measure(name: str, url: str, vault: Vault, count: int) -> None:
    engine = open_engine(url)
    upgrade(engine)
    began = time.monotonic()
    made = views.brief(engine).cards
    if made not in (0, count):
        raise SystemExit(f"{name}: the kept ledger has {made} cards")
    if not made:
        fill(engine, vault, count)
        print(f"{name}: {count} cards made in {time.monotonic() - began:.0f} s")
    link = link_of(engine, vault)
    people = People(engine, vault, link.clock, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    pulse = Pulse(lambda: link, lambda totals: standing_of(link, totals), lambda: totals_of(link))
    console = Console(people, lambda: link, pulse)
    receiver = create_receiver({}, Inbox(Intake(engine, vault)), link.clock, lambda *_: None)
    picture = pulse.refresh()
    print(
        f"{name}: to add up all cards takes {picture.totals.seconds:.2f} s, the rest of the overview "
        f"{picture.seconds * 1000:.0f} ms; {picture.waiting} conflicts, "
        f"{count - picture.totals.counts.in_step} cards out of step"
    )
    with pulse, serve(create_app(receiver, console), "127.0.0.1", 0) as port:
        session, base = requests.Session(), f"http://127.0.0.1:{port}"
        token = people.invite(Role.SUPPORT, "bench")
        form = {"name": f"bench {time.time()}", "password": PASSWORD, "again": PASSWORD}
        session.post(f"{base}/join/{token}", data=form, timeout=60).raise_for_status()
        csrf = re.findall(r'name="csrf" value="(\w+)"', session.get(f"{base}/cards", timeout=60).text)[0]
        pages: dict[str, Callable[[int], requests.Response]] = {
            "sign-in": lambda n: requests.get(f"{base}/sign-in", timeout=60),
            "overview": lambda n: session.get(f"{base}/", timeout=60),
            "cards": lambda n: session.get(f"{base}/cards?after={n * 97 % count}", timeout=60),
            "cards out of step": lambda n: session.get(
                f"{base}/cards?show=out-of-step&after={n * 97 % count}", timeout=60
            ),
            "card": lambda n: session.get(f"{base}/cards/{n * 97 % count + 1}", timeout=60),
            "conflicts": lambda n: session.get(f"{base}/conflicts?page={n % 20 + 1}", timeout=60),
            "conflict": lambda n: session.get(f"{base}/conflicts/{n % (count // 200) + 1}", timeout=60),
            "find by number": lambda n: found(session, base, csrf, number(n * 97 % count)),
            "find by last four": lambda n: found(session, base, csrf, number(n * 97 % count)[-4:]),
            "find by order": lambda n: found(session, base, csrf, f"#{n * 96 % count + 1001}"),
            "find by name": lambda n: found(session, base, csrf, holder(n * 96 % count)),
        }
        base_ms = 0.0
        for page, ask in pages.items():
            took, busy = [], time.process_time()
            for n in range(ASKED):
                began = time.perf_counter()
                answer = ask(n)
                took.append((time.perf_counter() - began) * 1000)
                if answer.status_code not in (200, 303):
                    raise SystemExit(f"{page}: {answer.status_code}")
            # Of the browser and the console together; a machine with other work to do takes longer.
            busy_ms = (time.process_time() - busy) * 1000 / ASKED
            base_ms = base_ms or median(took)
            held = median(took) < MEDIAN_MS_MAX and p99(took) < P99_MS_MAX
            print(
                f"{name}: {page}: median {median(took):.1f} ms, p99 {p99(took):.1f} ms, "
                f"{busy_ms:.1f} ms of processor time, ratio {median(took) / base_ms:.1f}"
                f"{'' if held else '  ABOVE THE BOUND'}"
            )
    engine.dispose()


def found(session: requests.Session, base: str, csrf: str, what: str) -> requests.Response:
    """The page with what was found, or the way to the one card; that card's page is not counted."""
    sent = session.post(f"{base}/cards", data={"csrf": csrf, "what": what}, timeout=60, allow_redirects=False)
    return session.get(f"{base}{sent.headers['location']}", timeout=60, allow_redirects=False)


def number(n: int) -> str:
    """The card's number: spread, so that last fours are shared as in life."""
    return f"{7_000_000_000_000_000 + n * 7_919:016}"


def holder(n: int) -> str:
    """Whose card it is: some hundred cards have the same name in a million."""
    return f"Kari{n % 89} Nordmann{n % 97}"


def fill(engine: Engine, vault: Vault, count: int) -> None:
    """Cards on both sides, each with its opening; every second one was bought online.

    Written as rows, since what is measured is reading.
    """
    now = datetime.now(UTC)
    for first in range(0, count, BATCH):
        ids = range(first, min(first + BATCH, count))
        with engine.begin() as connection:
            write(
                connection,
                cards,
                {"currency": "NOK", "status": "active", "created_at": now},
                ("id", "balance_minor"),
                ((n + 1, n % 100_000) for n in ids),
            )
            write(
                connection,
                presences,
                {"shadow_status": "active", "born": True},
                ("card_id", "side", "native_id", "last_chars", "serial_index", "shadow_minor"),
                (
                    (
                        n + 1,
                        side,
                        str(n),
                        number(n)[-4:],
                        vault.index(Serial(number(n))) if side == "flow" else None,
                        n % 100_000 + (side == "shopify" and n % OUT_OF_STEP_EACH == 1),
                    )
                    for n in ids
                    for side in SIDES
                ),
            )
            write(
                connection,
                origins,
                {"bought_at": now},
                ("card_id", "order_id", "order_name", "holder"),
                ((n + 1, str(n), f"#{n + 1001}", vault.seal_words(holder(n))) for n in ids if n % 2 == 0),
            )
            write(
                connection,
                origin_names,
                {},
                ("card_id", "word"),
                ((n + 1, word) for n in ids if n % 2 == 0 for word in vault.name_words(holder(n))),
            )
            write(
                connection,
                conflicts,
                {
                    "kind": "first_contact",
                    "cause": "first_contact",
                    "currency": "NOK",
                    "proposal": "",
                    "summary": "Two balances.",
                    "opened_at": now,
                    "last_seen_at": now,
                    "evidence": {"observed": {"flow": 100, "shopify": 101}},
                },
                ("card_id", "amount_minor"),
                ((n + 1, n % 100_000) for n in ids if n % CONFLICT_EACH == 1),
            )
            write(
                connection,
                movements,
                {"side": "flow", "kind": "opening", "evidence": {}, "at": now, "chain_seq": 1,
                 "chain_hash": "0" * 64},
                ("card_id", "amount_minor", "shadow_delta_minor", "balance_after_minor"),
                ((n + 1, *[n % 100_000] * 3) for n in ids),
            )  # fmt: skip
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


def write(
    connection: Connection,
    table: Table,
    same: Mapping[str, object],
    names: Sequence[str],
    rows: Iterable[Sequence[object]],
) -> None:
    """Rows as the driver takes them, without building a statement for each.

    `same` and the columns' own defaults are the same in every row.
    """
    given = {
        **{c.name: c.default.arg for c in table.c if isinstance(c.default, ScalarElementColumnDefault)},
        **same,
    }
    given = {name: value for name, value in given.items() if name not in names}
    dialect, constants = connection.dialect, []
    for name, value in given.items():
        bind = table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
        constants.append(value if bind is None else bind(value))
    columns = ", ".join(f'"{name}"' for name in (*names, *given))
    if dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        with driver.cursor().copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row((*row, *constants))
        return
    marks = ", ".join("?" for _ in (*names, *given))
    filled = [(*row, *constants) for row in rows]
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", filled)


def link_of(engine: Engine, vault: Vault) -> Link:
    def clock() -> datetime:
        return datetime.now(UTC)

    return Link(
        store=Store(engine, vault),
        sides={name: MemorySide(name, clock) for name in SIDES},
        rules=LinkRules({name: SideRules() for name in SIDES}),
        clock=clock,
        timezone=ZoneInfo("Europe/Oslo"),
        owner="bench",
        currency="NOK",
    )


def standing_of(link: Link, totals: Totals) -> Standing:
    engine, now = link.store.engine, link.clock()
    return read_standing(engine, link.sides, SIDES, Brands(), link.timezone, now, totals=totals)


def totals_of(link: Link) -> Totals:
    return read_totals(link.store.engine, link.clock(), SIDES, Brands())
