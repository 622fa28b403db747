"""Find a card by what a customer can say, and read its story: the same as the terminal tells."""

from __future__ import annotations

import csv
import io
import re

import pytest

from connectors.memory import MemoryFault
from console.pages import cards
from sync.support.cases import places_of
from sync.support.people import Role
from sync.support.statement import read_out, statement
from tests.integration.console.house import House, headline, plain, read
from tests.integration.console.test_guarding import overdraft
from tests.integration.shop import FLOW, SERIAL, SHOPIFY


@pytest.mark.parametrize("asked", [SERIAL, "1000 2000 3000 4000", "4000", "1"])
def test_given_number_last_four_or_id_then_the_card_opens(house: House, asked: str) -> None:
    house.shop.in_step(32_050)
    browser = house.enter(Role.READ_ONLY)

    page = browser.post("/cards", what=asked)

    assert page.url == f"{house.url}/cards/1"
    assert "Balance 320,50 kr." in headline(page.text)


def test_given_several_cards_then_each_is_listed_with_why(house: House) -> None:
    house.shop.in_step(10_000)
    house.shop.in_step(20_000, "5000600070004000")

    page = house.enter(Role.SUPPORT).post("/cards", what="4000")

    assert "2 cards for 4000" in read(page.text)
    assert "200,00 kr" in read(page.text)
    assert "ends in it" in page.text


def test_given_a_number_of_a_card_that_only_a_side_has_then_it_says_so(house: House) -> None:
    house.shop.sell(FLOW, 5_000, "7000700070007000")

    page = read(house.enter(Role.SUPPORT).post("/cards", what="7000700070007000").text)

    assert "giftsync has not met it yet" in page


def test_given_a_number_that_nobody_has_then_it_says_that_every_side_was_asked(house: House) -> None:
    assert "Every side was asked" in house.enter(Role.SUPPORT).post("/cards", what="7000700070007000").text


def test_given_a_card_that_was_used_then_its_page_tells_what_the_terminal_tells(house: House) -> None:
    shop = house.shop
    card_id = shop.in_step(50_000)
    shop.move(FLOW, -12_050)
    shop.work_until_quiet(card_id)
    page = read(house.enter(Role.READ_ONLY).get(f"/cards/{card_id}").text)

    found = statement(shop.link, card_id, places_of(shop.sides))
    assert found is not None
    words = house.console.words(None)
    for sentence in read_out(found, shop.link.timezone):
        assert plain(words.said(sentence)) in page
    assert "-120,50 kr" in page
    assert "379,50 kr" in page
    assert f"Last used today 13:00, {house.console.places[FLOW].name}." in page
    for event in found.events:
        assert plain(words.amounts(event.what)) in page


def test_given_an_overdraft_then_the_plot_marks_what_was_written_off(house: House) -> None:
    overdraft(house)

    page = house.enter(Role.READ_ONLY).get("/cards/1").text.replace("\xa0", " ")

    assert "<title>Written off: 50,00 kr</title>" in page
    assert 'href="/conflicts/1"' in page
    assert page.count('class="line s') == 4  # Two lines, and two in the legend.


def test_given_a_statement_for_a_spreadsheet_then_amounts_are_numbers_and_no_cell_is_a_formula(
    house: House,
) -> None:
    shop = house.shop
    conflict = overdraft(house)
    browser = house.enter(Role.SUPPORT, "=HYPERLINK(1)")
    browser.post(f"/conflicts/{conflict}", choice="acknowledge:", why="=1+1", confirmed="yes")

    answer = browser.get("/cards/1/story.csv")

    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["amount"] for row in rows if row["amount"]] == ["100.00", "-80.00", "-70.00", "50.00"]
    assert "'=HYPERLINK(1)" in {row["by"] for row in rows}
    assert SERIAL not in answer.text
    assert shop.card(1).balance_minor == 0


@pytest.mark.parametrize("path", ["/cards/99", "/cards/x", "/cards/-1", "/cards/9999999999999999999999"])
def test_given_no_such_card_then_it_says_so(house: House, path: str) -> None:
    assert house.enter(Role.READ_ONLY).get(path).status_code == 404


