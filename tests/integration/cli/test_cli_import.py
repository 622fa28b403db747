"""`giftsync import` on a real link: both emulators, a ledger on disk, files, and what a person reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from cli.demo.control import Control
from cli.emulators import Address, SandboxOptions
from mappings.money import decimal_from_minor
from tests.support import Giftsync

CARDS = 25


@pytest.fixture
def sandbox_options() -> SandboxOptions:
    return SandboxOptions(plan="plus", cards={"shopify": 5, "flow": CARDS})


@pytest.fixture
def numbers(address: Address, tmp_path: Path) -> list[str]:
    """The store's numbers, whose export is `cards.csv`."""
    cards = Control(address.flow_url, "NOK").cards()
    with (tmp_path / "cards.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Number", "Balance", "Brand", "Store"])
        for card in cards:
            writer.writerow([card.serial, decimal_from_minor(card.balance_minor, "NOK"), "Jul", "Oslo"])
        writer.writerow(["1,23E+15", "5.00", "Jul", "Oslo"])
    return [card.serial for card in cards]


def answer(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_whole_import(giftsync: Giftsync, numbers: list[str], address: Address, tmp_path: Path) -> None:
    plan = str(tmp_path / "plan.csv")
    code, out, err = giftsync("import", "plan", "--pos", str(tmp_path / "cards.csv"), "-o", plan)
    assert code == 1
    assert "Nothing was changed." in out
    assert "plan.rejects-cards.csv" in out
    rejects = (tmp_path / "plan.rejects-cards.csv").read_text(encoding="utf-8-sig").splitlines()
    assert rejects[1].startswith('1,23E+15;5.00;Jul;Oslo;27;1 Number;"a spreadsheet turned')

    code, out, err = giftsync("import", "apply", plan, "--yes", "--limit", "3")
    assert (code, "run the same command again" in out) == (0, True)
    code, out, err = giftsync("import", "apply", plan, "--bulk", "--json")
    refused = answer(out)
    assert (code, "27 cards would be brought into step" in refused["error"]) == (3, True)
    assert "--yes" in refused["remedy"]
    code, out, err = giftsync("import", "apply", plan, "--bulk", "--limit", "20")
    assert (code, "20 cards would be brought into step" in err) == (3, True)
    code, out, err = giftsync("import", "apply", plan, "--bulk", "--json", "--yes")

    found = answer(out)
    # A row of the file was rejected: it waits for a person, here as in the plan.
    assert (code, found["done"], found["adds_up"], found["hub"]["notifications"]) == (1, True, True, 0)
    assert found["checked"]["discrepancies"] == found["checked"]["moved"] == 0
    assert "they are made in bulk" in err
    for part in ("plan.csv", "plan.report.html", "plan.report.csv"):
        text = (tmp_path / part).read_text(encoding="utf-8-sig")
        assert not [number for number in numbers if number in text]
    assert not [number for number in numbers if number in out + err]
    assert Control(address.shopify_url, "NOK").stats()["notifications"] == 0

    code, out, _ = giftsync("import", "report", plan, "--json")
    assert (code, answer(out)["adds_up"]) == (1, True)
    code, out, _ = giftsync("sync", "--json")
    assert answer(out)["status"]["in_step"] == answer(out)["status"]["cards"]


def test_an_export_of_shopify_stands_in_for_its_list(giftsync: Giftsync, tmp_path: Path) -> None:
    export = tmp_path / "shopify.csv"
    export.write_text("Id,Last Characters,Current Balance,Order,Enabled?\n5,ab12,10.00,#7,true\n")
    code, out, _ = giftsync(
        "import", "plan", "--online", str(export), "-o", str(tmp_path / "p.csv"), "--json"
    )
    assert (code, answer(out)["actions"]) == (
        0,
        {"create_in_store": {"cards": 1, "money": "10.00", "to_create": "10.00"}},
    )


def test_cards_that_need_a_cvc_are_read_with_the_files(
    giftsync: Giftsync, numbers: list[str], tmp_path: Path
) -> None:
    plan = str(tmp_path / "plan.csv")
    # A file that is named alone is an export of store cards, as with --pos.
    giftsync("import", "plan", str(tmp_path / "cards.csv"), "-o", plan)
    code, out, err = giftsync("import", "apply", plan, "--yes", "--cvc", str(tmp_path / "cards.csv"))
    assert (code, "no column of CVCs" in err) == (3, True)
    with_cvc = tmp_path / "cvc.csv"
    with_cvc.write_text("number;balance;cvc\n" + "".join(f"{n};1,00;123\n" for n in numbers))
    code, out, _ = giftsync("import", "apply", plan, "--yes", "--cvc", str(with_cvc), "--no-check", "--json")
    assert (code, answer(out)["done"]) == (1, True)
    assert b"123;" not in (tmp_path / "giftsync.db").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["plan", "--pos", "none.csv"], "No such file"),
        (["plan", "--pos", "pools.csv"], "which is not what --pos is for"),
        (["plan", "--format", "tills", "--pos", "pools.csv"], "is no layout"),
        (["plan", "--pos", "a/cards.csv", "--pos", "b/cards.csv"], "two files are called cards.csv"),
        (["apply", "none.csv"], "No such file|there is no ledger"),
        (["apply", "pools.csv"], "no ledger|no plan"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    giftsync: Giftsync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pools.csv").write_text("PoolName,PoolSystemName,IsCvvRequired\nA,a,true\n")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cards.csv").write_text("number;balance\n1000200030004000;1,00\n")

    code, _, err = giftsync("import", *arguments)

    assert code == 3
    assert any(words in err for words in reason.split("|")), err
    assert not (tmp_path / "import-plan.csv").exists()
