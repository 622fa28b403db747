"""The ledger is not the truth: put back from a backup, copied, lost, deleted; on both emulators."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cli import main
from cli.demo.control import Control
from tests.support import Giftsync


@pytest.fixture
def ledger(config: Path) -> Path:
    return config.parent / "giftsync.db"


def backup(ledger: Path) -> dict[str, bytes]:
    """The database as it lies on the disk after a run."""
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return {ledger.name: ledger.read_bytes()}


def put_back(ledger: Path, kept: dict[str, bytes]) -> None:
    for path in ledger.parent.glob(f"{ledger.name}-*"):
        path.unlink()
    ledger.write_bytes(kept[ledger.name])


def balances(*controls: Control) -> list[dict[str, int]]:
    return [{card.serial: card.balance_minor for card in c.cards() if card.balance_minor} for c in controls]


def audit(giftsync: Giftsync) -> None:
    code, out, err = giftsync("audit", "--live")
    assert code == 0, out + err


def test_given_a_ledger_that_was_put_back_then_a_redemption_counts_once(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path
) -> None:
    number = flow.move("sell", 50_000)["number"]
    assert giftsync("sync")[0] == 0
    kept = backup(ledger)
    flow.move("redeem", 10_000, number=number)
    assert giftsync("sync")[0] == 0

    put_back(ledger, kept)
    code, out, err = giftsync("sync")

    assert code == 0, out + err
    assert [b[number] for b in balances(flow, shopify)] == [40_000, 40_000]
    audit(giftsync)


def test_given_a_ledger_that_was_put_back_then_what_both_sides_did_counts_once(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path
) -> None:
    number = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    kept = backup(ledger)
    for _ in range(2):
        flow.move("redeem", 3_000, number=number)
        giftsync("sync")
        shopify.move("checkout", 5_000, code=number)
        giftsync("sync")
    flow.move("deposit", 7_000, number=number)
    giftsync("sync")
    # What the newest ledger has not seen either.
    shopify.move("checkout", 1_000, code=number)

    put_back(ledger, kept)
    code, out, err = giftsync("sync")

    assert code == 0, out + err
    worth = 50_000 - 2 * 3_000 - 2 * 5_000 + 7_000 - 1_000
    assert [b[number] for b in balances(flow, shopify)] == [worth, worth]
    audit(giftsync)


def test_given_a_card_bought_since_the_backup_then_it_is_not_downloaded_again(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path
) -> None:
    giftsync("sync")
    kept = backup(ledger)
    code_ = shopify.move("purchase", 30_000, name="Ola Nordmann", email="ola@example.com")["code"]
    giftsync("sync")
    before = balances(flow, shopify)
    assert sum(before[0].values()) == 30_000

    put_back(ledger, kept)
    code, out, err = giftsync("sync")

    assert code == 0, out + err
    assert balances(flow, shopify) == before
    (number,) = before[0]
    flow.move("redeem", 4_000, number=number)
    giftsync("sync")
    assert balances(flow, shopify) == [{number: 26_000}, {code_: 26_000}]
    audit(giftsync)


def test_given_only_the_key_is_left_then_no_second_card_is_made(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path
) -> None:
    code_ = shopify.move("purchase", 30_000, name="Ola Nordmann", email="ola@example.com")["code"]
    giftsync("sync")
    before = balances(flow, shopify)

    for path in ledger.parent.glob(f"{ledger.name}*"):
        if path.suffix != ".generation":
            path.unlink()
    code, out, err = giftsync("sync")

    assert code == 0, out + err
    assert balances(flow, shopify) == before
    (number,) = before[0]
    flow.move("redeem", 4_000, number=number)
    giftsync("sync")
    assert balances(flow, shopify) == [{number: 26_000}, {code_: 26_000}]
    audit(giftsync)


def test_given_customers_who_took_back_what_they_did_then_giftsync_follows(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path
) -> None:
    number = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    kept = backup(ledger)
    flow.move("redeem", 10_000, number=number)
    giftsync("sync")
    flow.move("deposit", 10_000, number=number)

    put_back(ledger, kept)
    code, out, err = giftsync("sync")

    # A debit of 100 is left in the shop; the store's receipts explain it.
    assert code == 0, out + err
    assert [b[number] for b in balances(flow, shopify)] == [50_000, 50_000]
    audit(giftsync)


@pytest.fixture
def copied(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], Giftsync]:
    """Copy the whole folder to a second machine; what it gives runs a command there."""

    def copy() -> Giftsync:
        folder = tmp_path / "second machine"
        folder.mkdir()
        for path in config.parent.glob("giftsync*"):
            shutil.copy2(path, folder / path.name)

        def run(*arguments: str) -> tuple[int, str, str]:
            code = main.run([*arguments, "--config", str(folder / config.name)])
            captured = capsys.readouterr()
            return code, captured.out, captured.err

        return run

    return copy


def test_given_two_ledgers_on_one_link_then_the_one_that_sees_the_others_work_stops_until_it_is_resumed(
    giftsync: Giftsync, copied: Callable[[], Giftsync], flow: Control, shopify: Control
) -> None:
    number = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    second = copied()
    assert second("sync")[0] == 0

    flow.move("redeem", 1_000, number=number)
    for _ in range(3):
        assert giftsync("sync")[0] == 0
        code, _, err = second("sync")
        assert code == 2
        assert "another ledger" in err

    assert [b[number] for b in balances(flow, shopify)] == [49_000, 49_000]
    audit(giftsync)

    # The first machine is given up, and the second goes on.
    assert second("resume", "--why", "the first one is switched off")[0] == 0
    shopify.move("checkout", 2_000, code=number)
    code, out, err = second("sync")
    assert code == 0, out + err
    assert [b[number] for b in balances(flow, shopify)] == [47_000, 47_000]
    audit(second)


def test_given_a_value_that_a_person_set_is_lost_then_the_card_is_held_until_recover_settles_it(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path
) -> None:
    number = flow.move("sell", 50_000)["number"]
    other = flow.move("sell", 9_000)["number"]
    giftsync("sync")
    kept = backup(ledger)
    flow.move("redeem", 10_000, number=number)
    giftsync("sync")
    # What a person decides with the newest ledger is an effect of giftsync's that no customer explains.
    card_id = card_of(giftsync, number)
    set_value(ledger, card_id, 25_000)
    giftsync("sync")
    assert [b[number] for b in balances(flow, shopify)] == [25_000, 25_000]
    flow.move("redeem", 2_000, number=other)

    put_back(ledger, kept)
    code, out, err = giftsync("sync")

    assert code == 1, out + err
    assert [b[number] for b in balances(flow, shopify)] == [25_000, 25_000]
    assert [b[other] for b in balances(flow, shopify)] == [7_000, 7_000]
    (conflict,) = json.loads(giftsync("conflicts", "list", "--json")[1])["conflicts"]
    assert (conflict["kind"], conflict["card_id"], conflict["evidence"]["cards"]) == (
        "ledger_behind",
        None,
        [card_id],
    )
    code, out, _ = giftsync("recover")
    assert (code, "250" in out) == (1, True)

    why = ("--why", "it was settled with the customer")
    assert giftsync("recover", "--card", str(card_id), "--accept", "shopify", "--preview", "--json")[0] == 0
    code, out, err = giftsync("recover", "--card", str(card_id), "--accept", "shopify", *why)
    assert (code, "worth" in out) == (0, True), out + err
    assert giftsync("sync")[0] == 0
    assert json.loads(giftsync("conflicts", "list", "--json")[1])["conflicts"] == []
    assert [b[number] for b in balances(flow, shopify)] == [25_000, 25_000]
    flow.move("redeem", 1_000, number=number)
    assert giftsync("sync")[0] == 0
    assert [b[number] for b in balances(flow, shopify)] == [24_000, 24_000]
    audit(giftsync)


def card_of(giftsync: Giftsync, number: str) -> int:
    cards = json.loads(giftsync("cards", "list", "--json")[1])["cards"]
    return next(int(c["id"]) for c in cards if any(p["last_chars"] == number[-4:] for p in c["presences"]))


def set_value(ledger: Path, card_id: int, value_minor: int) -> None:
    """A person says what a card is worth, to a conflict that is made for it."""
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute(
            "INSERT INTO conflicts (card_id, currency, side, kind, cause, summary, amount_minor, proposal,"
            " evidence, seen, opened_at, last_seen_at) SELECT id, currency, 'flow', 'refused', 'r',"
            " '', 0, '', '{}', 1, created_at, created_at FROM cards WHERE id = ?",
            (card_id,),
        )
        (conflict,) = connection.execute("SELECT max(id) FROM conflicts").fetchone()
    amount = f"{value_minor / 100:.2f}"
    said = ["conflicts", "resolve", str(conflict), "value", "--amount", amount, "--why", "a person said so"]
    assert main.run([*said, "--config", str(ledger.parent / "giftsync.toml")]) == 0


def test_given_a_running_ledger_then_a_backup_is_whole_private_and_known_as_one(
    giftsync: Giftsync, flow: Control, shopify: Control, ledger: Path, tmp_path: Path
) -> None:
    number = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    copy = tmp_path / "copy.db"
    assert giftsync("backup", str(copy))[0] == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert giftsync("backup", str(copy))[0] == 3
    shopify.move("checkout", 10_000, code=number)
    giftsync("sync")

    put_back(ledger, {ledger.name: copy.read_bytes()})
    answer = json.loads(giftsync("recover", "--preview", "--json")[1])
    assert (answer["effects"], balances(flow)[0][number]) == ([], 40_000)
    code, out, err = giftsync("recover", "--json")

    assert code == 0, out + err
    assert json.loads(out)["read_back"] == 1
    assert [b[number] for b in balances(flow, shopify)] == [40_000, 40_000]
