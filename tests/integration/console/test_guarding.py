"""Who may not: strangers, other roles, other sites, scripts in what others wrote, frames."""

from __future__ import annotations

import re
from typing import Any

import pytest

from console.app import POLICY
from console.pages import PAGES
from console.visit import Page
from sync.support.people import Role
from tests.integration.console.house import PASSWORD, Browser, House, read
from tests.integration.shop import FLOW, SHOPIFY

SCRIPT = '<script>alert("x")</script>'
OPEN = {"/sign-in", "/sign-in/passkey", "/sign-in/oidc", "/sign-in/oidc/back", "/join/{token}"}


def address(page: Page) -> str:
    return re.sub(r"\{\w+\}", "1", page.path)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.path not in OPEN], ids=lambda page: page.path
)
def test_given_a_stranger_then_no_page_is_shown_and_no_form_is_taken(house: House, page: Page) -> None:
    browser = house.stranger()
    if page.show is not None:
        answer = browser.get(address(page), follow=False)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in")
    if page.act is not None:
        answer = browser.send(address(page))
        assert answer.status_code in (403, 404) or answer.url.startswith(f"{house.url}/sign-in")


def test_given_each_role_then_only_what_it_covers_is_open(house: House) -> None:
    house.shop.in_step()
    for role in Role:
        browser = house.enter(role)
        csrf = browser.csrf()
        for page in PAGES:
            if page.path in OPEN or page.path in ("/sign-out", "/language"):
                continue
            if page.show is not None and page.needs is not None:
                allowed = browser.get(address(page), follow=False).status_code != 403
                assert allowed == role.covers(page.needs), (role, page.path)
            if page.act is not None and page.acts is not None:
                allowed = browser.send(address(page), follow=False, csrf=csrf).status_code != 403
                assert allowed == role.covers(page.acts), (role, page.path)


def overdraft(house: House) -> int:
    shop = house.shop
    card_id = shop.in_step()
    shop.move(FLOW, -8_000)
    shop.move(SHOPIFY, -7_000)
    shop.work_until_quiet(card_id)
    house.count()
    return int(shop.row("conflicts", card_id=card_id)["id"])


def settle(browser: Browser, conflict: int, **more: object) -> int:
    fields = {"choice": "acknowledge:", "why": "seen", "confirmed": "yes"}
    return browser.send(f"/conflicts/{conflict}", follow=False, **fields, **more).status_code  # type: ignore[arg-type]


def test_given_a_session_that_ended_in_the_middle_of_a_form_then_nothing_is_done_and_it_leads_back(
    house: House,
) -> None:
    conflict, browser = overdraft(house), house.enter(Role.SUPPORT, "Kari")
    form: dict[str, Any] = {
        "choice": "acknowledge:",
        "why": "seen",
        "confirmed": "yes",
        "csrf": browser.csrf(),
    }
    browser.session.cookies.clear()

    page = browser.send(f"/conflicts/{conflict}", **form)

    assert "nothing of what you sent was done" in read(page.text)
    assert house.shop.row("conflicts")["closed_at"] is None
    after = re.search(r'name="next" value="([^"]+)"', page.text)
    assert after is not None
    back = browser.send("/sign-in", name="Kari", password=PASSWORD, next=after[1])
    assert back.url == f"{house.url}/conflicts/{conflict}"


def test_given_a_form_without_a_page_of_its_own_and_no_session_then_sign_in_leads_to_the_overview(
    house: House,
) -> None:
    page = house.stranger().send("/settings/pause")

    assert 'name="next" value="/"' in page.text


def test_given_a_form_without_its_token_or_with_another_sessions_then_nothing_is_done(house: House) -> None:
    conflict, browser = overdraft(house), house.enter(Role.SUPPORT)
    other = house.enter(Role.MERCHANT).csrf()

    assert settle(browser, conflict) == 403
    assert settle(browser, conflict, csrf=other) == 403
    assert house.shop.row("conflicts")["closed_at"] is None


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
     {"origin": "null"}],
)  # fmt: skip
def test_given_a_form_of_another_site_then_nothing_is_done_even_with_the_token(
    house: House, headers: dict[str, str]
) -> None:
    conflict, browser = overdraft(house), house.enter(Role.SUPPORT)

    assert settle(browser, conflict, csrf=browser.csrf(), headers=headers) == 403
    assert house.shop.row("conflicts")["closed_at"] is None


