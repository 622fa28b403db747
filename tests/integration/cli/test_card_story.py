"""A customer is on the phone: support finds the card by what they can say, and reads its story out."""

from __future__ import annotations

import json

import pytest

from cli.demo.control import Control
from cli.output import ExitCode
from tests.support import Giftsync

#: Longer than a new card takes to appear in the sandbox's search.
SEARCH_LAG_SECONDS = 10


def test_a_card_is_found_by_what_a_customer_can_say_and_its_story_says_where_the_money_went(
    giftsync: Giftsync, flow: Control, shopify: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = str(flow.move("sell", 50_000)["number"])
    giftsync("sync")
    flow.move("redeem", 12_050, number=number)
    online = str(shopify.move("purchase", 30_000, name="Kari Nordmann", email="kari@example.com")["code"])
    giftsync("sync")
    shopify.move("checkout", 7_950, code=number)
    giftsync("sync")

    story = json.loads(giftsync("cards", "show", number[-4:], "--json")[1])
    told = [(e["what"], e["amount_minor"], e["balance_after_minor"]) for e in story["events"]]
    assert told == [
        ("sold", 50_000, 50_000),
        ("card made with 500.00 NOK", None, None),
        ("paid with it", -12_050, 37_950),
        ("120.50 NOK taken off", None, None),
        ("paid with it", -7_950, 30_000),
        ("79.50 NOK taken off", None, None),
    ]
    flow.move("deposit", 1_000, number=number)
    giftsync("sync")
    loaded = json.loads(giftsync("cards", "show", number[-4:], "--json")[1])["events"][-2]
    assert (loaded["what"], loaded["amount_minor"], loaded["receipt"] != "") == ("loaded", 1_000, True)
    in_store, on_line = (e for e in story["events"] if e["what"] == "paid with it")
    assert in_store["place"].startswith("Flow, Sandbox store, till ")
    assert (bool(in_store["receipt"]), on_line["order"][:1]) == (True, "#")
    read = giftsync("cards", "show", on_line["order"], "--explain")[1]
    assert "has 310.00 NOK on it." in read
    assert "10.00 NOK were put on the card in the store (Sandbox store, till 1)" in read
    assert "310.00 NOK were on it then." in read
    assert "120.50 NOK were spent in the store (Sandbox store, till 1)" in read

    for what in (in_store["receipt"], on_line["order"]):
        code, shown, _ = giftsync("cards", "find", what)
        assert (code, number[-4:] in shown) == (0, True)
    assert giftsync("cards", "find", "nobody@example.com")[0] == ExitCode.NOT_FOUND
    assert online[-4:] in giftsync("cards", "find", "nordmann KARI")[1]
    shopify.call("clock", pass_s=SEARCH_LAG_SECONDS)
    numbers = ((number, number[-4:]), (online, online[-4:]), ("1234567890123456", "There is no card"))
    for typed, found in numbers:
        monkeypatch.setattr("sys.stdin.readline", lambda text=typed: f"{text}\n", raising=False)
        code, out, _ = giftsync("cards", "find", "-")
        assert found in out
        assert code == (ExitCode.NOT_FOUND if typed.startswith("1234") else ExitCode.IN_STEP)
        assert typed not in out
