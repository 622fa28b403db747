"""Finance at the end of the month: what is owed, as the statement says, and the proof."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from python_calamine import load_workbook

from sync.books import periods
from sync.books.render.pages import pdf_of
from sync.books.render.workbook import workbook_of
from sync.support.bookkeeping import close, draft
from sync.support.people import Role
from tests.integration.console.house import House, headline, plain, read
from tests.integration.console.norwegian import english_in, in_norwegian
from tests.integration.shop import FLOW
from tests.support import seen_in_time


def test_given_cards_then_the_month_says_what_is_owed_as_the_statement_does(house: House) -> None:
    shop = house.shop
    card_id = shop.in_step(50_000)
    shop.move(FLOW, -12_050)
    shop.work_until_quiet(card_id)
    browser = house.enter(Role.READ_ONLY)

    assert 'href="/reports/2026-11"' in browser.get("/reports").text
    page = browser.get("/reports/2026-11").text

    assert plain(headline(page)) == "You owe 379,50 kr on 1 card."
    keeper = house.console.books
    assert keeper is not None
    statement = draft(keeper, periods.month("2026-11", shop.link.timezone))
    (part,) = statement.currencies
    for minor in (*part.total.lines.values(), part.total.closing_minor):
        if minor:
            assert plain(house.console.words(None).money(minor, "NOK")) in read(page)
    table = browser.get("/reports/2026-11/rollforward-NOK.csv")
    rows = list(csv.reader(io.StringIO(table.content.decode("utf-8-sig"))))
    assert "379.50" in rows[-1]
    assert browser.get("/reports/2026-11/statement.pdf").content.startswith(b"%PDF")
    assert browser.get("/reports/2026-11/statement.xlsx").content.startswith(b"PK")


def test_given_a_closed_month_then_its_files_are_those_that_close_writes(house: House) -> None:
    shop = house.shop
    shop.in_step(50_000)
    shop.clock.advance(timedelta(days=45).total_seconds())
    browser = house.enter(Role.READ_ONLY)
    assert "statement.json" not in browser.get("/reports/2026-11").text
    assert browser.get("/reports/2026-11/statement.json").status_code == 404
    keeper = house.console.books
    assert keeper is not None

    sealed = close(keeper, "2026-11")

    assert 'href="/reports/2026-11/statement.json"' in browser.get("/reports/2026-11").text
    for name, data in (
        ("statement.json", sealed.to_file()),
        ("statement.pdf", pdf_of(sealed.statement, sealed.words)),
        ("statement.xlsx", workbook_of(sealed.statement, sealed.words)),
    ):
        answer = browser.get(f"/reports/2026-11/{name}")
        assert answer.content == data, name
        ending = name.rpartition(".")[2]
        assert f'filename="statement-0001-2026-11.{ending}"' in answer.headers["Content-Disposition"]


def test_given_accounts_that_are_not_on_the_merchants_list_then_the_page_says_which_and_gives_nothing(
    house: House, tmp_path: Path
) -> None:
    house.shop.in_step(50_000)
    keeper = house.console.books
    assert keeper is not None
    standard = tmp_path / "standard.csv"
    standard.write_text("2900;Forskudd fra kunder;Account\r\n", encoding="utf-8")
    accounts = replace(keeper.settings.accounts, liability="2901")
    settings = replace(keeper.settings, accounts=accounts, standard_accounts=standard)
    object.__setattr__(keeper, "settings", settings)  # As if giftsync had begun with them.
    browser = house.enter(Role.READ_ONLY)

    for path in ("/reports/2026-11", "/reports/2026-11/statement.pdf", "/reports/2026-11/journal-NOK.csv"):
        answer = browser.get(path)
        assert answer.status_code == 409, path
        assert "liability = 2901 (the nearest is 2900, Forskudd fra kunder)" in headline(answer.text)


def test_given_no_such_month_or_table_then_it_says_so(house: House) -> None:
    browser = house.enter(Role.READ_ONLY)

    for path in (
        "/reports/2026-13",
        "/reports/x",
        "/reports/2026-11/nothing.csv",
        "/reports/2026-11/statement.txt",
    ):
        assert browser.get(path).status_code == 404, path


def test_given_a_ledger_as_it_was_written_then_it_is_proved_and_a_changed_one_is_not(house: House) -> None:
    shop = house.shop
    shop.in_step(50_000)
    browser = house.enter(Role.SUPPORT)

    def proved() -> str:
        browser.send("/reports", csrf=browser.csrf("/"))
        assert seen_in_time(lambda: 'http-equiv="refresh"' not in browser.get("/reports").text)
        return browser.text("/reports")

    assert "Proved: 1 card, every movement as giftsync wrote it." in proved()
    shop.by_hand("UPDATE movements SET amount_minor = amount_minor + 100")
    assert "discrepanc" in proved()


def test_given_a_norwegian_then_the_statement_that_they_take_home_is_in_norwegian(house: House) -> None:
    shop = house.shop
    card_id = shop.in_step(50_000)
    shop.move(FLOW, -12_050)
    shop.work_until_quiet(card_id)
    browser = in_norwegian(house.enter(Role.MERCHANT))

    book = load_workbook(io.BytesIO(browser.get("/reports/2026-11/statement.xlsx").content))

    sheets = [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]
    cells = [str(cell) for sheet in sheets for row in sheet for cell in row]
    assert "379,50\xa0kr skyldes på 1 kort." in cells
    assert english_in(" | ".join(cells)) == []
    pages = browser.get("/reports/2026-11/statement.pdf")
    assert b"/Lang (nb)" in pages.content
