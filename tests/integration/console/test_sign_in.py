"""Coming in: the one-time link, the password, the session, and what bounds guesses."""

from __future__ import annotations

from typing import Any

import pytest

from sync.support.people import IDLE, LINK_VALID, SESSION_MAX, TRIES_PER_NAME, TRIES_SECONDS, Role
from tests.integration.console.house import PASSWORD, House, headline


def sign_in(house: House, name: str, password: str = PASSWORD, **more: Any) -> tuple[int, str]:
    answer = house.stranger().send("/sign-in", name=name, password=password, follow=False, **more)
    return answer.status_code, answer.headers.get("location", "")


def test_given_nobody_yet_then_the_first_link_makes_an_owner_and_works_once(house: House) -> None:
    token = house.people.first_link()
    assert token is not None
    browser = house.stranger()

    assert headline(browser.get(f"/join/{token}").text) == "Welcome."
    joined = browser.send(f"/join/{token}", name="Kari", password=PASSWORD, again=PASSWORD)

    assert joined.url == f"{house.url}/"
    assert [(p.name, p.role) for p in house.people.book.list()] == [("Kari", "merchant")]
    again = house.stranger().send(f"/join/{token}", name="Mallory", password=PASSWORD, again=PASSWORD)
    assert again.status_code == 400
    assert house.stranger().get(f"/join/{token}").status_code == 410
    assert house.people.first_link() is None


def test_given_a_second_start_without_people_then_the_first_link_is_a_new_one(house: House) -> None:
    first, second = house.people.first_link(), house.people.first_link()

    assert first is not None
    assert house.people.invitation(first) is None
    assert second is not None
    assert house.people.invitation(second) is not None


def test_given_a_link_that_is_a_day_old_then_it_does_not_work(house: House) -> None:
    token = house.people.invite(Role.SUPPORT, "Kari")
    house.shop.clock.advance(LINK_VALID.total_seconds() + 1)

    assert house.stranger().get(f"/join/{token}").status_code == 410


@pytest.mark.parametrize(
    ("password", "again"),
    [
        ("short", "short"),
        (PASSWORD, PASSWORD + "."),
        ("aaaaaaaaaaaaaa", "aaaaaaaaaaaaaa"),
        ("password1234",) * 2,
    ],
)
def test_given_a_password_that_would_be_guessed_then_it_is_not_taken(
    house: House, password: str, again: str
) -> None:
    token = house.people.invite(Role.SUPPORT, "Kari")

    answer = house.stranger().send(f"/join/{token}", name="Ola", password=password, again=again)

    assert answer.status_code == 400
    assert house.people.book.list() == []
    assert password not in answer.text


def test_given_the_name_of_somebody_else_then_it_is_refused_and_the_link_stays_good(house: House) -> None:
    house.enter(Role.SUPPORT, "Ola")
    token = house.people.invite(Role.MERCHANT, "Kari")

    answer = house.stranger().send(f"/join/{token}", name="oLA ", password=PASSWORD, again=PASSWORD)

    assert answer.status_code == 400
    assert house.people.invitation(token) is not None


def test_given_name_and_password_then_it_goes_on_where_it_was_asked_to(house: House) -> None:
    house.enter(Role.SUPPORT, "Ola")

    assert house.stranger().get("/cards", follow=False).headers["location"] == "/sign-in?next=/cards"
    assert sign_in(house, "ola", next="/cards?show=out-of-step") == (303, "/cards?show=out-of-step")
    assert sign_in(house, "ola", "wrong" * 3) == (401, "")
    assert sign_in(house, "nobody") == (401, "")


@pytest.mark.parametrize(
    "after",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
     "/\t/evil.example", "http:evil.example", "///evil.example"],
)  # fmt: skip
def test_given_another_site_to_go_on_to_then_it_goes_to_the_overview(house: House, after: str) -> None:
    house.enter(Role.SUPPORT, "Ola")

    assert sign_in(house, "ola", next=after) == (303, "/")


def test_given_too_many_wrong_passwords_then_the_right_one_waits_too(house: House) -> None:
    house.enter(Role.SUPPORT, "Ola")
    for _ in range(TRIES_PER_NAME):
        assert sign_in(house, "Ola", "wrong" * 3)[0] == 401

    assert sign_in(house, "Ola")[0] == 429
    house.shop.clock.advance(TRIES_SECONDS + 1)
    assert sign_in(house, "Ola")[0] == 303


