"""The worklist, one conflict, and decisions: what would follow, a confirmation, what did follow."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sync.support import cases, claiming
from sync.support.people import Role
from tests.integration.console.house import Browser, House, headline, plain, read
from tests.integration.console.test_guarding import overdraft
from tests.integration.shop import FLOW, SHOPIFY


def first_contact(house: House, serial: str = "5000600070008000") -> int:
    """One number, two balances."""
    shop = house.shop
    shop.sell(SHOPIFY, 40_000, serial)
    shop.work_until_quiet(shop.meet(FLOW, 50_000, serial))
    house.count()
    return int(shop.rows("conflicts")[-1]["id"])


def choices(page: str) -> list[str]:
    return re.findall(r'name="choice" value="([^"]*)"', page)


def test_given_two_balances_then_both_sides_and_each_decision_show_what_follows(house: House) -> None:
    conflict = first_contact(house)
    page = house.enter(Role.SUPPORT).get(f"/conflicts/{conflict}").text

    words = read(page)
    assert "500,00 kr" in words
    assert "400,00 kr" in words
    assert "100,00 kr at stake" in words
    assert choices(page) == ["accept:flow", "accept:shopify", "value:"]
    assert "400,00 kr → 500,00 kr" in words
    assert house.shop.row("conflicts", id=conflict)["closed_at"] is None


def test_given_three_clicks_from_the_overview_then_a_conflict_is_settled(house: House) -> None:
    conflict = first_contact(house)
    browser = house.enter(Role.SUPPORT)
    assert f'href="/conflicts/{conflict}"' in browser.get("/").text  # Click one.

    asked = browser.post(f"/conflicts/{conflict}", choice="accept:flow").text  # Click two.
    assert headline(asked) == "Confirm your decision"
    assert "400,00 kr → 500,00 kr" in read(asked)
    assert house.shop.row("conflicts", id=conflict)["closed_at"] is None

    done = browser.post(f"/conflicts/{conflict}", choice="accept:flow", why="receipt seen", confirmed="yes")

    assert "Settled today" in read(done.text)
    assert "receipt seen" in done.text
    row = house.shop.row("conflicts", id=conflict)
    assert (row["resolved_by"], row["resolved_why"]) == ("support person", "receipt seen")
    house.shop.work_until_quiet(house.shop.card_id("5000600070008000"))
    assert house.shop.shown("5000600070008000") == {FLOW: 50_000, SHOPIFY: 50_000}
    assert "100,00 kr put on · done today" in read(browser.get(f"/conflicts/{conflict}").text)


def test_given_the_same_confirmation_twice_then_it_is_done_once(house: House) -> None:
    conflict = first_contact(house)
    browser = house.enter(Role.SUPPORT)
    said: dict[str, Any] = {"choice": "accept:shopify", "why": "seen", "confirmed": "yes"}

    for _ in range(2):
        assert browser.post(f"/conflicts/{conflict}", **said).status_code == 200

    assert len([m for m in house.shop.rows("movements") if m["kind"] == "resolution"]) <= 1
    assert house.shop.card(1).balance_minor == 40_000
    deeds = [one.action for one in house.people.book.newest_deeds(10)]
    assert deeds.count("decided accept") == 1


@pytest.mark.parametrize(
    ("typed", "minor"), [("450", 45_000), ("450,50", 45_050), ("450.50", 45_050), ("1 0", None), ("", None),
                         ("-5", None), ("99999999", None), ("x", None), ("0.450", None), ("0,450", None),
                         ("4e2", None), ("\u0664\u0660\u0660", None), ("NaN", None), ("0x10", None)]
)  # fmt: skip
def test_given_an_amount_as_people_type_it_then_it_is_taken_or_refused_in_words(
    house: House, typed: str, minor: int | None
) -> None:
    conflict = first_contact(house)
    browser = house.enter(Role.SUPPORT)

    done = browser.post(
        f"/conflicts/{conflict}", choice="value:", amount=typed, why="receipt", confirmed="yes"
    )

    if minor is None:
        assert done.status_code == 409
        assert 'role="alert"' in done.text
        assert house.shop.row("conflicts", id=conflict)["closed_at"] is None
    else:
        assert house.shop.card(1).balance_minor == minor


@pytest.mark.parametrize("why", ["", "   "])
def test_given_no_reason_then_nothing_is_done(house: House, why: str) -> None:
    conflict = overdraft(house)

    done = house.enter(Role.SUPPORT).post(
        f"/conflicts/{conflict}", choice="acknowledge:", why=why, confirmed="yes"
    )

    assert done.status_code == 409
    assert "Give a reason" in done.text
    assert house.shop.row("conflicts", id=conflict)["closed_at"] is None


@pytest.mark.parametrize("choice", ["", "accept:", "accept:nowhere", "landed:", "sudo:", "resume:"])
def test_given_a_decision_that_does_not_fit_then_it_says_so(house: House, choice: str) -> None:
    conflict = overdraft(house)

    done = house.enter(Role.SUPPORT).post(f"/conflicts/{conflict}", choice=choice, why="x", confirmed="yes")

    assert done.status_code == 409
    assert house.shop.row("conflicts", id=conflict)["closed_at"] is None


def test_given_a_decision_of_which_nothing_was_done_then_another_takes_its_place(house: House) -> None:
    conflict = first_contact(house)
    browser = house.enter(Role.SUPPORT)
    browser.post(f"/conflicts/{conflict}", choice="accept:flow", why="seen", confirmed="yes")

    page = browser.get(f"/conflicts/{conflict}").text
    assert "Decide otherwise" in page
    assert "accept:shopify" in choices(page)
    asked = browser.post(f"/conflicts/{conflict}", choice="accept:shopify")
    assert "In place of accept Flow" in read(asked.text)
    browser.send(f"/conflicts/{conflict}", **fields(asked.text), why="no")

    house.shop.work_until_quiet(1)
    assert house.shop.shown("5000600070008000") == {FLOW: 40_000, SHOPIFY: 40_000}
    assert "Decide otherwise" not in browser.get(f"/conflicts/{conflict}").text


def fields(page: str) -> dict[str, Any]:
    """What the page's form would send besides what a person types."""
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))


