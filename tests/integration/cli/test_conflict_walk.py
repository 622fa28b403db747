"""Conflicts as support staff settle them, on both emulators: read, previewed, killed, given twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from cli.demo.control import Control
from cli.emulators import Address
from tests.support import Giftsync


@dataclass(frozen=True)
class Desk:
    """Everything at hand."""

    giftsync: Giftsync
    config: Path
    flow: Control
    shopify: Control
    address: Address

    def killed_at(self, point: str, *arguments: str) -> None:
        """The command is killed by SIGKILL when it reaches the point."""
        command = [sys.executable, "-m", "tests.integration.killed_giftsync", point, *arguments]
        done = subprocess.run(
            [*command, "--config", str(self.config)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr

    def online(self, code: str, amount: str) -> None:
        """Staff make a card in the shop's admin."""
        document = """mutation Make($code: String!, $amount: Decimal!) {
            giftCardCreate(input: {code: $code, initialAmount: {amount: $amount, currencyCode: NOK}}) {
                userErrors { message }
            }
        }"""
        answer = requests.post(
            f"{self.address.shopify_url}/admin/api/2026-10/graphql.json",
            json={"query": document, "variables": {"code": code, "amount": amount}},
            headers={"X-Shopify-Access-Token": self.address.sides["shopify"]["token"]},
            timeout=10,
        )
        assert answer.json()["data"]["giftCardCreate"]["userErrors"] == []

    def shown(self, number: str) -> dict[str, int]:
        """What each side truly has on the card; a side without it is left out."""
        sides = {"flow": self.flow, "shopify": self.shopify}
        return {
            name: card.balance_minor
            for name, side in sides.items()
            for card in side.cards()
            if card.serial == number
        }


@pytest.fixture
def desk(giftsync: Giftsync, config: Path, flow: Control, shopify: Control, address: Address) -> Desk:
    return Desk(giftsync, config, flow, shopify, address)


def two_balances(desk: Desk) -> str:
    number = str(desk.flow.move("sell", 50_000)["number"])
    desk.online(number, "400.00")
    return number


def spent_twice(desk: Desk) -> str:
    number = str(desk.flow.move("sell", 50_000)["number"])
    desk.giftsync("sync")
    desk.flow.move("redeem", 40_000, number=number)
    desk.shopify.move("checkout", 30_000, code=number)
    return number


def too_much_for_the_shop(desk: Desk) -> str:
    return str(desk.flow.move("sell", 3_000_000)["number"])


def spent_after_its_end(desk: Desk) -> str:
    number = str(desk.flow.move("sell", 50_000)["number"])
    desk.giftsync("sync")
    desk.shopify.move("checkout", 10_000, code=number)
    desk.flow.call("expire", number=number, valid_to="2026-01-01T12:00:00.000Z")
    return number


BOTH = "flow", "shopify"


#: Each takes twenty seconds; the first and the last run every time.
slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("happens", "kind", "decision", "preview", "outcome"),
    [
        pytest.param(
            two_balances,
            "first contact",
            ("accept", "--side", "shopify"),
            "The card is worth 400.00 NOK instead of 500.00 NOK.",
            dict.fromkeys(BOTH, 40_000),
            id="accept",
        ),
        pytest.param(
            two_balances,
            "first contact",
            ("value", "--amount", "450.00"),
            "400.00 NOK → 450.00 NOK",
            dict.fromkeys(BOTH, 45_000),
            id="value",
            marks=slow,
        ),
        pytest.param(
            spent_twice,
            "overdraft",
            ("write_off",),
            "Nothing was changed.",
            dict.fromkeys(BOTH, 0),
            id="write off",
            marks=slow,
        ),
        pytest.param(
            spent_after_its_end,
            "not writable",
            ("ignore",),
            "Nothing was changed.",
            {"flow": 50_000, "shopify": 40_000},
            id="ignore",
            marks=slow,
        ),
        pytest.param(
            too_much_for_the_shop,
            "over limit",
            ("value", "--amount", "20000.00"),
            "The card is worth 20 000.00 NOK instead of 30 000.00 NOK.",
            dict.fromkeys(BOTH, 2_000_000),
            id="over the limit",
        ),
    ],
)
def test_a_decision_is_previewed_survives_every_kill_and_is_taken_once(
    desk: Desk,
    happens: Callable[[Desk], str],
    kind: str,
    decision: tuple[str, ...],
    preview: str,
    outcome: dict[str, int],
) -> None:
    number = happens(desk)
    assert desk.giftsync("sync")[0] == 1
    before = desk.shown(number)
    code, out, _ = desk.giftsync("conflicts", "list")
    assert (code, kind in out) == (1, True), out
    shown = desk.giftsync("conflicts", "show", "1")[1]
    assert decision[0] in shown
    assert "_minor" not in shown

    resolve = ("conflicts", "resolve", "1", *decision, "--why", "I looked", "--by", "kari")
    assert preview in desk.giftsync(*resolve, "--preview")[1]
    for point in ("commit.before", "commit.inside"):
        desk.killed_at(point, *resolve)
        # It frees the card that the dead process held, and decides nothing.
        assert desk.giftsync("sync", "--yes")[0] == 1
        assert desk.shown(number) == before
    desk.killed_at("commit.after", *resolve)
    assert "was closed already; nothing was changed" in desk.giftsync(*resolve)[1]

    assert desk.giftsync("sync", "--yes")[0] == 0
    assert desk.shown(number) == outcome
    settled = desk.giftsync("conflicts", "show", "1")[1]
    assert f"by kari: {decision[0].replace('_', ' ')}" in settled
    assert "because: I looked" in settled
    code, out, err = desk.giftsync("audit", "--live")
    assert code == 0, out + err
    assert number not in out + shown
