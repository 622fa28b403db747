"""A project brings in old cards from a page: the file, how it is read, the plan, the start, the report."""

from __future__ import annotations

import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.console import import_desk, served_console
from cli.demo.control import Control
from cli.output import Output
from cli.session import load_settings, opened_worker
from sync.importer.desk import ImportDesk
from sync.importer.files import FileProblem, Stated
from sync.worker.service import Service
from tests.integration.console.house import PASSWORD, Browser, headline, read
from tests.integration.console.norwegian import english_in, in_norwegian
from tests.support import seen_in_time

HEAD = "Gift card number,Balance,Status,Expires"


@pytest.fixture
def browser(config: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Browser]:
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("[console]\n", "[console]\nport = 0\n"), encoding="utf-8")
    settings = load_settings(config)
    with (
        opened_worker(settings, threading.Event()) as (worker, ledger),
        served_console(settings, Service(worker), ledger, Output()),
    ):
        link = re.search(r"(http://\S+)/join/(\S{43})", capsys.readouterr().err.replace("\n", ""))
        assert link is not None
        found = Browser(link[1])
        found.send(f"/join/{link[2]}", name="Kari", password=PASSWORD, again=PASSWORD)
        yield found


def sent(browser: Browser, text: str, name: str = "cards.csv") -> str:
    """The page of a file that was sent; its path."""
    answer = browser.send("/imports", csrf=browser.csrf("/imports"), files={"file": (name, text.encode())})
    assert answer.status_code == 200, read(answer.text)
    return answer.url.removeprefix(browser.url)


def ended(browser: Browser) -> str:
    """What is under way has ended; the page that it leads to."""
    assert seen_in_time(lambda: 'http-equiv="refresh"' not in browser.get("/imports/now").text, 60, 0.1)
    return browser.get("/imports/now").url.removeprefix(browser.url)


def test_given_an_export_then_it_is_read_planned_carried_out_and_reported(
    browser: Browser, flow: Control, shopify: Control, config: Path
) -> None:
    numbers = [flow.call("sell", amount=amount)["number"] for amount in ("100", "250")]
    lines = [f"{numbers[0]},100.00,active,", f"{numbers[1]},250.00,active,", "12,5.00,active,"]
    page = sent(browser, "\n".join([HEAD, *lines]))

    looked = browser.get(page).text
    assert f"••••{numbers[0][-4:]}" in looked
    assert "100,00 kr" in read(looked)
    assert numbers[0] not in looked

    browser.send(page, csrf=browser.csrf(page), layout="auto", do="plan")
    one = ended(browser)
    plan = browser.get(one)
    assert headline(plan.text) == "2 cards would be brought into step."
    assert shopify.cards() == []
    files = list((config.parent / "imports").rglob("*"))
    assert {stat.S_IMODE(f.stat().st_mode) & 0o077 for f in files} == {0}
    assert not [f for f in files if f.name == "cards.csv"]

    assert browser.send(one, csrf=browser.csrf(one), do="start").status_code == 400
    browser.send(one, csrf=browser.csrf(one), do="start", sure="yes")
    done = browser.get(ended(browser))

    # Several are made at the same time.
    assert {c.serial: c.balance_minor for c in shopify.cards()} == dict(
        zip(numbers, (10_000, 25_000), strict=True)
    )
    words = read(done.text)
    assert headline(done.text).startswith("3 of 3 rows done.")
    assert "350,00 kr" in words
    report = browser.get(f"{one}/report.csv")
    assert "attachment" in report.headers["content-disposition"]
    assert numbers[0] not in report.text
    assert browser.get(f"{one}/nothing.csv").status_code == 404


def test_given_an_import_that_is_paused_then_the_rest_is_made_when_somebody_says_so(
    browser: Browser, flow: Control, shopify: Control
) -> None:
    numbers = [flow.call("sell", amount="100")["number"] for _ in range(6)]
    page = sent(browser, "\n".join([HEAD, *(f"{number},100.00,active," for number in numbers)]))
    browser.send(page, csrf=browser.csrf(page), layout="auto", do="plan")
    one = ended(browser)
    create = {"match": "giftCardCreate", "probability": 1.0}
    let_through = {**create, "kind": "delay", "delay_ms": 0, "times": 2}
    shopify.call("faults", seed=1, rules=[let_through, {**create, "kind": "throttle"}])
    browser.send(one, csrf=browser.csrf(one), do="start", sure="yes")
    assert seen_in_time(lambda: len(shopify.cards()) == 2)

    browser.post("/imports/now")
    paused = browser.get(ended(browser))

    assert headline(paused.text) == "Paused: 4 rows are left."
    assert len(shopify.cards()) == 2
    assert "paused an import" in browser.text("/activity")
    shopify.call("faults", seed=1, rules=[])
    browser.send(one, csrf=browser.csrf(one), do="start", sure="yes")
    done = browser.get(ended(browser))
    assert [card.balance_minor for card in shopify.cards()] == [10_000] * 6
    assert headline(done.text).startswith("6 of 6 rows done.")


