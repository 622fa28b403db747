"""What an import says it did: one outcome a row, and the same sums in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from cli.import_show import report_json, show_report
from cli.output import Output, jsonable
from cli.places import Places
from mappings.money import decimal_from_minor
from sync.importer.outcomes import Outcome
from sync.importer.planfile import choose_rows
from sync.importer.progress import ImportProgress
from sync.importer.report import ImportReport, ImportVerdict, RowsFile, make_report
from sync.importer.report_html import RowsShown, render_html
from sync.ledger.imports.rows import Import
from sync.reconcile.brakes import BrakeLimits
from tests.integration.importer.import_desk import Desk, N
from tests.integration.shop import FLOW, SHOPIFY, Shop

#: Cards and money by outcome, in one format.
Sums = dict[str, tuple[int, Decimal]]


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Desk:
    return Desk(shop, tmp_path)


class Told:
    """One report in all four formats."""

    def __init__(self, desk: Desk, plan: Import, *, check: bool = True) -> None:
        fresh, shown, table = desk.imports.get(plan.id), RowsShown(), io.StringIO()
        rows = RowsFile(table, fresh)

        def each(told: object) -> None:
            rows.write(told)  # type: ignore[arg-type]
            shown.add(told)  # type: ignore[arg-type]

        sides = dict(desk.shop.sides) if check else None
        self.report: ImportReport = make_report(
            desk.imports, fresh, (FLOW, SHOPIFY), desk.shop.clock, sides, each=each
        )
        self.csv = list(csv.DictReader(io.StringIO(table.getvalue())))
        self.page = render_html(self.report, shown.rejected, shown.waiting, shown.others)
        self.json = json.loads(json.dumps(jsonable(report_json(self.report))))
        screen = io.StringIO()
        console = Console(file=screen, width=80, highlight=False)
        show_report(self.report, ImportProgress(), {}, Places(), Output(False, console, console))
        self.terminal = screen.getvalue()

    def sums(self) -> dict[str, Sums]:
        """Every outcome, and what was planned, as each format says it."""
        from_csv: Sums = {kind.value: (0, Decimal(0)) for kind in Outcome}
        for row in self.csv:
            cards, money = from_csv[row["outcome"]]
            from_csv[row["outcome"]] = (cards + 1, money + Decimal(row["planned_money"]))
        from_csv["planned"] = (len(self.csv), sum((m for _, m in from_csv.values()), Decimal(0)))
        told = {name: (one["cards"], Decimal(one["planned"])) for name, one in self.json["outcomes"].items()}
        told["planned"] = (self.json["planned"]["cards"], Decimal(self.json["planned"]["money"]))
        section = self.page.split("<section id='outcomes'>")[1].split("</section>")[0]
        cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in section.split("<tr")]
        page = {_name(row[0]): (_count(row[1]), _money(row[2])) for row in cells if row}
        lines = [re.split(r"\s{2,}", line.strip()) for line in self.terminal.splitlines()]
        wanted = {*(kind.label for kind in Outcome), "planned"}
        terminal = {_name(one[0]): (_count(one[1]), _money(one[2])) for one in lines if one[0] in wanted}
        return {"csv": from_csv, "json": told, "html": page, "terminal": terminal}


def _name(label: str) -> str:
    return label.lower().replace(" ", "_")


def _count(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def _money(text: str) -> Decimal:
    return Decimal(re.sub(r"[^0-9.\-]", "", text.replace("NOK", "")))


def every_outcome(desk: Desk) -> Import:
    """A plan whose rows end in all seven ways, when four of its rows are carried out after the others."""
    for n, minor in ((1, 500), (2, 8_050), (4, 700), (5, 900), (6, 300), (7, 250), (8, 100)):
        desk.shop.sell(FLOW, minor, N.format(n))
    desk.shop.sell(SHOPIFY, 900, N.format(5))
    desk.shop.sell(SHOPIFY, 999, N.format(6))
    rows = [
        f"{N.format(1)};5,00;ACTIVE;31.12.2028",
        f"{N.format(2)};1 234,56;ACTIVE;31.12.2028",
        # A digit was lost: nobody has that card.
        f"{N.format(33)};40,00;ACTIVE;31.12.2028",
        f"{N.format(4)};7,00;ACTIVE;31.02.2028",
        f"{N.format(5)};9,00;ACTIVE;31.12.2028",
        f"{N.format(6)};3,00;ACTIVE;31.12.2028",
        f"{N.format(7)};2,50;ACTIVE;31.12.2028",
        f"{N.format(8)};1,00;ACTIVE;31.12.2028",
    ]
    return desk.plan(desk.write(*rows, head="number;balance;status;validTo"))


def test_given_every_outcome_then_all_formats_tell_the_same_to_the_minor_unit(desk: Desk) -> None:
    plan = every_outcome(desk)
    desk.take_out(lambda row: row["card"] != "••••4007")
    # The last row is not reached.
    desk.apply(plan, limit=5)

    told = Told(desk, plan)

    sums = told.sums()
    assert sums["csv"] == {
        "made": (1, Decimal("5.00")),
        "already_so": (1, Decimal("9.00")),
        "differed": (1, Decimal("1234.56")),
        "fell_away": (2, Decimal("42.50")),
        "conflict": (1, Decimal("3.00")),
        "rejected": (1, Decimal("7.00")),
        "not_yet": (1, Decimal("1.00")),
        "planned": (8, Decimal("1302.06")),
    }
    for name in ("json", "html", "terminal"):
        assert sums[name] == sums["csv"], name
    # What is on the new card is what was put there, and not what was planned.
    (differed,) = [row for row in told.csv if row["outcome"] == "differed"]
    assert (differed["planned_money"], differed["made_money"]) == ("1234.56", "80.50")
    assert told.json["sides"][SHOPIFY]["created"] == "85.50"
    assert told.json["outcomes"]["differed"]["made"] == "80.50"
    for n in range(1, 9):
        assert N.format(n) not in told.page + told.terminal + json.dumps(told.json) + str(told.csv)


def test_given_a_plan_that_was_not_begun_then_every_row_is_not_yet_and_nothing_is_shown(desk: Desk) -> None:
    plan = every_outcome(desk)

    told = Told(desk, plan, check=False)

    assert told.report.verdict is ImportVerdict.UNFINISHED
    assert told.report.tally.by[Outcome.NOT_YET].cards == 7
    assert told.json["sides"][SHOPIFY]["shows"] is None
    assert "not read" in told.terminal
    assert "class='proof open'" in told.page


def test_given_an_import_that_was_cut_short_then_only_what_was_made_is_told(desk: Desk) -> None:
    for n in range(1, 9):
        desk.shop.sell(FLOW, 1_000, N.format(n))
    plan = desk.plan(desk.write(*(f"{N.format(n)};10,00;ACTIVE" for n in range(1, 9))))
    choose_rows(desk.path, desk.imports, plan)
    # The brake stops it after three cards; the others are planned in the ledger and stay so.
    assert not desk.importer(brake=BrakeLimits(cards=3)).apply(plan)

    told = Told(desk, plan)

    made = told.report.tally.by[Outcome.MADE]
    really = desk.totals()[1]
    assert made.made_minor == really == told.report.sides[1].made_minor < 8_000
    assert told.report.tally.by[Outcome.NOT_YET].cards == 8 - made.cards
    assert told.report.verdict is ImportVerdict.UNFINISHED
    assert told.json["sides"][SHOPIFY]["shows"] == decimal_from_minor(really, "NOK")
    assert "Money in is money out" not in told.page + told.terminal

    # The worker is stopped, too; a person lets the link go on, and the same plan is applied again.
    desk.shop.by_hand("UPDATE conflicts SET closed_at = '2026-11-20 00:00:00'")
    assert desk.apply(plan)
    after = Told(desk, plan)
    assert (after.report.verdict, desk.totals()) == (ImportVerdict.IN_STEP, (8_000, 8_000))


def test_given_a_worker_that_was_stopped_with_cards_of_the_import_then_apply_makes_them(desk: Desk) -> None:
    for n in range(1, 5):
        desk.shop.sell(FLOW, 1_000, N.format(n))
    plan = desk.plan(desk.write(*(f"{N.format(n)};10,00;ACTIVE" for n in range(1, 5))))
    choose_rows(desk.path, desk.imports, plan)
    assert not desk.importer(brake=BrakeLimits(cards=1)).apply(plan)
    desk.shop.by_hand(
        "UPDATE conflicts SET closed_at = '2026-11-20 00:00:00'",
        # A worker took them up, used their hints up, and died.
        "UPDATE cards SET lease_owner = 'worker', lease_until = '2099-01-01 00:00:00', due_at = NULL",
    )
    desk.imports.finish_rows(plan)
    desk.shop.by_hand("UPDATE cards SET lease_owner = NULL, lease_until = NULL")
    desk.imports.finish_rows(plan)

    assert desk.apply(plan)

    assert desk.totals() == (4_000, 4_000)
    assert Told(desk, plan).report.tally.by[Outcome.MADE].cards == 4


def test_given_a_side_that_shows_something_else_then_the_report_is_red_and_names_the_card(
    desk: Desk,
) -> None:
    desk.shop.sell(FLOW, 1_000, N.format(1))
    plan = desk.plan(desk.write(f"{N.format(1)};10,00;ACTIVE"))
    assert desk.apply(plan)
    desk.shop.move(SHOPIFY, -250, N.format(1))

    told = Told(desk, plan)

    assert (told.report.verdict, told.report.adds_up) == (ImportVerdict.WRONG, False)
    assert "class='proof bad'" in told.page
    assert "-2.50 NOK together" in told.terminal.replace("\n", " ")
    assert told.json["sides"][SHOPIFY]["shows"] == "7.50"
    assert list(told.report.checked.differing) == [1] if told.report.checked else False


def test_given_other_cards_in_the_ledger_then_only_the_imports_own_are_read_back(desk: Desk) -> None:
    desk.shop.in_step(5_000, N.format(77))
    desk.shop.sell(FLOW, 1_000, N.format(1))
    plan = desk.plan(desk.write(f"{N.format(1)};10,00;ACTIVE"))
    assert desk.apply(plan)

    told = Told(desk, plan)

    assert told.report.checked is not None
    assert told.report.checked.shown == {FLOW: (1, 1_000), SHOPIFY: (1, 1_000)}
    assert told.report.verdict is ImportVerdict.IN_STEP


def test_given_a_rejected_row_then_its_money_is_counted(desk: Desk) -> None:
    told = Told(
        desk, desk.plan(desk.write("1,23E+15;1 234,50;ACTIVE", f"{N.format(1)};x;ACTIVE")), check=False
    )
    assert told.report.tally.by[Outcome.REJECTED].planned_minor == 123_450
    assert "2 cards with 1 234.50 NOK were rejected" in " ".join(told.terminal.split())
