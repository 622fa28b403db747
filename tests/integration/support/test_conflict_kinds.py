"""Every kind of conflict, provoked through the sandbox's control plane as docs/reference/sandbox.md says."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli import main
from cli.demo.control import Control
from cli.emulators import SandboxOptions
from sync.model import ConflictKind
from tests.support import Giftsync

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "sandbox.md"


@dataclass(frozen=True)
class Link:
    """Both emulators, and giftsync on them."""

    giftsync: Giftsync
    config: Path
    flow: Control
    shopify: Control

    def sync(self) -> None:
        code, out, err = self.giftsync("sync", "--yes")
        assert code in (0, 1, 2), out + err

    def conflicts(self) -> list[dict[str, Any]]:
        """Those that wait, as the list shows them."""
        found: list[dict[str, Any]] = json.loads(self.giftsync("conflicts", "list", "--json")[1])["conflicts"]
        return found

    def kinds(self) -> set[str]:
        return {one["kind"] for one in self.conflicts()}

    def setting(self, section: str, line: str) -> None:
        """Put a line into a section of the settings, instead of one with the same key."""
        text = self.config.read_text(encoding="utf-8")
        key = line.partition("=")[0].strip()
        text = re.sub(rf"(?m)^{key} = .*\n", "", text)
        if f"[{section}]\n" not in text:
            text += f"\n[{section}]\n"
        self.config.write_text(text.replace(f"[{section}]\n", f"[{section}]\n{line}\n"), encoding="utf-8")

    def sold(self, amount: str = "500.00", **more: object) -> str:
        """A card that is sold in the store and the same on both sides."""
        number = str(self.flow.call("sell", amount=amount, **more)["number"])
        self.sync()
        return number


@pytest.fixture
def sandbox_options() -> SandboxOptions:
    return SandboxOptions(plan="plus", till_customers=True)


@pytest.fixture
def link(giftsync: Giftsync, config: Path, flow: Control, shopify: Control) -> Link:
    return Link(giftsync, config, flow, shopify)


def strike(side: Control, kind: str, match: str, **more: object) -> None:
    side.fail([{"match": match, "kind": kind, "probability": 1, **more}], seed=1)


def overdraft(link: Link) -> None:
    number = link.sold()
    link.flow.call("redeem", number=number, amount="400")
    link.shopify.call("checkout", code=number, amount="300")


def first_contact(link: Link) -> None:
    number = link.flow.call("sell", amount="500")["number"]
    link.shopify.call("card", code=number, balance="400")


def status(link: Link) -> None:
    number = link.sold()
    link.flow.call("card", number=number, status="FROZEN")


def expiry(link: Link) -> None:
    number = link.sold()
    link.flow.call("expire", number=number, valid_to="2028-06-30T12:00:00Z")
    link.shopify.call("card", code=number, expires="2028-01-31")


def serial(link: Link) -> None:
    link.flow.call("card", number="12345", issued=False)
    link.flow.call("sell", number="12345", amount="100")


def currency(link: Link) -> None:
    number = link.sold()
    link.shopify.call("card", code=number, currency="SEK")


def over_limit(link: Link) -> None:
    link.shopify.call("behaviour", issue_limit="1000")
    link.flow.call("sell", amount="1500")


def missing(link: Link) -> None:
    number = link.sold()
    link.shopify.call("delete", code=number)


def unreadable(link: Link) -> None:
    number = link.sold()
    link.flow.call("card", number=number, balance="-50.00")


def duplicate(link: Link) -> None:
    number = link.sold()
    strike(link.shopify, "double_apply", "giftCardDebit", times=1)
    link.flow.call("redeem", number=number, amount="100")


def in_doubt(link: Link) -> None:
    number = link.sold()
    link.flow.call("behaviour", debit_by_api=False)
    link.shopify.call("checkout", code=number, amount="100")


def refused(link: Link) -> None:
    number = link.sold()
    strike(link.shopify, "refuse", "giftCardDebit")
    link.flow.call("redeem", number=number, amount="100")


def not_writable(link: Link) -> None:
    number = link.sold()
    link.shopify.call("checkout", code=number, amount="100")
    link.flow.call("expire", number=number)


def notification(link: Link) -> None:
    link.setting("sides.shopify", "send_notifications = true")
    link.sync()
    strike(link.shopify, "drop_response", "giftCardSendNotificationToCustomer")
    link.flow.call("sell", amount="100", email="kari@example.com")


def pool_empty(link: Link) -> None:
    link.setting("sides.flow", 'serial_prefix = ""')
    link.shopify.call("purchase", amount="100", name="Kari Nordmann", email="kari@example.com")


def brake(link: Link) -> None:
    link.setting("link.brakes", "money_per_card = 100")
    link.flow.call("sell", amount="101")


def ledger_behind(link: Link) -> None:
    number = link.sold()
    folder = link.config.parent
    assert link.giftsync("backup", str(folder / "kept.db"))[0] == 0
    strike(link.shopify, "refuse", "giftCardDebit")
    link.flow.call("redeem", number=number, amount="100")
    link.sync()
    (conflict,) = json.loads(link.giftsync("conflicts", "list", "--json")[1])["conflicts"]
    link.shopify.fail([], seed=1)
    said = ("value", "--amount", "250.00", "--why", "a person said so")
    assert link.giftsync("conflicts", "resolve", str(conflict["id"]), *said)[0] in (0, 1)
    link.sync()
    for path in folder.glob("giftsync.db*"):
        if path.name in ("giftsync.db", "giftsync.db-wal", "giftsync.db-shm"):
            path.unlink()
    (folder / "kept.db").rename(folder / "giftsync.db")


def second_ledger(link: Link) -> None:
    number = link.sold()
    copy = link.config.parent / "copy"
    copy.mkdir()
    for path in link.config.parent.glob("giftsync*"):
        shutil.copy2(path, copy / path.name)
    at_the_copy = ("sync", "--config", str(copy / link.config.name))
    assert main.run(at_the_copy) == 0
    link.flow.call("redeem", number=number, amount="100")
    assert main.run(at_the_copy) == 0


def tampered(link: Link) -> None:
    number = link.sold()
    ledger = sqlite3.connect(link.config.parent / "giftsync.db")
    with contextlib.closing(ledger), ledger:
        ledger.execute("UPDATE cards SET balance_minor = balance_minor + 10000")
    link.flow.call("redeem", number=number, amount="100")


def history_changed(link: Link) -> None:
    link.sold()
    ledger = sqlite3.connect(link.config.parent / "giftsync.db")
    with contextlib.closing(ledger), ledger:
        ledger.execute("UPDATE intent_states SET reason = 'another' WHERE chain_seq = 2")


RECIPES: dict[str, Callable[[Link], None]] = {
    recipe.__name__: recipe
    for recipe in (
        overdraft,
        first_contact,
        status,
        expiry,
        serial,
        currency,
        over_limit,
        missing,
        unreadable,
        duplicate,
        in_doubt,
        refused,
        not_writable,
        notification,
        pool_empty,
        brake,
        ledger_behind,
        second_ledger,
        tampered,
        history_changed,
    )
}


def _rows() -> dict[str, str]:
    """The calls that the page names for each kind."""
    section = PAGE.read_text(encoding="utf-8").split("## Every kind of conflict", 1)[1].split("\n## ")[0]
    return dict(re.findall(r"(?m)^\| `(\w+)` \| (.*) \|$", section))


def test_given_the_kinds_of_conflict_then_each_has_a_recipe_here_and_on_the_page() -> None:
    kinds = {str(kind) for kind in ConflictKind}
    assert set(RECIPES) == kinds
    assert set(_rows()) == kinds


@pytest.mark.slow  # The three commands below settle what each recipe provokes.
@pytest.mark.parametrize("kind", RECIPES)
def test_given_the_recipe_when_giftsync_runs_then_that_conflict_waits(link: Link, kind: str) -> None:
    RECIPES[kind](link)
    for _ in range(4):
        link.sync()
        if kind in link.kinds():
            return
    raise AssertionError(f"{link.kinds()}, not {kind}")


#: What each kind needs, with what the list of conflicts alone says: `conflicts list`, and these.
COMMANDS = (("conflicts", "resolve"), ("sync",))


@pytest.mark.parametrize("kind", RECIPES)
def test_given_a_conflict_of_the_kind_then_three_commands_settle_it_and_the_list_says_which(
    link: Link, kind: str
) -> None:
    RECIPES[kind](link)
    for _ in range(4):
        link.sync()
        if kind in link.kinds():
            break
    (listed, *_) = (c for c in link.conflicts() if c["kind"] == kind)
    shown = json.loads(link.giftsync("conflicts", "show", str(listed["id"]), "--json")[1])
    option = next(one for one in shown["advice"]["options"] if one["needs"] != "card")
    said = [option["action"]]
    said += ["--side", option["side"]] if option["side"] else []
    said += ["--amount", "100.00"] if option["needs"] == "amount" else []

    # Command one was the list, which says what to do next.
    assert listed["next_step"]
    resolve, sync = COMMANDS
    code, out, err = link.giftsync(*resolve, str(listed["id"]), *said, "--why", "a person looked")
    assert code == 0, out + err
    code, out, err = link.giftsync(*sync, "--yes")

    assert code in (0, 1, 2), out + err
    assert listed["id"] not in {c["id"] for c in link.conflicts()}