def test_given_a_file_that_is_none_then_it_says_what_is_wrong(browser: Browser, config: Path) -> None:
    answer = browser.send(
        "/imports", csrf=browser.csrf("/imports"), files={"file": ("notes.csv", b"hello\nworld\n")}
    )

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert str(config.parent) not in answer.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Filen er tom"),
        (b"1000200030004000,100.00\n1000200030004001,50.00\n", "Ingen linje navngir kolonnene."),
        (b"Dato,Bilag\n2026-11-29,7\n", "Ikke noe kjent oppsett har disse kolonnene: Dato, Bilag."),
        (b"Kortnr,Saldo,Saldo\n1000200030004000,5,5\n", "Linje 1: to kolonner har samme navn, Saldo;"),
        (b"Kortnr,Saldo\n", "Linje 1: filen navngir kolonnene sine, og har ingen rader"),
        (b"%PDF-1.7\n", "Den er en PDF, ikke en CSV."),
        (b"Kortnr;Saldo\n" + b"\x81\xe5;1\n" * 9, "Den er verken UTF-8, UTF-16 eller Windows-1252."),
    ],
)
def test_given_a_norwegian_then_what_is_wrong_with_a_file_is_said_in_norwegian(
    browser: Browser, config: Path, content: bytes, words: str
) -> None:
    in_norwegian(browser)

    answer = browser.send("/imports", csrf=browser.csrf("/imports"), files={"file": ("kort.csv", content)})

    assert answer.status_code == 422
    assert words in read(answer.text)
    assert english_in(answer.text) == []
    assert str(config.parent) not in answer.text


def test_given_a_norwegian_then_an_import_is_norwegian_from_the_file_to_its_report(
    browser: Browser, flow: Control
) -> None:
    in_norwegian(browser)
    number = flow.call("sell", amount="100")["number"]
    page = sent(browser, f"Kortnr;Saldo\n{number};100,00\n12;5,00\n", "kort.csv")
    browser.send(page, csrf=browser.csrf(page), layout="auto", do="plan")
    one = ended(browser)

    left = english_in(browser.get(page).text) + english_in(browser.get(one).text)
    browser.send(one, csrf=browser.csrf(one), do="start", sure="yes")
    done = browser.get(ended(browser)).text

    assert left + english_in(done) == []
    assert "De importerte kortene kom med 100,00 kr" in read(done)


@pytest.mark.parametrize(
    "name", ["../../../evil.csv", "..\\evil.csv", '<script>alert("x")</script>.csv', ".csv", ""]
)
def test_given_a_name_that_is_a_trick_then_it_stays_in_its_folder_and_is_words(
    browser: Browser, config: Path, name: str
) -> None:
    content = f"{HEAD}\n1000200030004000,100.00,active,\n"
    around = (config.parent, config.parent.parent)
    before = {path for folder in around for path in folder.iterdir()}
    answer = browser.send("/imports", csrf=browser.csrf("/imports"), files={"file": (name, content.encode())})

    assert "<script>alert" not in answer.text
    after = {path for folder in around for path in folder.iterdir()}
    assert after - before <= {config.parent / "imports"}
    if "evil" in name:
        assert [path.name for path in (config.parent / "imports").rglob("*.csv")] == ["evil.csv"]


def test_given_numbers_of_several_lengths_then_a_person_says_that_they_are_printed_so(
    browser: Browser,
) -> None:
    long = "".join(f"63000000000{n},10.00,active,\n" for n in range(4))
    page = sent(browser, f"{HEAD}\n{long}6300000000,20.00,active,\n")

    assert "a spreadsheet drops leading zeros" in browser.text(page)
    assert "a spreadsheet drops leading zeros" not in browser.text(f"{page}?mixed=yes")
    assert 'name="mixed" value="yes" checked' in browser.get(f"{page}?mixed=yes").text


def test_given_a_card_with_money_for_which_nothing_is_made_then_the_plan_says_why(
    browser: Browser, flow: Control
) -> None:
    number = flow.call("sell", amount="100")["number"]
    page = sent(browser, f"{HEAD}\n{number},100.00,blocked,\n")
    browser.send(page, csrf=browser.csrf(page), do="plan")

    words = browser.text(ended(browser))

    assert "Left out, and why Suspended · 1" in words


def test_given_no_file_then_it_says_so(browser: Browser) -> None:
    answer = browser.send("/imports", csrf=browser.csrf("/imports"), files={"file": ("", b"")})

    assert answer.status_code == 400
    assert "Choose a file first." in answer.text


def test_given_a_file_that_is_thrown_away_then_it_is_gone(browser: Browser, config: Path) -> None:
    page = sent(browser, f"{HEAD}\n1000200030004000,100.00,active,\n")

    browser.send(page, csrf=browser.csrf(page), do="forget")

    assert not list((config.parent / "imports").rglob("*.csv"))
    assert browser.get(page).status_code == 422


def test_given_a_plan_that_is_dropped_then_nothing_of_it_is_left(browser: Browser, config: Path) -> None:
    page = sent(browser, f"{HEAD}\n1000200030004000,100.00,active,\n")
    browser.send(page, csrf=browser.csrf(page), do="plan")
    one = ended(browser)

    browser.send(one, csrf=browser.csrf(one), do="discard")

    assert browser.get(one).status_code == 404
    assert not list((config.parent / "imports").rglob("*.csv"))


@pytest.mark.parametrize("token", ["..", "../..", "x" * 32, "0" * 32])
def test_given_a_token_that_was_never_given_then_no_file_is_opened(config: Path, token: str) -> None:
    settings = load_settings(config)
    with opened_worker(settings, threading.Event()) as (worker, ledger):
        desk: ImportDesk = import_desk(settings, worker, ledger)
        with pytest.raises(FileProblem):
            desk.look(token, "auto", Stated())