def test_given_many_cards_then_they_come_a_page_at_a_time(house: House) -> None:
    for number in range(52):
        house.shop.arrive(SHOPIFY, house.shop.sell(SHOPIFY, 100, f"90001000200{number:05}"))
    house.shop.sync()
    browser = house.enter(Role.READ_ONLY)

    first = browser.get("/cards").text
    assert first.count('<a href="/cards/') == 50
    assert "/cards?after=50" in first
    assert browser.get("/cards?after=50").text.count('<a href="/cards/') >= 2


def test_given_a_search_that_many_cards_answer_then_they_come_a_page_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "LISTED", 2)
    for start in ("1000", "5000", "6000"):
        house.shop.in_step(10_000, f"{start}600070004000")
    browser = house.enter(Role.SUPPORT)

    answer = browser.post("/cards", what="4000")
    first = answer.text
    assert re.findall(r'href="/cards/(\d+)"', first) == ["1", "2"]
    assert "3 cards for 4000" in read(first)
    assert "after=2" in first
    second = browser.get(f"{answer.url.removeprefix(house.url)}&after=2").text
    assert re.findall(r'href="/cards/(\d+)"', second) == ["3"]
    assert "3 cards for 4000" in read(second)
    assert "after=" not in second


@pytest.mark.parametrize("asked", [SERIAL, "4000", "Kari Nordmann"])
def test_given_a_search_then_its_result_has_an_address_that_opens_again_and_tells_nothing(
    house: House, asked: str
) -> None:
    house.shop.in_step(10_000, "5000600070004000")
    house.shop.in_step(10_000, "6000600070004000")
    browser = house.enter(Role.SUPPORT)

    found = browser.post("/cards", what=asked)

    address = found.url.removeprefix(house.url)
    assert re.fullmatch(r"/cards\?typed=[\w-]+", address)
    # A reload, or the way back from a card, shows the same.
    assert browser.get(address).text == found.text
    for part in (asked, asked.split()[0], asked[-4:]):
        assert part not in address


@pytest.mark.parametrize("typed", ["x", "ü", "AAAA", "A" * 3_000, "%00", ""])
def test_given_an_address_that_the_console_did_not_make_then_the_list_is_shown(
    house: House, typed: str
) -> None:
    assert "All cards" in house.enter(Role.SUPPORT).text(f"/cards?typed={typed}")


def test_given_the_address_of_somebody_elses_search_then_it_does_not_open(house: House) -> None:
    house.shop.in_step(10_000, "5000600070004000")
    house.shop.in_step(10_000, "6000600070004000")
    found = house.enter(Role.SUPPORT).post("/cards", what="4000")

    page = house.enter(Role.MERCHANT).text(found.url.removeprefix(house.url))

    assert "cards for 4000" not in page
    assert "All cards" in page


def test_given_many_cards_then_those_out_of_step_are_the_ones_of_the_last_count_that_still_are(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = house.shop
    monkeypatch.setattr(cards, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr(cards, "LISTED", 2)
    for number in range(4):
        shop.in_step(10_000, f"900010002000{number:04}")
        shop.move(FLOW, -1_000, f"900010002000{number:04}")
        # Shopify has answered before it fails, not since.
        shop.clock.advance(1)
        shop.fail(SHOPIFY, MemoryFault.NOT_SENT)
        shop.work(number + 1)
    browser = house.enter(Role.READ_ONLY)
    browser.get("/")
    shop.clock.advance(120)
    shop.work_until_quiet(1)

    first = browser.get("/cards?show=out-of-step").text
    assert re.findall(r'href="/cards/(\d+)"', first) == ["2"]
    assert 'href="/cards?after=2&amp;show=out-of-step"' in first
    assert "Looked for at 13:00:04" in read(first)
    rest = browser.get("/cards?show=out-of-step&after=2").text
    assert re.findall(r'href="/cards/(\d+)"', rest) == ["3", "4"]
    assert "after=4" not in rest