def test_given_two_people_on_one_conflict_then_the_second_does_not_undo_the_first_unseen(
    house: House,
) -> None:
    conflict = first_contact(house)
    kari, ola = house.enter(Role.SUPPORT, "Kari"), house.enter(Role.SUPPORT, "Ola")
    path = f"/conflicts/{conflict}"
    hers = fields(kari.post(path, choice="accept:flow").text)
    his = fields(ola.post(path, choice="accept:shopify").text)

    assert "Settled today" in kari.send(path, **hers, why="receipt seen").text
    refused = ola.send(path, **his, why="no idea")

    assert refused.status_code == 409
    assert "Kari has decided meanwhile: accept Flow" in read(refused.text)
    assert house.shop.row("conflicts", id=conflict)["resolved_by"] == "Kari"
    # Nothing of it was carried out yet, so he may, once he has seen it.
    his = fields(ola.post(path, choice="accept:shopify").text)
    assert ola.send(path, **his, why="the receipt is of another card").status_code == 200
    assert house.shop.row("conflicts", id=conflict)["resolved_by"] == "Ola"


def test_given_two_people_who_decide_the_same_then_it_is_done_once(house: House) -> None:
    conflict = first_contact(house)
    path = f"/conflicts/{conflict}"
    browsers = [house.enter(Role.SUPPORT, name) for name in ("Kari", "Ola")]
    forms = [fields(browser.post(path, choice="accept:flow").text) for browser in browsers]

    for browser, form in zip(browsers, forms, strict=True):
        assert browser.send(path, **form, why="receipt seen").status_code == 200

    assert house.shop.row("conflicts", id=conflict)["resolved_by"] == "Kari"


def test_given_a_decision_then_its_confirmation_has_an_address_that_opens_again(house: House) -> None:
    conflict = first_contact(house)
    browser = house.enter(Role.SUPPORT)

    # Whole digits stand by chance in a port or in what is sealed, a decimal point does not.
    asked = browser.post(f"/conflicts/{conflict}", choice="value:", amount="450.17")

    assert asked.history[0].status_code == 303
    assert "450.17" not in asked.url
    again = browser.get(asked.url.removeprefix(house.url)).text
    assert headline(again) == "Confirm your decision"
    browser.send(f"/conflicts/{conflict}", **fields(again), why="receipt")
    # The way back leads to what is so by now.
    assert "Settled today" in browser.text(asked.url.removeprefix(house.url))


@pytest.mark.parametrize("typed", ["1.000", "1,000", "x"])
def test_given_an_amount_that_could_be_another_then_it_is_refused_in_the_persons_language_and_stays_typed(
    house: House, typed: str
) -> None:
    conflict = first_contact(house)
    browser = house.enter(Role.SUPPORT)
    browser.post("/language", page="/", language="nb")

    page = browser.post(f"/conflicts/{conflict}", choice="value:", amount=typed).text

    assert f"«{typed}» er ikke et beløp" in read(page)
    assert "250,00 kr" in plain(page)
    assert f'value="{typed}"' in page