def test_given_a_person_who_reads_only_then_the_conflict_offers_nothing_to_send(house: House) -> None:
    conflict, browser = overdraft(house), house.enter(Role.READ_ONLY)

    assert settle(browser, conflict, csrf=browser.csrf()) == 403
    assert 'name="choice"' not in browser.get(f"/conflicts/{conflict}").text
    assert house.shop.row("conflicts")["closed_at"] is None


def test_given_scripts_in_what_others_wrote_then_they_are_words(house: House) -> None:
    conflict = overdraft(house)
    house.shop.by_hand(
        f"UPDATE conflicts SET summary = '{SCRIPT}', evidence = '{{\"said\": \"<script>\"}}'",
        f"UPDATE presences SET note = '{SCRIPT}', last_chars = '<b>x'",
    )
    house.count()
    browser = house.enter(Role.MERCHANT, SCRIPT)
    settle(browser, conflict, csrf=browser.csrf())
    for path in (
        "/",
        "/cards",
        "/cards/1",
        "/conflicts",
        "/conflicts?show=closed",
        f"/conflicts/{conflict}",
        "/people",
    ):
        page = browser.get(path).text
        assert SCRIPT not in page, path
        assert "<b>x" not in page, path


@pytest.mark.parametrize(
    "path",
    [
        *(f"/conflicts?kind={SCRIPT}", f"/conflicts?order={SCRIPT}", f"/cards?after={SCRIPT}", f"/{SCRIPT}"),
        *(f"/sign-in?next=/{SCRIPT}", f"/cards/{SCRIPT}", f"/join/{SCRIPT}"),
    ],
)
def test_given_scripts_in_an_address_then_no_page_sends_them_back(house: House, path: str) -> None:
    for browser in (house.enter(Role.MERCHANT), house.stranger()):
        assert SCRIPT not in browser.get(path).text


def test_given_scripts_in_a_search_or_a_name_then_they_are_words(house: House) -> None:
    browser = house.enter(Role.MERCHANT)
    for asked in (SCRIPT, '"><img src=x onerror=alert(1)>'):
        page = browser.post("/cards", what=asked).text
        assert "<img" not in page
        assert SCRIPT not in page
    assert SCRIPT not in house.stranger().send("/sign-in", name=SCRIPT, password="x").text


def test_given_any_page_then_it_allows_no_frame_no_inline_script_and_is_not_kept(house: House) -> None:
    overdraft(house)
    browser = house.enter(Role.MERCHANT)
    for path in ("/", "/cards", "/cards/1", "/conflicts/1", "/people", "/nowhere", "/sign-out"):
        answer = browser.get(path)
        assert answer.headers["content-security-policy"] == POLICY, path
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?! src)|\son\w+=|\sstyle=|javascript:", answer.text), path
        assert "http://" not in re.sub(r'xmlns="[^"]*"', "", answer.text).replace(house.url, ""), path
        assert len(answer.content) < 100_000


def test_given_a_number_then_it_stands_in_no_address_and_no_page(house: House) -> None:
    house.shop.in_step()
    browser = house.enter(Role.SUPPORT)

    sent = browser.post("/cards", what="1000 2000 3000 4000", follow=False)
    found = browser.get(sent.headers["location"], follow=False)
    none = browser.post("/cards", what="9999888877776666")

    assert found.headers["location"] == "/cards/1"
    assert "9999888877776666" not in none.text
    assert "••••6666" in none.text


def test_given_a_body_that_is_too_large_then_it_is_not_read(house: House) -> None:
    browser = house.enter(Role.SUPPORT)

    assert browser.send("/cards", what="x" * 100_000).status_code == 413
