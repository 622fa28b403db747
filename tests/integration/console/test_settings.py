"""A merchant changes settings on a page: the words, the dry run, the file, and the new beginning."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

from cli.agree import agree_to_creates
from cli.console import served_console
from cli.demo.control import Control
from cli.emulators import Address
from cli.errors import OperatorError
from cli.output import Output
from cli.served import Restart
from cli.session import load_settings, opened_worker
from config.load import load
from sandbox.shopify.http.emulator import CLIENT_ID
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.database.engine import only_worker
from sync.ledger.database.tables import metadata
from sync.support.people import People, Role
from sync.worker.service import Service
from sync.worker.worker import Worker
from tests.integration.console.house import CHEAP, PASSWORD, Browser, headline, read
from tests.support import seen_in_time

COMMENT = "# Kari: agreed with the stores in May\n"


class Office:
    """The console of a link whose settings are in a file."""

    def __init__(self, file: Path, url: str, worker: Worker, restart: Restart) -> None:
        self.file, self.url, self.worker, self.restart = file, url, worker, restart
        self.people = People(worker.engine, worker.link.store.vault, worker.link.clock, CHEAP)

    def enter(self, role: Role = Role.MERCHANT) -> Browser:
        browser = Browser(self.url)
        token = self.people.invite(role, "a test")
        browser.send(f"/join/{token}", name=role.value, password=PASSWORD, again=PASSWORD)
        return browser

    def restarts(self) -> bool:
        return self.restart.wanted

    def text(self) -> str:
        return self.file.read_text(encoding="utf-8")


@pytest.fixture
def office(config: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Office]:
    text = config.read_text(encoding="utf-8").replace("[console]\n", "[console]\nport = 0\n")
    config.write_text(text.replace("[link]\n", f"[link]\n{COMMENT}"), encoding="utf-8")
    settings, restart = load_settings(config), Restart()
    with (
        opened_worker(settings, threading.Event()) as (worker, ledger),
        only_worker(ledger.engine),
        served_console(settings, Service(worker), ledger, Output(), config, restart),
    ):
        link = re.search(r"(http://\S+)/join/", capsys.readouterr().err.replace("\n", ""))
        assert link is not None
        yield Office(config, link[1], worker, restart)


def drafted(browser: Browser, **changes: str) -> str:
    """The page of a change, once its dry run has ended; its path."""
    fields: dict[str, Any] = {name.replace("__", "."): value for name, value in changes.items()}
    answer = browser.post("/settings", **fields)
    path = answer.url.removeprefix(browser.url)
    assert path.startswith("/settings/draft/"), read(answer.text)
    assert seen_in_time(lambda: 'http-equiv="refresh"' not in browser.get(path).text, 60, 0.1)
    return path


def test_given_a_change_then_its_effects_are_shown_and_only_a_save_writes_the_file(
    office: Office, flow: Control
) -> None:
    flow.call("sell", amount="500")
    before, browser = office.text(), office.enter()

    path = drafted(browser, sides__shopify__create_update="false", link__overdraft="write_off")

    page = browser.text(path)
    assert headline(browser.get(path).text) == "2 settings would change."
    assert "No card changes now." in page
    assert office.text() == before
    answer = browser.post(path, do="save")
    assert headline(answer.text) == "Saved."
    assert COMMENT in office.text()
    after = load(office.file)
    assert (after.link.overdraft, after.sides.by_name()["shopify"].create_update) == ("write_off", False)
    assert office.restarts()
    assert "link.overdraft: ask → write_off" in browser.text("/activity")
    assert [*filter(lambda line: line not in office.text(), before.splitlines())] == []


def test_given_cards_that_would_be_made_then_the_dry_run_counts_them_and_their_money(
    office: Office, flow: Control, shopify: Control
) -> None:
    flow.call("sell", amount="500")
    browser, cards = office.enter(), len(shopify.cards())

    page = browser.text(drafted(browser, link__brakes__cards_per_hour="50"))

    assert re.search(r"create cards 1 \+500,00 kr", page), page
    assert len(shopify.cards()) == cards


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("link__brakes__money_per_hour", "a lot", "amount of money"),
        ("link__brakes__cards_per_hour", "1.5", "whole number of cards"),
        ("link__brakes__money_per_card", "-1", "amount of money"),
        ("sides__flow__serial_prefix", "99", "four digits"),
        ("link__first_contact", "nobody", "the name of a side"),
        ("sides__flow__directions__balance", "sideways", "one of"),
        ("sides__flow__send_notifications", "true", "cannot tell buyers"),
    ],
)
def test_given_a_value_that_cannot_be_then_it_says_why_and_nothing_is_written(
    office: Office, name: str, value: str, said: str
) -> None:
    before, browser = office.text(), office.enter()

    change: dict[str, Any] = {name.replace("__", "."): value}
    answer = browser.post("/settings", **change)

    assert answer.status_code == 409
    assert said in read(answer.text)
    assert office.text() == before


def test_given_keys_that_are_not_the_merchants_then_they_are_not_changed(office: Office) -> None:
    browser = office.enter()

    stolen: dict[str, Any] = {"sides.shopify.token": "stolen", "database": "sqlite:///x.db"}
    answer = browser.post("/settings", **stolen)

    assert answer.status_code == 409
    assert "Nothing was changed." in read(answer.text)


def test_given_the_page_then_no_secret_is_on_it(office: Office) -> None:
    settings = load(office.file)
    page = office.enter().get("/settings").text

    secrets = settings.secrets()
    assert secrets
    assert [one for one in secrets if one in page] == []


def test_given_a_file_that_was_changed_meanwhile_then_nothing_is_overwritten(office: Office) -> None:
    browser = office.enter()
    path = drafted(browser, link__overdraft="write_off")
    office.file.write_text(office.text() + "\n# by hand\n", encoding="utf-8")
    changed = office.text()

    answer = browser.post(path, do="save")

    assert answer.status_code == 409
    assert "changed meanwhile" in read(answer.text)
    assert office.text() == changed
    assert not office.restarts()


def test_given_a_save_that_is_sent_twice_then_the_second_changes_nothing(office: Office) -> None:
    browser = office.enter()
    path = drafted(browser, link__overdraft="write_off")
    csrf = browser.csrf()
    browser.send(path, csrf=csrf, do="save")
    saved = office.text()

    assert browser.send(path, csrf=csrf, do="save").status_code == 404
    assert office.text() == saved


@pytest.fixture
def shop_is_not_written(config: Path) -> None:
    """giftsync begins with settings that write nothing to the shop."""
    text = config.read_text(encoding="utf-8")
    config.write_text(
        text.replace("[sides.shopify]\n", "[sides.shopify]\ncreate_update = false\n"), encoding="utf-8"
    )


@pytest.mark.usefixtures("shop_is_not_written")
def test_given_settings_that_create_cards_then_they_are_saved_and_carried_out_only_with_a_yes(
    config: Path, flow: Control, shopify: Control, request: pytest.FixtureRequest
) -> None:
    flow.call("sell", amount="500")
    office: Office = request.getfixturevalue("office")
    cards, browser = len(shopify.cards()), office.enter()
    office.worker.sync_once()
    path = drafted(browser, sides__shopify__create_update="true")
    before = office.text()

    unasked = browser.post(path, do="save")

    assert "1 card with 500,00 kr" in browser.text(path)
    assert unasked.status_code == 409
    assert "Say that the cards may be created" in read(unasked.text)
    assert office.text() == before
    assert not office.restarts()
    assert begin_anew_refused(config, "by hand")

    assert headline(browser.post(path, do="save", creates="yes").text) == "Saved."
    assert office.restarts()
    assert "agreed to creating cards" in browser.text("/activity")
    assert len(shopify.cards()) == cards
    assert not begin_anew_refused(config)


def begin_anew_refused(config: Path, by_hand: str = "") -> bool:
    """Whether giftsync, which has no terminal here, wants a yes before it works with the file."""
    text = config.read_text(encoding="utf-8")
    if by_hand:
        text = text.replace("create_update = false", f"create_update = true  # {by_hand}")
    tried = config.with_name("tried.toml")
    tried.write_text(text, encoding="utf-8")
    with opened_worker(load_settings(tried), threading.Event()) as (worker, _):
        try:
            agree_to_creates(worker.link, Output(), yes=False)
        except OperatorError:
            return True
    return False


def test_given_a_dry_run_of_a_change_then_nothing_is_marked_in_the_ledger(
    office: Office, flow: Control
) -> None:
    flow.call("sell", amount="500")
    office.worker.sync_once()
    flow.call("sell", amount="300")
    browser = office.enter()
    before = ledger_rows(office)

    page = browser.text(drafted(browser, link__brakes__cards_per_hour="50"))

    assert "create cards 1 +300,00 kr" in page
    assert ledger_rows(office) == before


def ledger_rows(office: Office) -> dict[str, list[str]]:
    """Every row of the ledger, but for when people were seen."""
    with office.worker.engine.connect() as connection:
        return {
            table.name: sorted(str(row) for row in connection.execute(select(table)))
            for table in metadata.sorted_tables
            if table.name not in ("people", "sessions")
        }


def test_given_a_variable_of_the_environment_then_the_page_says_that_it_decides(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIFTSYNC_LINK__OVERDRAFT", "write_off")
    browser = office.enter()

    assert "GIFTSYNC_LINK__OVERDRAFT" in browser.text("/settings")
    change: dict[str, Any] = {"link.overdraft": "ask"}
    assert browser.post("/settings", **change).status_code == 409


def test_given_a_link_that_is_paused_then_nothing_is_written_until_somebody_resumes_it(
    office: Office,
) -> None:
    browser = office.enter()

    assert browser.post("/settings/pause", page="/settings", do="pause").status_code == 409
    browser.post("/settings/pause", page="/settings", do="pause", why="stocktaking")

    assert stopped_by(office.worker.engine) == ["merchant has paused the link: stocktaking."]
    assert office.worker.is_stopped()
    assert "The link has stopped." in browser.text("/settings")
    browser.post("/settings/pause", page="/settings", do="resume", why="counted")
    assert stopped_by(office.worker.engine) == []


def test_given_sides_then_each_says_how_it_is_let_in_and_whether_webhooks_come(office: Office) -> None:
    page = office.enter(Role.SUPPORT).text("/settings")

    assert "Flow no webhooks; news is fetched" in page
    assert "Shopify no webhooks; news is fetched" in page


def test_given_a_check_then_each_side_says_what_works(office: Office) -> None:
    browser = office.enter(Role.SUPPORT)

    browser.post("/settings/check", page="/settings", side="flow")
    assert seen_in_time(lambda: 'http-equiv="refresh"' not in browser.get("/settings/check").text, 60, 0.1)

    assert "Flow" in browser.text("/settings/check")


def test_given_numbers_then_they_go_into_the_pool_and_bad_ones_do_not(office: Office, flow: Control) -> None:
    browser = office.enter()
    made = [card["number"] for card in flow.call("pregenerate", count=3)["cards"]]

    good = browser.send(
        "/settings/pool",
        csrf=browser.csrf(),
        side="flow",
        files={"file": ("n.txt", "\n".join(made).encode())},
    )
    bad = browser.send("/settings/pool", csrf=browser.csrf(), side="flow", files={"file": ("n.txt", b"??\n")})

    assert "3 numbers were added." in read(good.text)
    assert made[0] not in good.text
    assert bad.status_code == 409
    assert "line 1" in read(bad.text)


@pytest.fixture
def installs(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop is let in by an installation, which nobody has made yet."""
    monkeypatch.setenv("GIFTSYNC_LINK__CURRENCY", "NOK")
    for name, value in (
        ("AUTH", "install"),
        ("CLIENT_ID", CLIENT_ID),
        ("CLIENT_SECRET", address.sides["shopify"]["api_secret"]),
    ):
        monkeypatch.setenv(f"GIFTSYNC_SIDES__SHOPIFY__{name}", value)


