"""The first page: the answer in its first line, and the same as the terminal says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from cli.places import Places
from cli.status_report import StatusReport
from connectors.api.errors import NotSent
from sync.decisions.resolutions import Action
from sync.ledger.database.tables import feed_cursors
from sync.ledger.sides.outages import LOOKING, WRITING, Outages
from sync.support.people import Role
from sync.support.settle import Resolution, resolve
from tests.integration.console.house import House, headline, read
from tests.integration.console.test_guarding import overdraft
from tests.integration.shop import FLOW, SHOPIFY, Shop


def first_line(house: House) -> str:
    house.count()
    return headline(house.enter(Role.READ_ONLY, f"somebody {house.shop.clock()}").get("/").text)


def read_sides(shop: Shop) -> None:
    """Both sides were read just now, as a worker that runs does; its waits move the clock."""
    shop.sync()
    with shop.engine.begin() as connection:
        connection.execute(update(feed_cursors).values(read_at=shop.clock()))


def test_given_no_cards_then_it_says_what_will_appear(house: House) -> None:
    read_sides(house.shop)

    assert first_line(house).endswith("No cards yet.")


def test_given_cards_in_step_then_that_is_the_first_line_and_the_terminal_says_the_same(house: House) -> None:
    house.shop.in_step(10_000)
    house.shop.in_step(2_050, "5000600070008000")
    read_sides(house.shop)

    assert first_line(house).endswith("All 2 cards are in step.")
    page = house.enter().text("/")
    assert "120,50 kr" in page
    standing = house.console.pulse.picture().standing
    fields = {name: getattr(standing, name) for name in standing.__dataclass_fields__}
    report = StatusReport(**fields, places=Places(house.console.places), late={})
    assert report.summary == "All 2 cards are in step."


@pytest.mark.parametrize(
    ("task", "said"), [(WRITING, "takes no changes for 2 minutes"), (LOOKING, "no answer for 2 minutes")]
)
def test_given_a_side_that_does_not_answer_then_its_line_says_since_when_and_why(
    house: House, task: str, said: str
) -> None:
    shop = house.shop
    shop.in_step()
    read_sides(shop)
    Outages().failed(shop.engine, FLOW, task, NotSent("no connection"), shop.clock())
    shop.clock.advance(120)
    house.count()

    page = house.enter(Role.READ_ONLY).text("/")

    assert f"{said}: No connection. giftsync asks again by itself" in page


def test_given_conflicts_then_the_first_line_counts_them_with_the_money(house: House) -> None:
    overdraft(house)
    read_sides(house.shop)

    assert first_line(house).endswith("1 conflict waits for you: 50,00 kr at stake.")
    page = house.enter().get("/").text
    assert 'href="/conflicts/1"' in page


def test_given_a_side_that_is_silent_then_it_says_for_how_long_and_what_goes_on(house: House) -> None:
    house.shop.in_step()
    read_sides(house.shop)
    house.shop.clock.advance(timedelta(minutes=4).total_seconds())
    with house.shop.engine.begin() as connection:
        just_now = house.shop.clock() - timedelta(seconds=2)
        connection.execute(update(feed_cursors).where(feed_cursors.c.side == FLOW).values(read_at=just_now))

    house.count()
    page = house.enter().get("/").text
    assert headline(page).endswith("has not answered for 4 minutes.")
    assert "Payments there go on; the other sides see them when it answers." in read(page)


def test_given_a_decision_then_the_overview_is_counted_at_once(house: House) -> None:
    conflict = overdraft(house)
    read_sides(house.shop)
    browser = house.enter(Role.SUPPORT)
    assert "1 conflict waits" in browser.text("/")

    browser.post(f"/conflicts/{conflict}", choice="acknowledge:", why="seen", confirmed="yes")

    assert "1 conflict waits" not in browser.text("/")


def test_given_a_ledger_that_is_settled_elsewhere_then_the_next_count_says_so(house: House) -> None:
    conflict = overdraft(house)
    resolve(house.shop.link, conflict, Resolution(Action.ACKNOWLEDGE, "the terminal", "seen"))

    house.count()

    assert house.console.pulse.picture().conflicts == []


def test_given_a_browser_that_listens_then_it_hears_what_changed_until_the_console_stops(
    house: House,
) -> None:
    house.shop.in_step()
    house.count()
    browser = house.enter(Role.READ_ONLY)
    with browser.session.get(f"{house.url}/live", stream=True, timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines(decode_unicode=True)
        assert next(line for line in lines if line.startswith("event:")) == "event: page"
        overdraft_there = overdraft_of(house)
        heard = next(line for line in lines if f'href="/conflicts/{overdraft_there}"' in line)
        assert heard.startswith("data: ")
        house.console.pulse._stop.set()
        assert all("<script" not in line for line in lines)  # It ends.


def overdraft_of(house: House) -> int:
    shop = house.shop
    shop.move(FLOW, -8_000)
    shop.move(SHOPIFY, -7_000)
    shop.work_until_quiet(1)
    house.count()
    return int(shop.row("conflicts")["id"])


def test_given_a_stranger_then_nothing_is_heard(house: House) -> None:
    assert house.stranger().get("/live").status_code == 403


def test_given_norwegian_then_the_page_is_norwegian_and_stays_so(house: House) -> None:
    browser = house.enter(Role.READ_ONLY)

    page = browser.post("/language", page="/", language="nb", next="/cards")

    assert page.url.endswith("/cards")
    assert '<html lang="nb">' in browser.get("/").text
    assert browser.post("/language", page="/", language="xx").status_code == 404


def test_given_a_scraper_on_this_machine_then_it_reads_counts_and_no_secrets(house: House) -> None:
    overdraft(house)
    browser = house.stranger()

    answer = browser.get("/metrics")

    assert "giftsync_cards 1.0" in answer.text
    assert 'giftsync_conflicts{kind="overdraft"} 1.0' in answer.text
    assert 'giftsync_at_stake{kind="overdraft"} 50.0' in answer.text
    assert "1000200030004000" not in answer.text
    assert browser.get("/metrics", headers={"x-forwarded-for": "203.0.113.9"}).status_code == 404


def test_given_a_process_that_is_up_then_health_says_so_and_ready_says_whether_it_works(house: House) -> None:
    browser = house.stranger()
    read_sides(house.shop)
    house.count()

    assert browser.get("/healthz").json() == {"status": "up"}
    assert browser.get("/readyz").json()["status"] == "ready"

    house.shop.by_hand("ALTER TABLE cards RENAME TO gone")
    try:
        assert browser.get("/readyz").status_code in (200, 503)
    finally:
        house.shop.by_hand("ALTER TABLE gone RENAME TO cards")


def test_given_a_card_whose_rows_were_changed_then_pages_and_metrics_show_its_money_apart(
    house: House,
) -> None:
    shop = house.shop
    shop.in_step(10_000)
    shop.in_step(2_000, "5000600070008000")
    shop.by_hand("UPDATE cards SET balance_minor = 90000 WHERE id = 1")
    read_sides(shop)
    house.count()
    browser = house.enter()

    overview, listed, card = browser.text("/"), browser.text("/cards"), browser.text("/cards/1")
    metrics = browser.get("/metrics").text

    assert "Not verified 1 rows were changed" in " ".join(overview.split())
    assert "Money on cards 20,00 kr" in " ".join(overview.split())
    assert "not verified" in listed
    assert "Not verified: its rows in the ledger were changed." in card
    assert "900" not in listed + card.partition("Waits for a decision")[0]
    assert "giftsync_cards_in_step 1.0" in metrics
    assert "giftsync_cards_not_verified 1.0" in metrics
    assert 'giftsync_liability{currency="NOK"} 20.0' in metrics
    assert 'giftsync_not_verified{currency="NOK"} 900.0' in metrics
