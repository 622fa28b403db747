"""Somebody's own sessions: seen, and ended by nobody else."""

from __future__ import annotations

import pytest

from console.device import device_words
from sync.ledger.support.people import browsers_met
from sync.support.notices import Notices
from sync.support.people import IDLE, Role
from sync.support.senders import Notice
from tests.integration.console.house import PASSWORD, Browser, House

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Mobile/15E148 Safari/604.1"
)


def again(house: House, name: str, user_agent: str) -> Browser:
    """The same person on another device."""
    browser = house.stranger()
    browser.session.headers["User-Agent"] = user_agent
    assert browser.send("/sign-in", name=name, password=PASSWORD).status_code == 200
    return browser


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox, Windows"),
        (IPHONE, "Safari, iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0 Safari/537.36 Edg/142.0", "Edge, Linux"),
        ("curl/8.5", ""),
        ("<script>alert(1)</script> Firefox/1", "Firefox"),
    ],
)
def test_given_what_a_browser_says_then_its_person_knows_it(user_agent: str, words: str) -> None:
    assert device_words(user_agent) == words


def test_given_two_devices_then_both_are_listed_and_only_the_other_is_ended(house: House) -> None:
    here, colleague = house.enter(Role.READ_ONLY, "Kari"), house.enter(Role.MERCHANT, "Ola")
    lost = again(house, "Kari", IPHONE)
    assert "You are signed in on 2 devices." in here.text("/sessions")
    assert "Safari, iPhone" in here.text("/sessions")
    assert "this one" in lost.text("/sessions")

    wrong = here.post("/sessions", password="not the password")
    assert wrong.status_code == 409
    assert lost.get("/", follow=False).status_code == 200
    here.post("/sessions", password=PASSWORD)

    assert lost.get("/", follow=False).status_code == 303
    assert "You are signed in on 1 device." in here.text("/sessions")
    assert colleague.get("/", follow=False).status_code == 200
    assert house.people.book.newest_deeds(1)[0].action == "ended their other sessions"


def test_given_a_session_that_is_over_then_it_is_not_listed(house: House) -> None:
    here = house.enter(Role.SUPPORT, "Kari")
    again(house, "Kari", FIREFOX)
    house.shop.clock.advance(IDLE.total_seconds() - 60)
    assert here.get("/").status_code == 200
    house.shop.clock.advance(120)

    assert "You are signed in on 1 device." in here.text("/sessions")


NEW = "Somebody signed in as you on a new browser"


def test_given_the_first_browser_and_the_same_one_again_then_nobody_is_asked(house: House) -> None:
    here = house.enter(Role.SUPPORT, "Kari")
    here.post("/sign-out", page="/")
    here.send("/sign-in", name="Kari", password=PASSWORD)

    assert NEW not in here.text("/")
    assert browsers_met(house.shop.engine, 0) == []
    assert "new browser" not in " ".join(one.action for one in house.people.book.newest_deeds(9))


def test_given_a_sign_in_on_a_new_browser_then_the_person_is_asked_on_the_others_alone(house: House) -> None:
    here, colleague = house.enter(Role.SUPPORT, "Kari"), house.enter(Role.MERCHANT, "Ola")
    new = again(house, "Kari", IPHONE)

    for path in ("/", "/cards", "/sessions"):
        assert f"{NEW}, today 13:00: Safari, iPhone." in here.text(path)
        assert NEW not in new.text(path)
        assert NEW not in colleague.text(path)
    deed = house.people.book.newest_deeds(1)[0]
    assert (deed.by, deed.action, deed.about) == ("Kari", "signed in on a new browser", "Safari, iPhone")

    # Whoever sits at the new one cannot say that it is known.
    new.post("/sessions", do="known", next="/cards")
    assert NEW in here.text("/")
    back = here.post("/sessions", do="known", next="/cards")

    assert back.url == f"{house.url}/cards"
    assert NEW not in here.text("/")
    new.post("/sign-out", page="/")
    new.send("/sign-in", name="Kari", password=PASSWORD)
    assert NEW not in here.text("/")


def test_given_it_was_somebody_else_then_ending_it_forgets_the_browser(house: House) -> None:
    here = house.enter(Role.SUPPORT, "Kari")
    thief = again(house, "Kari", FIREFOX)
    here.post("/sessions", password=PASSWORD)

    assert NEW not in here.text("/")
    assert thief.get("/", follow=False).status_code == 303
    thief.send("/sign-in", name="Kari", password=PASSWORD)

    assert NEW in here.text("/")


def test_given_a_browser_that_two_people_use_then_each_is_asked_of_their_own(house: House) -> None:
    counter, office = house.enter(Role.SUPPORT, "Kari"), house.enter(Role.SUPPORT, "Ola")
    counter.post("/sign-out", page="/")
    counter.send("/sign-in", name="Ola", password=PASSWORD)

    assert NEW in office.text("/")
    assert NEW not in again_here(counter, "Kari")


def again_here(browser: Browser, name: str) -> str:
    """The overview of somebody who signs in on a browser in use."""
    browser.send("/sign-in", name=name, password=PASSWORD)
    return browser.text("/")


@pytest.mark.parametrize("cookie", ["x" * 5_000, "'; drop table browsers", ""])
def test_given_any_cookie_in_place_of_the_browsers_then_it_is_a_new_browser(
    house: House, cookie: str
) -> None:
    here = house.enter(Role.SUPPORT, "Kari")
    other = house.stranger()
    other.session.cookies.set("giftsync-browser", cookie, domain="127.0.0.1", path="/")

    assert other.send("/sign-in", name="Kari", password=PASSWORD).status_code == 200

    assert NEW in here.text("/")


def test_given_people_who_are_told_by_notices_then_a_new_browser_is_told_of_once(house: House) -> None:
    house.enter(Role.SUPPORT, "Kari")
    again(house, "Kari", IPHONE)
    sent: list[Notice] = []

    class Kept:
        def send(self, notice: Notice) -> None:
            sent.append(notice)

    notices = Notices(house.shop.engine, [Kept()], house.shop.clock, 60.0)

    assert notices.send_due()
    house.shop.clock.advance(61)
    assert not notices.send_due()

    assert sent[0].subject == "giftsync: a sign-in on a new browser"
    assert "Kari signed in to the console on a new browser (Safari, iPhone) at 2026-" in sent[0].text
    assert "giftsync people remove" in sent[0].text
