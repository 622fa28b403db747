"""`giftsync cards issue` is killed in mid-batch: the same batch again makes no card twice and loses none."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.demo.control import Control
from sync.ledger.database.engine import open_engine, reading
from sync.ledger.database.tables import cards, hub_entries, pool_numbers
from tests.support import Giftsync

COUNT, WORTH_MINOR = 8, 5_000
#: Where the process dies, one run after the other: before a card, in its transaction, after it, and when all
#: are made but on no paper yet. A repeated batch passes the first two for new cards only, the third for all.
KILLS = ("create.before:3", "create.inside:2", "create.after:2", f"authority.answers:{COUNT}")


def _made(url: str) -> tuple[int, int, int]:
    """Cards, issues, and numbers of the pool that are used."""
    engine = open_engine(url)
    try:
        with reading(engine) as connection:
            used = pool_numbers.select().where(pool_numbers.c.allotted_to.is_not(None))
            queries = (cards.select(), hub_entries.select().where(hub_entries.c.kind == "issue"), used)
            first, second, third = (len(connection.execute(query).all()) for query in queries)
    finally:
        engine.dispose()
    return first, second, third


@pytest.mark.timeout(300)
def test_given_a_batch_that_is_killed_again_and_again_then_each_card_is_made_once_and_none_is_lost(
    empty_url: str,
    config: Path,
    flow: Control,
    shopify: Control,
    giftsync: Giftsync,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIFTSYNC_DATABASE", empty_url)
    monkeypatch.setenv("GIFTSYNC_KEY_FILE", str(tmp_path / "key"))
    numbers = [str(one["number"]) for one in flow.call("pregenerate", count=COUNT + 2)["cards"]]
    (tmp_path / "pool.txt").write_text("\n".join(numbers))
    assert giftsync("pool", "add", str(tmp_path / "pool.txt"))[0] == 0
    paper = tmp_path / "made.csv"
    issue = ("cards", "issue", "50.00", "--count", str(COUNT), "--batch", "christmas", "--file", str(paper))

    counts = []
    for point in KILLS:
        command = [sys.executable, "-m", "tests.integration.killed_giftsync", point, *issue]
        killed = subprocess.run(
            [*command, "--config", str(config)], capture_output=True, text=True, timeout=100, check=False
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not paper.exists()
        counts.append(_made(empty_url))

    assert counts == [(n, n, n) for n in (2, 3, 5, COUNT)], "what was made before the kill, and no more"
    code, said, _ = giftsync(*issue)
    assert (code, f"{COUNT} cards" in said) == (0, True)
    assert _made(empty_url) == (COUNT, COUNT, COUNT)
    with paper.open(encoding="utf-8") as file:
        printed = [row["number"] for row in csv.DictReader(file)]
    assert len(set(printed)) == COUNT
    assert set(printed) < set(numbers)
    assert giftsync("sync")[0] == 0
    for side in (flow, shopify):
        shown = {card.serial.lower(): card.balance_minor for card in side.cards() if card.balance_minor}
        assert shown == dict.fromkeys(printed, WORTH_MINOR)
