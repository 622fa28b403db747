"""The merchant of the founding documents: a Lightspeed R-Series till and a Shopify shop."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests

from cli.demo.control import Control
from cli.emulators import Address, SandboxOptions
from tests.support import Giftsync

PREFIX = "4455"


@pytest.fixture
def sandbox_options() -> SandboxOptions:
    cards = {"lightspeed-r": 3, "shopify": 4}
    return SandboxOptions(sides=("lightspeed-r", "shopify"), plan="plus", cards=cards)


@pytest.fixture
def till(address: Address, config: Path) -> Control:
    """The till, in a link whose cards get numbers with the merchant's own prefix."""
    text = config.read_text(encoding="utf-8")
    head, tail = text.split("[sides.lightspeed_r]", 1)
    mended, count = re.subn(r"(?m)^# serial_prefix = .*$", f'serial_prefix = "{PREFIX}"', tail, count=1)
    assert count == 1
    config.write_text(f"{head}[sides.lightspeed_r]{mended}", encoding="utf-8")
    return Control(address.url("lightspeed-r"), "NOK")


def cards(control: Control) -> list[dict[str, Any]]:
    """Every card with all that the side knows of it."""
    answer: list[dict[str, Any]] = requests.get(f"{control.url}/_sandbox/cards", timeout=30).json()
    return answer


def balances(control: Control) -> list[str]:
    return sorted(card["balance"] for card in cards(control) if float(card["balance"]))


def set_create_update(config: Path, side: str, value: str) -> None:
    head, tail = config.read_text(encoding="utf-8").split(f"[sides.{side}]", 1)
    mended, count = re.subn(r"(?m)^(# )?create_update = .*$", f"create_update = {value}", tail, count=1)
    assert count == 1
    config.write_text(f"{head}[sides.{side}]{mended}", encoding="utf-8")


def test_given_the_founding_merchant_then_cards_of_both_sides_are_one(
    giftsync: Giftsync, config: Path, till: Control, shopify: Control
) -> None:
    # Given historical cards on both sides; first they are downloaded to the till
    set_create_update(config, "shopify", "false")
    old_at_the_till = {card["number"] for card in cards(till)}
    online = cards(shopify)
    code, _, err = giftsync("sync", "--yes")
    assert code in (0, 1), err
    assert {card["code"] for card in cards(shopify)} == {card["code"] for card in online}
    downloaded = [card for card in cards(till) if card["number"] not in old_at_the_till]
    assert sorted(card["balance"] for card in downloaded) == balances(shopify)
    assert all(re.fullmatch(rf"{PREFIX}\d{{12}}", card["number"]) for card in downloaded)

    # And then uploaded to the shop, under the numbers that are on them
    set_create_update(config, "shopify", "true")
    code, _, err = giftsync("sync", "--yes")
    assert code == 0, err
    assert old_at_the_till <= {card["code"] for card in cards(shopify)}
    assert balances(till) == balances(shopify)

    # When a card is bought online, and one is sold at the till
    bought = shopify.call("purchase", amount="250.00", name="Anne Dahl", email="anne@example.com")
    sold = till.call("sell", amount="400.00")
    code, _, err = giftsync("sync", "--yes")
    assert code == 0, err

    # Then the first has a number with the prefix, the order's shipping name, and the code's last four
    (made,) = [card for card in cards(till) if bought["code"][-4:] in card["note"]]
    assert re.fullmatch(rf"{PREFIX}\d{{12}}", made["number"])
    assert made["name"] == "Anne Dahl"
    assert made["note"].startswith(f"Shopify {bought['code'][-4:]}, Anne Dahl, ")
    assert bought["code"] not in made["note"]
    # And the second is in the shop under the same number
    (there,) = [card for card in cards(shopify) if card["code"] == sold["number"]]
    assert there["balance"] in ("400.0", "400.00")

    # And what is spent in one place is gone in the other
    till.call("redeem", number=made["number"], amount="100.00")
    shopify.call("checkout", code=sold["number"], amount="150.00")
    code, _, err = giftsync("sync", "--yes")
    assert code == 0, err
    assert next(one["balance"] for one in cards(shopify) if one["code"] == bought["code"]).startswith("150.0")
    assert next(one["balance"] for one in cards(till) if one["number"] == sold["number"]) == "250.00"

    # And a further pass changes nothing
    before = till.stats()["mutations"], shopify.stats()["mutations"]
    assert giftsync("sync", "--yes")[0] == 0
    assert (till.stats()["mutations"], shopify.stats()["mutations"]) == before


def test_given_a_sign_that_nobody_confirmed_then_the_link_does_not_run(
    giftsync: Giftsync, config: Path, till: Control, shopify: Control
) -> None:
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('balance_sign = "negative"', 'balance_sign = "unconfirmed"'))
    before = shopify.stats()["mutations"]

    code, out, err = giftsync("sync", "--yes")

    assert code == 3
    assert "balance_sign" in out + err
    assert (till.stats()["mutations"], shopify.stats()["mutations"]) == (0, before)
