"""The demo, short: real traffic on both emulators must end with the proof."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cli import main
from cli.demo import view
from cli.demo.view import Phase, Show, Snapshot
from cli.output import Output


def test_it_ends_with_the_proof(capsys: pytest.CaptureFixture[str]) -> None:
    code = main.run(["demo", "--duration", "4", "--cards", "6", "--seed", "2", "--json"])

    answer = json.loads(capsys.readouterr().out)
    assert code == 0, answer
    assert answer["proof"]["holds"] is True
    assert answer["proof"]["difference"] == "0.00"
    assert answer["movements"] > 0
    assert answer["lag_seconds"]["count"] > 0
    assert answer["lag_seconds"]["waiting"] == 0
    assert answer["errors"] == []
    assert answer["audit"]["findings"] == 0
    assert answer["audit"]["cards"] == answer["proof"]["cards"]


def test_its_kept_ledger_is_whole_until_a_row_is_altered_by_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    assert main.run(["demo", "--duration", "1", "--cards", "4", "--keep", str(kept)]) == 0
    config = str(kept / "giftsync.toml")
    assert config in capsys.readouterr().out

    assert main.run(["audit", "--config", config]) == 0
    assert "The ledger is whole" in capsys.readouterr().out

    with closing(sqlite3.connect(kept / "giftsync.db")) as connection, connection:
        card = connection.execute("SELECT min(card_id) FROM movements").fetchone()[0]
        connection.execute("UPDATE movements SET amount_minor = amount_minor + 1 WHERE card_id = ?", (card,))
    assert main.run(["audit", "--config", config]) == 2
    assert f"Card {card}: " in capsys.readouterr().out


def test_it_keeps_nothing_where_something_is_already(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("of value")

    assert main.run(["demo", "--duration", "1", "--keep", str(tmp_path)]) == 3
    assert f"{tmp_path} is not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_while_the_cards_are_gathered_it_shows_how_they_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots: list[Snapshot] = []

    @contextmanager
    def shown(_: Output) -> Iterator[Show]:
        yield snapshots.append

    monkeypatch.setattr(view, "shown", shown)

    assert main.run(["demo", "--duration", "1", "--cards", "30"]) == 0

    gathering = [one for one in snapshots if one.phase is Phase.GATHERING]
    brought = {(t.origin, t.to) for one in gathering for t in one.travels}
    # Which way the newest of them go at the moments of looking is chance.
    assert brought
    assert brought <= {("flow", ("shopify",)), ("shopify", ("flow",))}
    assert any(t.seconds is not None for one in gathering for t in one.travels)
    assert all(one.movements == 0 for one in gathering)


@pytest.mark.slow
def test_it_ends_with_the_proof_under_faults(capsys: pytest.CaptureFixture[str]) -> None:
    code = main.run(
        ["demo", "--duration", "10", "--cards", "20", "--faults", "--quiet-seconds", "2", "--json"]
    )

    answer = json.loads(capsys.readouterr().out)
    assert code == 0, answer
    assert answer["proof"]["holds"] is True


def test_for_people_it_says_so_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    code = main.run(["demo", "--duration", "1", "--cards", "2"])

    captured = capsys.readouterr()
    assert code == 0
    assert "Proved: every card is the same on both sides, and nothing was created or lost." in captured.out
    assert captured.err.startswith("Starting a store and a shop on this machine, with 2 cards in them.")
    assert "are the same on both sides" in captured.err
    assert "What to try next:" in captured.out
    assert "\x1b" not in captured.out + captured.err


@pytest.mark.parametrize("sides", ["lightspeed-x,shopify", "flow,lightspeed-x,shopify"])
def test_given_any_mix_of_sides_then_it_ends_with_the_proof(
    sides: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main.run(["demo", "--duration", "3", "--cards", "6", "--sides", sides, "--json"])

    answer = json.loads(capsys.readouterr().out)
    names = {one.replace("-", "_") for one in sides.split(",")}
    assert code == 0, answer
    assert answer["proof"]["sides"] == dict.fromkeys(names, answer["proof"]["expected"])
    assert answer["proof"]["account"]["spent_in_the_x_series_store"]["times"] > 0
    assert set(answer["usage"]) == names
    assert answer["errors"] == []
