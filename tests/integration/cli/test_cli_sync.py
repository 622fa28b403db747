"""The commands on a real link: both emulators, a ledger on disk, and what a person sees and scripts read."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import main
from cli.demo.control import Control
from cli.emulators import Address
from cli.sandbox_config import Pace, sandbox_toml
from tests.support import Giftsync

PACE = Pace(quiet_seconds=0, poll_seconds=1)


def answer_of(result: tuple[int, str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(result[1])
    return answer


def balances(control: Control) -> dict[str, int]:
    return {card.serial: card.balance_minor for card in control.cards()}


def test_a_store_and_a_shop_are_kept_in_step(giftsync: Giftsync, flow: Control, shopify: Control) -> None:
    # given: a card sold in the store and one bought online
    number = flow.move("sell", 50_000)["number"]
    code = shopify.move("purchase", 30_000, name="Ola Nordmann", email="ola@example.com")["code"]

    # when
    code_of_sync, out, err = giftsync("sync")

    # then: the first has the same serial online, the second a number in the store
    assert code_of_sync == 0, err
    assert "in step." in out
    assert balances(shopify)[number] == 50_000
    assert sum(balance == 30_000 for balance in balances(flow).values()) >= 1
    in_store = next(
        card.serial
        for card in flow.cards()
        if card.serial.startswith("9900") and card.balance_minor == 30_000
    )

    # when: both are spent on both sides
    shopify.move("checkout", 12_050, code=number)
    flow.move("redeem", 3_000, number=number)
    flow.move("redeem", 10_000, number=in_store)
    answer = answer_of(giftsync("sync", "--json"))

    # then: every redemption counts on the other side
    assert answer["exit_code"] == 0
    assert balances(flow)[number] == balances(shopify)[number] == 34_950
    assert balances(flow)[in_store] == balances(shopify)[code] == 20_000

    # when: nothing has happened since
    before = (flow.stats()["mutations"], shopify.stats()["mutations"])
    code_of_sync, _, _ = giftsync("sync")

    # then: nothing is written
    assert code_of_sync == 0
    assert (flow.stats()["mutations"], shopify.stats()["mutations"]) == before


def test_a_dry_run_tells_and_does_nothing(
    giftsync: Giftsync, flow: Control, shopify: Control, config: Path
) -> None:
    number = flow.move("sell", 7_700)["number"]
    before = (flow.stats()["mutations"], shopify.stats()["mutations"], balances(flow), balances(shopify))

    answer = answer_of(giftsync("sync", "--dry-run", "--json"))

    (effect,) = answer["effects"]
    assert (effect["side"], effect["card"], effect["effect"]) == ("shopify", f"••••{number[-4:]}", "create")
    assert (effect["amount_minor"], effect["currency"]) == (7_700, "NOK")
    assert (
        flow.stats()["mutations"],
        shopify.stats()["mutations"],
        balances(flow),
        balances(shopify),
    ) == before
    # Not even a ledger or a key.
    assert [path.name for path in config.parent.iterdir()] == ["giftsync.toml"]


def test_given_more_than_the_shop_allows_on_one_card_then_a_dry_run_says_so_instead(
    giftsync: Giftsync, flow: Control
) -> None:
    number = flow.move("sell", 3_000_000)["number"]

    answer = answer_of(giftsync("sync", "--dry-run", "--json"))
    _, out, _ = giftsync("sync", "--dry-run")
    giftsync("sync")

    (opened,) = answer["opened"]
    assert (answer["effects"], answer["conflicts"]) == ([], 1)
    assert (opened["kind"], opened["card"]) == ("over_limit", f"••••{number[-4:]}")
    assert (opened["amount_minor"], opened["currency"]) == (3_000_000, "NOK")
    assert "1 conflict would wait for a person, 1 of them new." in out
    assert answer_of(giftsync("sync", "--dry-run", "--json"))["opened"] == []


def test_after_a_sync_a_dry_run_has_nothing_to_tell(giftsync: Giftsync, flow: Control) -> None:
    number = flow.move("sell", 9_900)["number"]
    giftsync("sync")
    assert answer_of(giftsync("sync", "--dry-run", "--json"))["effects"] == []

    flow.move("redeem", 900, number=number)

    (effect,) = answer_of(giftsync("sync", "--dry-run", "--json"))["effects"]
    assert (effect["side"], effect["effect"], effect["amount_minor"]) == ("shopify", "debit", -900)


def test_the_ledger_is_readable_and_shows_no_serial(
    giftsync: Giftsync, flow: Control, address: Address
) -> None:
    number = flow.move("sell", 12_300)["number"]
    giftsync("sync")

    listed = giftsync("cards", "list", "--last4", number[-4:])
    found = answer_of(giftsync("cards", "--last4", number[-4:], "--json"))["cards"]
    card = next(one for one in found if one["balance_minor"] == 12_300)
    shown = giftsync("cards", "show", str(card["id"]))
    status = giftsync("status")
    counted = answer_of(giftsync("status", "--json"))

    assert "123.00 NOK" in listed[1]
    assert f"Card {card['id']}, ••••{number[-4:]}: 123.00 NOK, active" in shown[1]
    assert "card made with 123.00 NOK" in " ".join(shown[1].split())
    assert "Cards in step" in status[1]
    assert "Oldest look at flow" in status[1]
    assert counted["looks"]["flow"]["sweep_seconds"] == 10 * counted["looks"]["flow"]["cards"] / 5
    assert counted["cards"] == counted["in_step"]
    for _, out, err in (listed, shown, status):
        assert number not in out + err
        assert address.sides["flow"]["token"] not in out + err


def test_the_pool_is_filled_from_a_file_and_used_first(
    giftsync: Giftsync, flow: Control, shopify: Control, tmp_path: Path
) -> None:
    numbers = [card["number"] for card in flow.call("pregenerate", count=2)["cards"]]
    file = tmp_path / "numbers.txt"
    file.write_text("# from Flow\n" + "\n".join([*numbers, numbers[0], ""]), encoding="utf-8")

    first, again = (answer_of(giftsync("pool", "add", str(file), "--json")) for _ in range(2))
    del first["schema"], first["exit_code"]
    assert first == {"side": "flow", "added": 2, "known": 0, "free": 2, "cvcs_passed_over": 0}
    assert (again["added"], again["known"], again["free"]) == (0, 2, 2)
    assert "Running low" in giftsync("pool", "status")[1]
    shopify.move("purchase", 4_400, name="Kari Nordmann", email="kari@example.com")
    giftsync("sync")

    assert 4_400 in [balances(flow)[number] for number in numbers]


def test_a_bad_line_in_a_pool_file_adds_nothing_and_is_not_shown(giftsync: Giftsync, tmp_path: Path) -> None:
    file = tmp_path / "numbers.txt"
    file.write_text("1234567890123456\n12345678901234\n!!!\n", encoding="utf-8")

    code, out, err = giftsync("pool", "add", str(file))

    assert code == 3
    assert "no number was added: line 2 has 14 characters; at least 16 are needed; line 3: " in err
    assert "12345678901234" not in out + err
    assert answer_of(giftsync("pool", "add", "--json", str(_one(tmp_path))))["added"] == 1


def _one(folder: Path) -> Path:
    file = folder / "one.txt"
    file.write_text("1234567890123456\n", encoding="utf-8")
    return file


def test_two_balances_on_first_contact_wait_for_a_person(
    giftsync: Giftsync, flow: Control, shopify: Control, address: Address, config: Path, tmp_path: Path
) -> None:
    # given: a card that both sides have, with different balances, and a ledger that has seen neither
    number = flow.move("sell", 20_000)["number"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "giftsync.toml").write_text(config.read_text(), encoding="utf-8")
    assert main.run(["sync", "--config", str(other / "giftsync.toml")]) == 0
    shopify.move("checkout", 5_000, code=number)

    # when, then: the pass says that a person is needed, and nothing moves
    code, out, _ = giftsync("sync")
    assert code == 1
    assert "1 conflict waiting: `giftsync conflicts list`" in out
    assert (balances(flow)[number], balances(shopify)[number]) == (20_000, 15_000)

    code, _, _ = giftsync("conflicts", "list")
    assert code == 1
    (conflict,) = answer_of(giftsync("conflicts", "list", "--json"))["conflicts"]
    shown = giftsync("conflicts", "show", str(conflict["id"]))[1]
    assert all(words in shown for words in ("accept", "value", "--side", "--amount"))

    # when, then: a decision that does not fit changes nothing
    code, _, err = giftsync("conflicts", "resolve", str(conflict["id"]), "landed", "--why", "no idea")
    assert code == 3
    assert "does not fit" in err

    # when: the person decides
    settled = giftsync(
        "conflicts", "resolve", str(conflict["id"]), "accept", "--side", "shopify", "--why", "spent online"
    )
    assert settled[0] == 0, settled[2]

    # then: the next pass carries it out, and saying it again does no harm
    assert giftsync("sync")[0] == 0
    assert balances(flow)[number] == balances(shopify)[number] == 15_000
    resolve = ("conflicts", "resolve", str(conflict["id"]), "accept", "--why", "twice", "--side")
    code, out, _ = giftsync(*resolve, "shopify")
    assert (code, "closed already" in out) == (0, True)

    # then: another decision is refused with what was decided
    code, _, err = giftsync(*resolve, "flow")
    assert (code, 'accept shopify, because "spent online"' in err) == (3, True)


class TestWhatCannotRun:
    """Every mistake of an operator: exit 3, a sentence, what to do; no traceback and no token."""

    @pytest.mark.parametrize(
        ("before", "after", "words"),
        [
            (
                'shop = "giftsync-sandbox',
                'shop = "another-shop',
                "shopify: the access token belongs to giftsync-sandbox",
            ),
            ('tenant = "7"', 'tenant = "8"', "flow: "),
            ('store = "70"', 'store = "71"', "flow: "),
            ('timezone = "Europe/Oslo"', 'timezone = "Europe/Oslo"\ncurrency = "SEK"', "SEK"),
            ('"http://127.0.0.1:', '"http://127.0.0.1:1', ": "),
            ("api_issue_allowed = true", "api_issue_allowed = true\ncalls = 1", "calls is not a setting"),
            (
                'debit_product_uid = "900"',
                "# no product",
                "[sides.flow] api_settlement_debits needs debit_product_uid",
            ),
        ],
    )
    def test_a_wrong_setting(
        self, giftsync: Giftsync, config: Path, address: Address, before: str, after: str, words: str
    ) -> None:
        text = config.read_text(encoding="utf-8")
        assert before in text
        config.write_text(text.replace(before, after), encoding="utf-8")

        code, out, err = giftsync("sync")

        self._is_refused(code, out, err, words, address)

    @pytest.mark.parametrize("side", ["shopify", "flow"])
    def test_a_wrong_token(self, giftsync: Giftsync, config: Path, address: Address, side: str) -> None:
        told = {**address.sides[side], "token": "a-token-that-is-wrong"}
        wrong = replace(address, sides={**address.sides, side: told})
        config.write_text(sandbox_toml(wrong, PACE), encoding="utf-8")

        code, out, err = giftsync("sync")

        self._is_refused(code, out, err, f"{side}: ", address)
        assert "a-token-that-is-wrong" not in out + err

    def test_a_file_that_is_no_ledger_is_left_as_it_is(
        self, giftsync: Giftsync, config: Path, address: Address
    ) -> None:
        foreign = config.parent / "giftsync.db"
        foreign.write_text("somebody's notes about gift cards", encoding="utf-8")

        code, out, err = giftsync("sync")

        self._is_refused(code, out, err, "is not a giftsync database and is left as it is", address)
        assert foreign.read_text(encoding="utf-8") == "somebody's notes about gift cards"

    def test_a_damaged_ledger_is_left_as_it_is(
        self, giftsync: Giftsync, config: Path, address: Address
    ) -> None:
        damaged = config.parent / "giftsync.db"
        damaged.write_bytes(b"SQLite format 3\x00" + b"\x10" * 5000)
        before = damaged.read_bytes()

        code, out, err = giftsync("status")

        self._is_refused(code, out, err, "database", address)
        assert damaged.read_bytes() == before

    def test_another_programs_database_is_left_as_it_is(
        self, giftsync: Giftsync, config: Path, address: Address
    ) -> None:
        path = config.parent / "giftsync.db"
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE notes (words TEXT)")
        other.commit()
        other.close()

        code, out, err = giftsync("sync")

        self._is_refused(code, out, err, "is not a giftsync database", address)
        other = sqlite3.connect(path)
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("notes",)]
        other.close()

    def test_a_lost_key_is_not_replaced(
        self, giftsync: Giftsync, flow: Control, config: Path, address: Address
    ) -> None:
        flow.move("sell", 100)
        assert giftsync("sync")[0] == 0
        key = config.parent / "giftsync.key"
        key.unlink()

        code, out, err = giftsync("sync")

        self._is_refused(code, out, err, "its key file", address)
        assert not key.exists()

    def test_another_key_is_refused(
        self,
        giftsync: Giftsync,
        flow: Control,
        config: Path,
        address: Address,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        flow.move("sell", 100)
        assert giftsync("sync")[0] == 0
        monkeypatch.setenv("GIFTSYNC_KEY", "A" * 86 + "==")

        code, out, err = giftsync("sync")

        self._is_refused(code, out, err, "does not open with this key", address)

    def test_the_key_is_readable_by_its_owner_only(self, giftsync: Giftsync, config: Path) -> None:
        giftsync("sync")

        assert (config.parent / "giftsync.key").stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ("cards", "show", "99999"),
            ("conflicts", "show", "99999"),
            ("pool", "add", "no-such-file"),
            ("status",),
        ],
    )
    def test_what_is_not_there(
        self, giftsync: Giftsync, config: Path, address: Address, arguments: tuple[str, ...]
    ) -> None:
        if arguments != ("status",):
            giftsync("sync")

        code, out, err = giftsync(*arguments)

        self._is_refused(code, out, err, "", address)

    def _is_refused(self, code: int, out: str, err: str, words: str, address: Address) -> None:
        assert code == 3, out + err
        assert err.startswith("error: ")
        assert words in err
        assert "Traceback" not in err
        assert address.sides["shopify"]["token"] not in out + err
        assert address.sides["flow"]["token"] not in out + err


def test_init_writes_a_private_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main.run(["config", "init"]) == 0
    path = tmp_path / "giftsync.toml"
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("mine")
    assert main.run(["config", "init"]) == 3
    assert path.read_text() == "mine"
    assert main.run(["config", "init", "--force"]) == 0
    assert path.read_text() != "mine"
    assert "--force" in capsys.readouterr().err
