"""The journeys of a merchant and of support staff, at a desk and on a phone, as they click and type."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from sync.ledger import views
from sync.support.people import Role
from tests.browser.conftest import DESKTOP, PHONE, Open, World, first_line, picture

SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desk", "phone"])


@SIZES
def test_a_merchant_looks_in_the_morning_and_settles_what_waits_in_three_clicks(
    world: World, open_as: Open, size: dict[str, int]
) -> None:
    conflict = world.two_balances()
    page = open_as(Role.MERCHANT, size)
    expect(page.locator("h1")).to_contain_text("at stake")
    assert re.search(r"\d+ conflicts? waits? for you: [\d\s]+,00 kr at stake\.", first_line(page))
    picture(page, f"overview-{size['width']}")

    page.locator(f"a[href='/conflicts/{conflict}']").first.click()
    expect(page.locator(".side")).to_have_count(2)
    picture(page, f"conflict-{size['width']}")
    page.locator("form.choice", has_text="Flow is right").locator("button").click()
    expect(page.locator("h1")).to_have_text("Confirm your decision")
    page.fill("input[name=why]", "the receipt says so")
    page.click("button.primary")

    expect(page.locator(".note.next")).to_contain_text("the receipt says so")
    written = page.locator("li", has_text="100,00")
    shown_after_reloads(page, lambda: written.filter(has_text="done").count() > 0)


def shown_after_reloads(page: Page, holds: Callable[[], bool]) -> None:
    """What the worker does meanwhile is on the page sooner or later."""
    for _ in range(240):
        if holds():
            return
        page.wait_for_timeout(250)
        page.reload()
    raise AssertionError(page.inner_text("main"))


@SIZES
def test_support_finds_a_card_and_reads_its_story_out(
    world: World, open_as: Open, size: dict[str, int]
) -> None:
    number = world.sold("750.00")
    world.flow.call("redeem", number=number, amount="120.50")
    page = open_as(Role.SUPPORT, size)
    page.click("nav >> text=Cards")
    page.fill("#what", number)
    page.locator("form.search button").click()

    expect(page.locator("h1")).to_contain_text("kr")
    shown_after_reloads(page, lambda: "Balance 629,50 kr." in first_line(page).replace("\xa0", " "))
    assert number not in page.content()
    assert number not in page.url
    page.click("text=Read out to the customer")
    expect(page.locator(".readout")).to_contain_text("629,50")
    picture(page, f"card-{size['width']}")


def test_the_overview_changes_while_somebody_looks_at_it(world: World, open_as: Open) -> None:
    page = open_as(Role.READ_ONLY)
    before = page.inner_text(".facts")

    world.sold("123.00")

    expect(page.locator("#live")).to_contain_text("123,00")
    # The numbers are counted anew a moment after the card is shown.
    page.wait_for_function("before => document.querySelector('.facts').innerText !== before", arg=before)
    assert page.locator("#stale").is_hidden()


def test_a_page_that_hears_nothing_says_that_it_is_stale(world: World, open_as: Open) -> None:
    page = open_as(Role.READ_ONLY)
    page.clock.install()
    page.route("**/live", lambda route: route.abort())
    page.goto(world.url)
    assert page.locator("#stale").is_hidden()

    page.clock.run_for(20_000)

    expect(page.locator("#stale")).to_be_visible()


def test_without_scripts_people_sign_in_find_cards_and_settle(world: World, open_as: Open) -> None:
    conflict = world.two_balances()
    page = open_as(Role.SUPPORT, PHONE, java_script_enabled=False)
    page.goto(f"{world.url}/conflicts/{conflict}")
    page.locator("form.choice button").first.click()
    page.fill("input[name=why]", "seen")
    page.click("button.primary")

    expect(page.locator(".note.next")).to_contain_text("seen")


def test_a_keyboard_is_enough(world: World, open_as: Open) -> None:
    conflict = world.two_balances()
    page = open_as(Role.SUPPORT)
    page.goto(f"{world.url}/conflicts/{conflict}")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == "Choose this":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Confirm your decision")
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")

    expect(page.locator(".note.next")).to_contain_text("by keyboard")


def paths(world: World) -> list[str]:
    card = next(views.list_cards(world.service.worker.engine))
    conflict = world.conflicts()[0] if world.conflicts() else world.two_balances()
    one = [f"/cards/{card.id}", f"/conflicts/{conflict}"]
    return [
        "/",
        "/cards",
        "/conflicts",
        *one,
        "/imports",
        "/reports",
        "/activity",
        f"/reports/{datetime.now(UTC):%Y-%m}",
        "/settings",
        "/people",
        "/passkeys",
        "/balance",
        "/nowhere",
    ]


def forms_on_the_way(page: Page, world: World) -> Iterator[str]:
    """The pages that only a form leads to, each open while it is named."""
    conflict = world.conflicts()[0] if world.conflicts() else world.two_balances()
    page.goto(f"{world.url}/conflicts/{conflict}")
    page.locator(".choice button").first.click()
    yield "confirm"
    page.goto(f"{world.url}/conflicts")
    page.locator("input[name=conflict]").first.check()
    page.locator("form button").last.click()
    yield "confirm several"
    page.goto(f"{world.url}/cards")
    page.fill("#what", "0000")
    page.locator("form.search button").click()
    expect(page.locator("main")).to_contain_text("0000")
    yield "search"
    page.goto(f"{world.url}/settings")
    page.select_option("[name='link.overdraft']", "write_off")
    page.locator("form:has([name='link.overdraft']) button.primary").click()
    expect(page.locator("h1")).to_contain_text("would change")
    expect(page.locator("button.primary")).to_be_enabled()
    yield "draft"
    page.goto(f"{world.url}/settings")
    page.locator("form[action='/settings/check'] button").first.click()
    page.wait_for_url("**/settings/check")
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)
    yield "check"
    page.goto(f"{world.url}/people")
    page.locator("button.primary").click()
    expect(page.locator("#link")).to_be_visible()
    yield "link"
    page.goto(f"{world.url}/imports")
    file = {
        "name": "gamle.csv",
        "mimeType": "text/csv",
        "buffer": b"number;balance\n1234567890123456;100,00\n",
    }
    page.set_input_files("input[type=file]", file)  # type: ignore[arg-type]
    page.locator("form:has(input[type=file]) button").click()
    page.wait_for_url("**/imports/files/*")
    yield "file"


def whole(page: Page, size: dict[str, int], name: str) -> None:
    """Nothing serious for axe, nothing cut off; a picture where somebody asked for all of them."""
    assert serious(page) == [], name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    folder = os.environ.get("ALL_PICTURES_TO")
    if folder:
        shown = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "overview"
        page.screenshot(path=f"{folder}/{shown}-{size['width']}.png", full_page=True)


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in found if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
@SIZES
def test_axe_finds_nothing_serious_and_nothing_is_cut_off(
    world: World, open_as: Open, size: dict[str, int], scheme: str
) -> None:
    page = open_as(Role.MERCHANT, size, color_scheme=scheme)
    for path in paths(world):
        page.goto(world.url + path)
        whole(page, size, path)
    if scheme == "light":
        for name in forms_on_the_way(page, world):
            whole(page, size, name)
    page.context.clear_cookies()
    page.goto(f"{world.url}/sign-in")
    expect(page.locator("main")).to_contain_text("Sign in with OIDC")
    whole(page, size, "/sign-in")
    page.goto(f"{world.url}/join/{world.people.invite(Role.SUPPORT, 'a test')}")
    whole(page, size, "/join")


def test_targets_are_large_enough_for_a_thumb(world: World, open_as: Open) -> None:
    page = open_as(Role.MERCHANT, PHONE)
    for path in paths(world):
        page.goto(world.url + path)
        small = page.evaluate(
            """[...document.querySelectorAll("button, nav a, .filter a, input:not([type=hidden]), summary")]
            .filter((e) => e.offsetParent && !e.matches("[type=checkbox], [type=radio]"))
            .filter((e) => e.getBoundingClientRect().height < 44).map((e) => e.outerHTML.slice(0, 90))"""
        )
        assert small == [], path


def test_norwegian_is_norwegian(world: World, open_as: Open) -> None:
    page = open_as(Role.MERCHANT, PHONE)
    page.click("details.me summary")
    page.click("text=Norsk")

    expect(page.locator("nav")).to_contain_text("Oversikt")
    assert page.evaluate("document.documentElement.lang") == "nb"
    picture(page, "norsk-390")