def test_given_a_cookie_from_somebody_else_then_signing_in_does_not_keep_it(house: House) -> None:
    house.enter(Role.SUPPORT, "Ola")
    browser = house.stranger()
    browser.session.cookies.set("giftsync", "chosen-by-somebody-else", domain="127.0.0.1", path="/")

    answer = browser.send("/sign-in", name="Ola", password=PASSWORD, follow=False)

    cookie = answer.headers["set-cookie"]
    assert "chosen-by-somebody-else" not in cookie
    assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Path=/"))
    assert "Secure" not in cookie


def test_given_https_at_the_proxy_then_the_cookie_is_for_https_alone(house: House) -> None:
    house.enter(Role.SUPPORT, "Ola")

    answer = house.stranger().send(
        "/sign-in", name="Ola", password=PASSWORD, follow=False, headers={"x-forwarded-proto": "https"}
    )

    assert answer.headers["set-cookie"].startswith("__Host-giftsync=")
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_given_sign_out_then_the_session_is_over_even_for_whoever_copied_it(house: House) -> None:
    browser = house.enter(Role.SUPPORT)
    copied = browser.session.cookies.get("giftsync")
    browser.post("/sign-out", page="/")

    other = house.stranger()
    other.session.cookies.set("giftsync", str(copied), domain="127.0.0.1", path="/")
    assert other.get("/cards", follow=False).status_code == 303


def test_given_a_session_that_was_not_used_for_long_then_it_is_over(house: House) -> None:
    browser = house.enter(Role.SUPPORT)
    house.shop.clock.advance(IDLE.total_seconds() - 60)
    assert browser.get("/cards", follow=False).status_code == 200
    house.shop.clock.advance(IDLE.total_seconds() + 1)

    assert browser.get("/cards", follow=False).status_code == 303


def test_given_a_session_that_is_used_on_and_on_then_it_ends_after_a_week(house: House) -> None:
    browser = house.enter(Role.SUPPORT)
    half = IDLE.total_seconds() / 2
    for _ in range(int(SESSION_MAX.total_seconds() / half) - 1):
        house.shop.clock.advance(half)
        assert browser.get("/cards", follow=False).status_code == 200
    house.shop.clock.advance(half + 1)

    assert browser.get("/cards", follow=False).status_code == 303


def test_given_somebody_who_is_taken_out_then_their_session_and_links_end_at_once(house: House) -> None:
    owner, browser = house.enter(Role.MERCHANT, "Kari"), house.enter(Role.SUPPORT, "Ola")
    person = house.people.book.by_name("Ola")
    token = house.people.invite(Role.SUPPORT, "Kari", person)

    owner.post("/people", do="remove", name="Ola")

    assert browser.get("/cards", follow=False).status_code == 303
    assert house.stranger().get(f"/join/{token}").status_code == 410
    assert [p.name for p in house.people.book.list()] == ["Kari"]


def test_given_the_last_merchant_then_nobody_takes_them_out(house: House) -> None:
    owner = house.enter(Role.MERCHANT, "Kari")

    answer = owner.post("/people", do="remove", name="Kari")

    assert answer.status_code == 409
    assert owner.get("/people").status_code == 200


def test_given_a_lost_password_then_a_new_link_ends_what_was_open(house: House) -> None:
    owner, browser = house.enter(Role.MERCHANT, "Kari"), house.enter(Role.SUPPORT, "Ola")

    page = owner.post("/people", do="link", name="Ola").text
    token = page.split("/join/")[1].split('"')[0]
    joined = house.stranger().send(f"/join/{token}", password="another sentence", again="another sentence")

    assert joined.status_code == 200
    assert browser.get("/cards", follow=False).status_code == 303
    assert sign_in(house, "Ola")[0] == 401
    assert sign_in(house, "Ola", "another sentence")[0] == 303


def test_given_what_people_did_then_it_is_kept_without_passwords_or_tokens(house: House) -> None:
    house.enter(Role.SUPPORT, "Ola")
    sign_in(house, "Ola")

    deeds = [(one.by, one.action) for one in house.people.book.newest_deeds(10)]

    assert deeds == [
        ("Ola", "signed in on a new browser"),
        *[("Ola", "signed in"), ("Ola", "joined"), ("a test", "invited")],
    ]
    kept = str(house.shop.rows("people") + house.shop.rows("sessions") + house.shop.rows("activity"))
    assert PASSWORD not in kept
