"""A Norwegian reads Norwegian: on every page, of every conflict, in what people did and are told."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from console.pages import PAGES
from console.words import Words
from mappings.sentences import Day, Money, Sentence, both, dump, in_a_row, load, say
from sync.support.people import TERMINAL, Role
from tests.integration.console.house import PASSWORD, House, read
from tests.integration.console.norwegian import english_in, in_norwegian
from tests.integration.console.test_conflicts import first_contact
from tests.integration.console.test_guarding import OPEN, address, overdraft


def test_given_a_norwegian_then_no_page_has_an_english_sentence(house: House) -> None:
    overdraft(house)
    conflict = first_contact(house)
    browser = in_norwegian(house.enter(Role.MERCHANT, "Kari"))
    browser.post(f"/conflicts/{conflict}", choice="accept:flow", why="sett på kvitteringen", confirmed="yes")
    house.people.invite(Role.SUPPORT, TERMINAL)
    house.count()
    pages = [address(page) for page in PAGES if page.show is not None and page.path not in OPEN]
    pages += [f"/conflicts/{conflict}", "/conflicts?show=closed", "/cards?show=out-of-step", "/cards/2"]
    pages += ["/people", "/activity", "/nowhere", f"/reports/{house.shop.clock():%Y-%m}"]

    left = {}
    for path in dict.fromkeys(pages):
        answer = browser.get(path)
        if answer.headers["content-type"].startswith("text/html"):
            left[path] = english_in(answer.text)

    assert {path: words for path, words in left.items() if words} == {}


def test_given_a_norwegian_then_each_decision_is_asked_and_refused_in_norwegian(house: House) -> None:
    conflict = first_contact(house)
    browser = in_norwegian(house.enter(Role.SUPPORT, "Kari"))
    path = f"/conflicts/{conflict}"

    asked = browser.post(path, choice="accept:flow")
    refused = [
        browser.post(path, choice="value:", amount="999999", why="x", confirmed="yes"),
        browser.post(path, choice="acknowledge:", why="x", confirmed="yes"),
        browser.post(path, choice="accept:nowhere", why="x", confirmed="yes"),
        browser.post(path, choice="accept:flow", confirmed="yes"),
    ]

    assert english_in(asked.text) == []
    assert [answer.status_code for answer in refused] == [409] * 4
    assert [english_in(answer.text) for answer in refused] == [[]] * 4
    assert "har rett" in read(asked.text)


def test_given_a_norwegian_then_what_they_are_refused_is_said_in_norwegian(house: House) -> None:
    browser = in_norwegian(house.enter(Role.MERCHANT, "Kari"))

    alone = browser.post("/people", do="remove", name="Kari")
    unknown = browser.post("/people", do="remove", name="Nobody")
    short = browser.post("/passkeys", name="min", password="feil", answer="{}")

    assert [one.status_code for one in (alone, unknown, short)] == [409] * 3
    assert english_in(alone.text) == english_in(short.text) == []
    assert "Det er ingen som heter Nobody." in read(unknown.text)


def test_given_a_card_then_its_story_is_read_out_in_norwegian(house: House) -> None:
    conflict = overdraft(house)
    house.enter(Role.SUPPORT, "Ola").post(
        f"/conflicts/{conflict}", choice="write_off:", why="betalt to steder", confirmed="yes"
    )
    browser = in_norwegian(house.enter(Role.READ_ONLY, "Kari"))

    page = browser.get("/cards/1").text

    assert english_in(page) == []
    assert "Det utløper ikke." in read(page)
    assert "avskrevet: de samme pengene ble brukt to steder" in read(page)
    assert "betalt to steder" in read(page)
    assert english_in(browser.get("/cards/1/story.csv").text.split("\n", 1)[1]) == []
    assert PASSWORD not in page


@pytest.mark.parametrize(
    "sentence",
    [
        say("{side} shows {amount}", side="flow", amount=Money(12_050, "NOK")),
        say("{first} and {second}", first=say("bought"), second=say("till {till}", till=3)),
        in_a_row(["a", say("sold")], ", "),
        both(["Flow", "Shopify", "Lightspeed"]),
        say("braces {text}", text="{not a value} \x1f"),
        say("nothing to say"),
    ],
)
def test_given_a_sentence_then_the_ledger_gives_it_back_as_it_was(sentence: Sentence) -> None:
    stored = dump(sentence)

    found = load(stored)

    assert isinstance(found, Sentence)
    assert (found, found.message) == (sentence, sentence.message)
    assert stored.startswith(str(sentence).replace("\x1f", " "))


@pytest.mark.parametrize(
    "text", ["", "an older sentence", 'with \x1f{"say": 3}', "cut \x1f{", "\x1f", "\x1fnull"]
)
def test_given_any_other_text_then_it_is_read_as_text(text: str) -> None:
    assert str(load(text)) in (text, text.partition("\x1f")[0])


def test_given_a_day_that_is_said_then_it_is_one_in_each_language() -> None:
    said = say("It can be used until {expires_on}.", expires_on=Day(date(2027, 5, 17)))

    assert said == "It can be used until 17 May 2027."
    assert Words.of("nb", ZoneInfo("Europe/Oslo")).said(said) == "Det kan brukes til 17. mai 2027."