def test_given_a_reason_that_is_the_word_preview_then_it_is_a_reason(house: House) -> None:
    conflict = overdraft(house)

    done = house.enter(Role.SUPPORT).post(
        f"/conflicts/{conflict}", choice="acknowledge:", why="preview", confirmed="yes"
    )

    assert done.status_code == 200


def test_given_like_conflicts_then_one_decision_settles_them_all(house: House) -> None:
    first = overdraft(house)
    shop = house.shop
    card_id = shop.in_step(10_000, "7000700070007000")
    shop.move(FLOW, -8_000, "7000700070007000")
    shop.move(SHOPIFY, -7_000, "7000700070007000")
    shop.work_until_quiet(card_id)
    ids = [first, int(shop.rows("conflicts")[-1]["id"])]
    browser = house.enter(Role.SUPPORT)

    asked = many(browser, ids)
    assert "Decide 2 conflicts together" in asked
    assert 'value="write_off"' in asked
    assert 'value="accept"' not in asked
    many(browser, ids, action="write_off", why="month end", confirmed="yes")

    assert {row["resolution"] for row in shop.rows("conflicts")} == {"write_off"}
    assert headline(browser.get("/conflicts").text) == "Nothing waits for you."


def many(browser: Browser, ids: list[int], **more: Any) -> str:
    return browser.send("/conflicts", csrf=browser.csrf("/"), conflict=ids, **more).text


def test_given_unlike_conflicts_then_no_decision_fits_them_all(house: House) -> None:
    ids = [overdraft(house), first_contact(house)]

    asked = many(house.enter(Role.SUPPORT), ids)

    assert "No decision fits all of these." in asked


def test_given_filters_then_the_list_shows_those_and_the_dearest_first(house: House) -> None:
    ids = [overdraft(house), first_contact(house)]
    browser = house.enter(Role.READ_ONLY)

    def listed(path: str) -> list[int]:
        return [int(found) for found in re.findall(r'href="/conflicts/(\d+)"', browser.get(path).text)]

    assert listed("/conflicts") == [ids[1], ids[0]]
    assert listed("/conflicts?order=age") == ids
    assert listed("/conflicts?kind=overdraft") == [ids[0]]
    assert listed("/conflicts?show=closed") == []
    assert listed("/conflicts?page=7") == []


def test_given_the_worklist_then_page_csv_and_terminal_say_the_same(house: House) -> None:
    overdraft(house)
    first_contact(house)
    browser = house.enter(Role.READ_ONLY)
    page, table = read(browser.get("/conflicts").text), browser.get("/conflicts/export.csv").text

    words = house.console.words(None)
    listed = list(cases.list_cases(house.shop.link))
    assert len(listed) == 2
    for one in listed:
        assert plain(words.said(one.what)) in page
        assert one.ends_in in page
        assert one.next_step.split(":")[0] in table
        shown = cases.show_case(house.shop.link, one.conflict.id)
        assert shown is not None
        assert shown.advice is not None
        one_page = read(browser.get(f"/conflicts/{one.conflict.id}").text)
        assert plain(words.said(shown.advice.deed, house.console.places)) in one_page
        assert "--" not in one_page
        assert shown.advice.why in one_page


def test_given_a_card_that_the_worker_has_then_the_person_is_asked_to_say_it_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "CLAIM_SECONDS", 0.0)
    conflict = first_contact(house)
    house.shop.claim(1)

    done = house.enter(Role.SUPPORT).post(
        f"/conflicts/{conflict}", choice="accept:flow", why="x", confirmed="yes"
    )

    assert done.status_code == 409
    assert "say it again in a moment" in done.text


def test_given_a_preview_then_whoever_has_the_card_keeps_it_and_nothing_becomes_due(house: House) -> None:
    conflict = first_contact(house)
    browser = house.enter(Role.SUPPORT)
    before = house.shop.rows("cards")

    browser.get(f"/conflicts/{conflict}")

    assert house.shop.rows("cards") == before
    house.shop.claim(1)
    leased = house.shop.rows("cards")
    page = browser.text(f"/conflicts/{conflict}")
    chosen = browser.post(f"/conflicts/{conflict}", choice="accept:flow")
    assert "What it changes is worked out when you choose it." not in page
    assert headline(chosen.text) == "Confirm your decision"
    assert house.shop.rows("cards") == leased


def test_given_no_such_conflict_then_it_says_so(house: House) -> None:
    assert house.enter(Role.SUPPORT).get("/conflicts/77").status_code == 404
