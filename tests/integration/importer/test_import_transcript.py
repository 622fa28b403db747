"""What a person reads who imports cards, from the first try on: `transcripts/importer.txt` is played."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from cli.demo.control import Control
from cli.emulators import Address, SandboxOptions
from mappings.money import decimal_from_minor
from tests.integration.transcript import Said, plain, play
from tests.support import Giftsync

CARDS = 6


@pytest.fixture
def sandbox_options() -> SandboxOptions:
    return SandboxOptions(plan="plus", cards={"shopify": 1, "flow": CARDS}, seed=11)


def write_export(address: Address, folder: Path) -> None:
    """An export with a title, a column that nobody reads, a lost digit, a bad date and a total."""
    cards = Control(address.flow_url, "NOK").cards()
    with (folder / "cards.csv").open("w", newline="", encoding="cp1252") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Gavekortrapport"])
        writer.writerow(["Kortnummer", "Saldo", "Gyldig til", "Tilstand i gammel kasse"])
        total = 0
        dearest, next_one = sorted(cards, key=lambda card: -card.balance_minor)[:2]
        for card in cards:
            serial = card.serial[:-4] + "9999" if card is dearest else card.serial
            day = "31.02.2028" if card is next_one else "31.12.2028"
            total += card.balance_minor
            money = decimal_from_minor(card.balance_minor, "NOK").replace(".", ",")
            writer.writerow([serial, money, day, "x"])
        writer.writerow(["Sum", decimal_from_minor(total, "NOK").replace(".", ","), "", ""])


def take_out_lost_digit(folder: Path) -> None:
    """A person deletes the line in a spreadsheet, which saves the plan in its own way."""
    rows = list(csv.reader((folder / "plan.csv").read_text(encoding="utf-8-sig").splitlines()))
    with (folder / "plan.csv").open("w", newline="", encoding="cp1252") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerows([cell.replace(".00", "") for cell in row] for row in rows if "••••9999" not in row)


def test_given_the_importers_story_then_every_word_is_as_it_is_written_down(
    giftsync: Giftsync, address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_export(address, tmp_path)

    def command(arguments: Sequence[str]) -> Said:
        code, out, err = giftsync(*arguments)
        # What is noted beside a result counts calls and seconds; a refusal is all there.
        return Said(plain(out if code != 3 else err, tmp_path), code)

    deletes = "Kari deletes the line in her spreadsheet, which saves the plan as it likes."
    play("importer", command, {deletes: lambda: take_out_lost_digit(tmp_path)})
