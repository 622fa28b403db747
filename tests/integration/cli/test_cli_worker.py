"""`giftsync worker`: what it cannot work on it says, and it stops in time."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import requests

from cli import main
from cli.demo.control import Control
from sync.fleet.queue import TurnQueue
from sync.ledger.database.news import QUEUE_SCHEMA as SCHEMA
from tests.support import kept_port, seen_in_time


def test_given_links_in_files_alone_then_a_worker_says_that_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    fleet = str(tmp_path / "links")
    main.run(["links", "add", "acme", "--from", str(config), "--fleet", fleet])

    code = main.run(["worker", "--fleet", fleet])

    _, err = capsys.readouterr()
    assert code == 3
    assert "acme: its ledger is a file, which one process works on: `giftsync run`" in err
    assert "keeps its ledger in PostgreSQL" in err


@pytest.fixture
def empty_database(_start_over: Callable[[str], str]) -> str:
    return _start_over("empty")


@pytest.mark.postgres
def test_given_a_fleet_then_a_worker_works_until_it_is_told_to_stop(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    config: Path,
    empty_database: str,
) -> None:
    url, fleet = empty_database, str(tmp_path / "links")
    main.run(["links", "add", "acme", "--from", str(config), "--postgres", url, "--fleet", fleet])
    capsys.readouterr()
    queue = TurnQueue(url)

    def has_worked() -> bool:
        with psycopg.connect(queue.address) as connection:
            found = connection.execute("SELECT to_regclass('link_acme.runs')").fetchone()
            if found == (None,):
                return False
            runs = connection.execute("SELECT count(*) FROM link_acme.runs WHERE kind = 'worker'").fetchone()
            return runs is not None and runs[0] > 0

    metrics = ""

    def is_served(port: int) -> bool:
        nonlocal metrics
        with suppress(requests.RequestException):
            metrics = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        return 'giftsync_counted_timestamp_seconds{link="acme"}' in metrics

    def stop(port: int) -> None:
        seen_in_time(has_worked)
        seen_in_time(lambda: is_served(port))
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        with kept_port() as port:
            threading.Thread(target=stop, args=(port,), daemon=True).start()
            code = main.run(["worker", "--fleet", fleet, "--json", "--metrics-port", str(port)])
        out, _ = capsys.readouterr()
        answer = json.loads(out)
        assert (code, answer["drained"], answer["turns"] > 0) == (0, True, True)
        assert 'giftsync_worker_up{link="acme"}' in metrics
        assert "giftsync_links_open " in metrics
        assert "giftsync_turns_total " in metrics
    finally:
        with psycopg.connect(queue.address, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA}, link_acme CASCADE".encode())


@pytest.mark.postgres
def test_given_an_import_that_was_queued_then_a_worker_of_the_fleet_carries_it_out(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    config: Path,
    flow: Control,
    shopify: Control,
    empty_database: str,
) -> None:
    fleet = tmp_path / "links"
    main.run(
        ["links", "add", "acme", "--from", str(config), "--postgres", empty_database, "--fleet", str(fleet)]
    )
    settings, plan = ["--config", str(fleet / "acme" / "giftsync.toml")], tmp_path / "plan.csv"
    numbers = [flow.call("sell", amount="100")["number"] for _ in range(6)]
    cards = tmp_path / "cards.csv"
    cards.write_text("\n".join(["Gift card number,Balance", *(f"{one},100.00" for one in numbers)]) + "\n")
    main.run(["import", "plan", str(cards), "-o", str(plan), *settings])
    capsys.readouterr()

    assert main.run(["import", "queue", str(plan), *settings]) == 3
    assert "Add --yes" in capsys.readouterr().err
    assert main.run(["import", "queue", str(plan), "--yes", *settings]) == 0
    said = capsys.readouterr()
    assert "6 rows to do" in said.out
    assert "No worker runs" in said.err
    main.run(["links", "list", "--fleet", str(fleet), "--json"])
    assert "is under way, 6 rows left." in json.loads(capsys.readouterr().out)["links"][0]["words"]

    def plans() -> list[dict[str, object]]:
        capsys.readouterr()
        main.run(["import", "list", "--json", *settings])
        found: list[dict[str, object]] = json.loads(capsys.readouterr().out)["plans"]
        return found

    assert plans()[0]["state"] == "queued"
    assert main.run(["import", "pause", str(plan), *settings]) == 0
    assert main.run(["import", "pause", str(plan), *settings]) == 3
    assert plans()[0]["state"] == "planned"
    main.run(["import", "queue", str(plan), "--yes", *settings])

    rows = "SELECT count(*) FROM link_acme.import_rows WHERE state <> 'done'"

    def stop() -> None:
        # The worker meets the cards in the store's news as well, and may make them before the import.
        with psycopg.connect(TurnQueue(empty_database).address, autocommit=True) as connection:
            seen_in_time(lambda: connection.execute(rows).fetchone() == (0,), 60)
        seen_in_time(lambda: len(shopify.cards()) == len(numbers), 60)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    try:
        assert main.run(["worker", "--fleet", str(fleet)]) == 0
        assert [card.balance_minor for card in shopify.cards()] == [10_000] * len(numbers)
        capsys.readouterr()
        main.run(["import", "report", str(plan), "--json", *settings])
        assert json.loads(capsys.readouterr().out)["left"] == 0
    finally:
        with psycopg.connect(TurnQueue(empty_database).address, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA}, link_acme CASCADE".encode())
