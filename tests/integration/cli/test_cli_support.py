"""A working day of support staff, on both emulators: what they type, what they read, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.demo.control import Control
from tests.support import Giftsync


def balances(control: Control) -> dict[str, int]:
    return {card.serial: card.balance_minor for card in control.cards()}


def test_a_conflict_is_listed_read_previewed_settled_and_gone(
    giftsync: Giftsync, flow: Control, shopify: Control
) -> None:
    number = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    flow.move("redeem", 40_000, number=number)
    shopify.move("checkout", 30_000, code=number)

    code, _, _ = giftsync("sync")
    assert code == 1
    code, out, _ = giftsync("conflicts", "list")
    assert (code, "overdraft" in out, "200.00 NOK" in out) == (1, True, True)

    code, out, _ = giftsync("conflicts", "show", "1")
    assert code == 0
    for words in (
        "At stake now: 200.00 NOK",
        "Why: The card was spent on several sides before one could know of the other.",
        "Done already: The card was brought to zero on every side, and the shortfall was written off.",
        "The merchant bears what is at stake",
        "less than a minute old",
    ):
        assert words in out, words

    resolve = ("conflicts", "resolve", "1", "write_off", "--why", "two tills at once", "--by", "kari")
    code, out, _ = giftsync(*resolve, "--preview")
    assert (code, "Nothing was changed. Say it again without --preview." in out) == (0, True)
    assert "`giftsync conflicts show 1` shows what can be decided" in giftsync("conflicts", "resolve", "1")[2]
    code, _, err = giftsync("conflicts", "resolve", "1", "accept", "--side", "shop", "--why", "x")
    assert (code, "shop is no side of this link" in err, "--side shopify" in err) == (3, True, True)
    assert giftsync("conflicts", "list")[0] == 1
    assert "is settled" in giftsync(*resolve)[1]
    assert "was closed already; nothing was changed" in giftsync(*resolve)[1]
    assert giftsync("conflicts", "list")[:2] == (0, "No conflicts.\n")
    assert number not in out


def test_a_physical_card_is_assigned_as_staff_would(
    giftsync: Giftsync, flow: Control, shopify: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_online = shopify.move("purchase", 30_000, name="Kari Nordmann", email="kari@example.com")["code"]
    (physical,) = flow.call("pregenerate", count=1)["cards"]
    number = physical["number"]
    giftsync("sync")

    code, out, _ = giftsync("cards", "assign", "1001", number, "--preview")
    assert code == 0
    assert "300.00 NOK would go from the online card" in out
    assert "of Kari Nordmann" in out
    assert "stays, with nothing on it" in out
    assert balances(shopify) == {code_online: 30_000}

    for _ in range(2):
        code, out, err = giftsync("cards", "assign", "1001", number)
        assert (code, "is worth 300.00 NOK in the store and online" in out) == (0, True), err
    assert balances(shopify) == {code_online: 0, number: 30_000}
    assert balances(flow)[number] == 30_000
    assert number not in out
    assert giftsync("sync")[0] == 0


def test_an_assignment_that_cannot_be_says_why(giftsync: Giftsync, flow: Control, shopify: Control) -> None:
    shopify.move("purchase", 30_000, name="Kari Nordmann", email="kari@example.com")
    giftsync("sync")

    assert "no card of order 9 is known" in giftsync("cards", "assign", "9", "7" * 16)[2]
    assert "at least 16 are needed" in giftsync("cards", "assign", "1001", "123")[2]
    code, _, err = giftsync("cards", "assign", "1001", "12?34")
    assert (code, "only letters a-z and digits" in err, "12?34" in err) == (3, True, False)
    in_use = flow.move("sell", 100)["number"]
    assert "in use already" in giftsync("cards", "assign", "1001", in_use)[2]


def test_an_order_with_two_cards_is_asked_for_which(giftsync: Giftsync, shopify: Control) -> None:
    shopify.move("purchase", 30_000, name="Kari Nordmann", email="kari@example.com")
    giftsync("sync")

    code, _, err = giftsync("cards", "assign", "1001", "7" * 16, "--last4", "zzzz")

    assert (code, "Say which with --last4." in err) == (3, True)


def test_privacy_requests_are_listed(giftsync: Giftsync) -> None:
    giftsync("sync")

    assert giftsync("privacy", "list")[:2] == (0, "No privacy requests came.\n")
    assert json.loads(giftsync("privacy", "list", "--json")[1])["answers"] == []


def test_uploading_is_announced_when_it_is_switched_on(
    giftsync: Giftsync, config: Path, flow: Control, shopify: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = config.read_text(encoding="utf-8")
    head, table, rest = text.partition("[sides.shopify]")
    off = head + table + rest.replace("# create_update = true", "create_update = false", 1)
    assert off != text
    config.write_text(off, encoding="utf-8")
    number = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    assert balances(shopify) == {}

    config.write_text(text, encoding="utf-8")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    code, _, err = giftsync("sync")
    assert (code, "1 card with 500.00 NOK in all" in err, "Say --yes" in err) == (3, True, True)
    assert balances(shopify) == {}

    assert giftsync("sync", "--yes")[0] == 0
    assert balances(shopify) == {number: 50_000}


def test_a_pool_number_that_giftsync_could_make_itself_is_refused(giftsync: Giftsync, tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("9900000000000001\n8800000000000001\n", encoding="utf-8")

    code, _, err = giftsync("pool", "add", str(path))

    assert (code, "serial_prefix = 9900 in [sides.flow]" in err) == (3, True)


def test_a_card_that_is_not_in_step_says_where_and_how(
    giftsync: Giftsync, config: Path, flow: Control, shopify: Control
) -> None:
    text = config.read_text(encoding="utf-8")
    head, table, rest = text.partition("[sides.flow.directions]")
    config.write_text(
        head + table + rest.replace('# balance = "both"', 'balance = "out"', 1), encoding="utf-8"
    )
    number = flow.move("sell", 50_000)["number"]
    giftsync("sync")
    shopify.move("checkout", 10_000, code=number)

    assert giftsync("sync")[0] == 1

    assert "no: 500.00 NOK on flow" in giftsync("cards", "list")[1]
    shown = giftsync("conflicts", "show", "1")[1]
    assert "Flow shows 100.00 NOK too much, and the link does not write there." in shown