@pytest.mark.usefixtures("installs")
def test_given_a_shop_that_is_installed_then_it_is_connected_from_the_page(office: Office) -> None:
    browser = office.enter()

    page = browser.post("/settings/connect/shopify", page="/settings").text
    address = html.unescape(re.findall(r'href="([^"]+/admin/oauth/authorize[^"]+)"', page)[0])
    back = requests.get(address, allow_redirects=False, timeout=10).headers["Location"]
    path = back.removeprefix(office.url)
    forged = browser.get(path.replace("state=", "state=x"))
    another = office.people.invite(Role.MERCHANT, "a test")
    other = Browser(office.url)
    other.send(f"/join/{another}", name="Ola", password=PASSWORD, again=PASSWORD)

    assert path.startswith("/settings/connected/shopify?")
    assert (forged.status_code, other.get(path).status_code) == (400, 400)
    assert not office.restarts()
    installed = browser.get(path)
    assert "giftsync is installed in the shop." in read(installed.text)
    assert office.restarts()
    assert browser.get(path).status_code == 400
    assert office.worker.link.sides["shopify"].identify().currency == "NOK"


def test_given_support_staff_then_they_see_settings_and_change_none(office: Office) -> None:
    browser = office.enter(Role.SUPPORT)

    page = browser.get("/settings").text
    assert "See what this would do" not in page
    change: dict[str, Any] = {"link.overdraft": "write_off"}
    assert browser.post("/settings", **change).status_code == 403
