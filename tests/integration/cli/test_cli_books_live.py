"""The liability beside what both emulators show."""

from __future__ import annotations

import json

from cli.demo.control import Control
from tests.support import Giftsync


def test_given_a_sale_that_was_not_taken_in_yet_then_the_difference_is_listed_card_by_card(
    giftsync: Giftsync, flow: Control
) -> None:
    assert giftsync("sync")[0] == 0  # What is sold from now on is issued; what was there is taken over.
    number = flow.move("sell", 50_000)["number"]
    assert giftsync("sync")[0] == 0
    code, out, _ = giftsync("liability", "--live", "--json")
    answer = json.loads(out)
    assert code == 0
    assert [(one["owed"], one["shown"]) for one in answer["sides"]] == [("500.00", "500.00")] * 2
    assert answer["statement"]["currencies"][0]["total"]["lines"]["issued"] == 50_000

    flow.move("redeem", 12_050, number=number)

    code, out, _ = giftsync("liability", "--live", "--json")
    sides = {one["side"]: one for one in json.loads(out)["sides"]}
    assert code == 2
    assert (sides["flow"]["owed"], sides["flow"]["shown"]) == ("500.00", "379.50")
    assert [d["why"] for d in sides["flow"]["differences"]] == ["moved there since the last look"]
    assert sides["shopify"]["differences"] == []
    code, out, _ = giftsync("liability", "--live")
    assert code == 2
    assert "Compared with the sides, now:" in out
    assert "-120.50 NOK" in out
    assert number not in out


def test_given_a_ledger_without_cards_then_nothing_is_owed(giftsync: Giftsync) -> None:
    assert giftsync("sync")[0] == 0

    code, out, _ = giftsync("liability")
    assert code == 0
    assert "Nothing is owed: there are no cards." in out
    assert giftsync("settlement")[0] == 0
    assert "No entries." in giftsync("books", "entries")[1]
    assert "No cards." in giftsync("books", "cards")[1]
    assert "No month is closed yet" in giftsync("close", "list")[1]
