"""The books on the command line, over the ledger that a demo leaves: what an accountant types and reads."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cli import books as cli_books
from cli import main
from cli.demo.tally import OPENING
from mappings.money import minor_from_decimal
from sync.books.periods import month_after, month_of

OSLO = ZoneInfo("Europe/Oslo")
#: The settings of a demo's ledger, what its people say they did, in minor units, and when it ended.
Demo = tuple[Path, dict[str, int], datetime]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A demo with a ledger that is kept."""
    kept = tmp_path_factory.mktemp("demo") / "kept"
    with pytest.MonkeyPatch.context() as patch:
        answers: list[str] = []
        patch.setattr(
            "cli.output.Output.emit", lambda _, __, result, *___: answers.append(json.dumps(result["proof"]))
        )
        assert (
            main.run(
                ["demo", "--duration", "6", "--cards", "12", "--seed", "5", "--keep", str(kept), "--json"]
            )
            == 0
        )
    proof = json.loads(answers[0])
    account = {name: minor_from_decimal(line["amount"], "NOK") for name, line in proof["account"].items()}
    ended_at = datetime.now(UTC)
    return (
        kept / "giftsync.toml",
        {
            **account,
            "written_off": minor_from_decimal(proof["written_off"]["amount"], "NOK"),
            "expected": minor_from_decimal(proof["expected"], "NOK"),
        },
        ended_at,
    )


@pytest.fixture
def run(demo: Demo, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run([*arguments, "--config", str(demo[0])])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture(autouse=True)
def _just_after(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the month of the demo, whatever midnight has passed since."""
    monkeypatch.setattr(cli_books, "now", lambda: demo[2])


@pytest.fixture
def next_month(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> str:
    """The month of the demo, which is over by now."""
    month = month_of(demo[2], OSLO)
    after = datetime.fromisoformat(f"{month_after(month)}-02").replace(tzinfo=UTC)
    monkeypatch.setattr(cli_books, "now", lambda: after)
    return month


def test_given_the_demos_ledger_then_the_roll_forward_is_the_peoples_account_to_the_minor_unit(
    demo: Demo, run: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = run("liability", "--json")
    answer, account = json.loads(out), demo[1]
    total = answer["statement"]["currencies"][0]["total"]
    lines = total["lines"]

    assert code == 0
    assert total["closing_minor"] == account["expected"]
    assert total["opening_minor"] == 0
    assert lines["taken_over"] == account[OPENING.words]
    assert lines["issued"] == account["sold_in_the_store"] + account["sold_online"]
    assert lines["loaded"] == account["loaded_in_the_store"]
    assert lines["refunded"] == account["refunded_online"]
    assert lines["redeemed"] == account["spent_in_the_store"] + account["spent_online"]
    assert lines["written_off"] == account["written_off"]
    assert [lines[name] for name in ("expired", "closed", "transferred", "adjusted")] == [0, 0, 0, 0]
    assert (answer["schema"], answer["exit_code"]) == ("giftsync/liability/1", 0)


def test_given_people_then_the_first_line_says_what_is_owed(
    demo: Demo, run: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = run("liability")

    assert code == 0
    first, second = out.splitlines()[:2]
    assert first.endswith("draft.")
    assert "NOK are owed on" in second
    assert "Roll-forward, NOK" in out
    assert "\x1b" not in out


def test_given_the_settlement_then_all_positions_come_to_zero(
    run: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, _ = run("settlement", "--json")
    part = json.loads(out)["currencies"][0]

    assert code == 0
    assert sum(p["for_others_minor"] - p["by_others_minor"] for p in part["places"]) == 0
    assert sum(cell["amount_minor"] for cell in part["matrix"]) > 0


def test_given_a_line_then_its_entries_come_to_it_and_hold_no_personal_data(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    total = json.loads(run("liability", "--json")[1])["statement"]["currencies"][0]["total"]
    plain, personal = tmp_path / "plain.csv", tmp_path / "personal.csv"

    assert run("books", "entries", "--line", "redeemed", "--csv", str(plain))[0] == 0
    assert run("books", "entries", "--line", "redeemed", "--personal", "--csv", str(personal))[0] == 0

    rows = list(csv.DictReader(plain.read_text(encoding="utf-8-sig").splitlines()))
    assert sum(minor_from_decimal(row["amount"], "NOK") for row in rows) == total["lines"]["redeemed"]
    assert len(rows) == total["counts"]["redeemed"]
    assert not {"buyer", "order"} & set(rows[0])
    assert {"buyer", "order"} <= set(next(csv.reader(personal.read_text(encoding="utf-8-sig").splitlines())))
    assert all(row["ends_in"].startswith("••••") and len(row["ends_in"]) == 8 for row in rows)
    assert plain.stat().st_mode & 0o077 == 0


def test_given_the_cards_behind_the_closing_then_they_come_to_it(
    demo: Demo, run: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = run("books", "cards", "--limit", "1000", "--json")

    assert code == 0
    assert sum(card["closing_minor"] for card in json.loads(out)["cards"]) == demo[1]["expected"]


def test_given_a_month_that_is_over_then_it_is_closed_written_and_proved(
    run: Callable[..., tuple[int, str, str]],
    next_month: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    to = tmp_path / "statements"

    code, out, err = run("close", next_month, "--to", str(to), "--csv")
    written = {path.name: path.read_bytes() for path in to.iterdir() if path.is_file()}
    again, _, _ = run("close", next_month, "--to", str(to))

    stem = f"statement-0001-{next_month}"
    assert (code, again) == (0, 0)
    assert set(written) == {f"{stem}.json", f"{stem}.pdf", f"{stem}.xlsx"}
    assert {path.name: path.read_bytes() for path in to.iterdir() if path.is_file()} == written
    assert "statement 1." in out
    assert "was not read to the end" in err
    code, out, _ = run("close", "verify", str(to / f"{stem}.json"))
    assert code == 0, out
    assert f"holds: statement 1 of {next_month}." in out
    assert next_month in run("close", "list")[1]
    told = " ".join(run("liability", "--month", next_month)[1].split())
    assert f"{next_month} is closed. Statement 1 says: " in told
    assert "what came later" not in told

    altered = (to / f"{stem}.json").read_bytes().replace(b'"opening_minor": 0', b'"opening_minor": 1', 1)
    (to / f"{stem}.json").write_bytes(altered)
    code, out, _ = run("close", "verify", str(to / f"{stem}.json"), "--alone")
    assert code == 2
    assert "The file is not what was signed: it was changed afterwards." in out
    code, _, err = run("close", next_month, "--to", str(to))
    assert code == 3
    assert "is there already and is another one" in err
    assert (to / f"{stem}.json").read_bytes() == altered


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("close", "2099-01"), "is not over"),
        (("close", "2026-13"), "is not a month"),
        (("close", "verify", "/nowhere.json"), "cannot be read: No such file"),
        (("liability", "--month", "november"), "is not a month"),
        (("liability", "--month", "2026-11", "--at", "2026-11-03"), "not several of them"),
        (("liability", "--from", "2026-11-05", "--until", "2026-11-01"), "before it begins"),
        (("liability", "--from", "5.11.2026"), "is no date such as 2026-12-31"),
        (("liability", "--pdf", "/nowhere/a.pdf"), "cannot be written: No such file"),
        (("books", "entries", "--csv", "/nowhere/a.csv"), "cannot be written: No such file"),
    ],
)
def test_given_what_cannot_be_done_then_it_says_why(
    run: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = run(*arguments)

    assert code == 3
    assert words in err
    assert "Traceback" not in err
    assert out == ""


def test_given_no_ledger_then_it_says_what_makes_one(
    tmp_path: Path, demo: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "giftsync.toml"
    config.write_text(demo[0].read_text())

    assert main.run(["liability", "--config", str(config)]) == 3
    assert "there is no ledger" in capsys.readouterr().err
    assert not (tmp_path / "giftsync.db").exists()


def test_given_a_list_of_standard_accounts_then_codes_that_are_not_on_it_are_refused_with_the_nearest(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standard = tmp_path / "standard.csv"
    known = ("1579", "2900", "2999", "3900", "7798", "7830")
    standard.write_text("".join(f"{code};Konto {code};Account\r\n" for code in known), encoding="utf-8")
    monkeypatch.setenv("GIFTSYNC_BOOKS__STANDARD_ACCOUNTS", str(standard))
    assert run("liability")[0] == 0

    monkeypatch.setenv("GIFTSYNC_BOOKS__ACCOUNTS__BREAKAGE", "3901")
    code, _, told = run("liability")

    assert code == 3
    assert "breakage = 3901 (the nearest is 3900, Konto 3900)" in " ".join(told.split())
