"""People sign in with a passkey of a device: Chromium's virtual authenticator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, CDPSession, Page, Request, expect

from sync.support.people import Role
from tests.browser.conftest import BUSY_MS, World, picture
from tests.integration.console.house import PASSWORD

DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Phone:
    """A browser with a device that holds passkeys, at the console's name."""

    def __init__(self, world: World, page: Page, devices: CDPSession) -> None:
        # Browsers bind keys to names only.
        self.url = world.url.replace("127.0.0.1", "localhost")
        self.world, self.page, self.devices = world, page, devices
        devices.send("WebAuthn.enable")
        self.device = devices.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})["authenticatorId"]

    def keys(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.devices.send(
            "WebAuthn.getCredentials", {"authenticatorId": self.device}
        )["credentials"]
        return found

    def join(self, name: str, role: Role = Role.SUPPORT) -> None:
        token = self.world.people.invite(role, "a test")
        self.page.goto(f"{self.url}/join/{token}")
        self.page.fill("input[name=name]", name)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.fill("input[name=again]", PASSWORD)
        self.page.click("button.primary")
        self.page.wait_for_url(f"{self.url}/")

    def add(self, password: str = PASSWORD) -> None:
        self.page.goto(f"{self.url}/passkeys")
        self.page.fill("form[data-passkey] input[name=name]", "my phone")
        self.page.fill("input[name=password]", password)
        self.page.click("form[data-passkey] button")

    def sign_out(self) -> None:
        self.page.context.clear_cookies()
        self.page.goto(f"{self.url}/sign-in?next=/cards")

    def sign_in(self) -> None:
        self.page.click("form[data-passkey] button")


@pytest.fixture
def phone(world: World, chromium: Browser) -> Iterator[Phone]:
    context = chromium.new_context()
    context.set_default_timeout(BUSY_MS)
    page = context.new_page()
    yield Phone(world, page, context.new_cdp_session(page))
    context.close()


def test_a_person_adds_a_passkey_signs_in_with_it_and_takes_it_out(world: World, phone: Phone) -> None:
    phone.join("Passkey person")
    phone.add()
    expect(phone.page.locator("h1")).to_have_text("You have 1 passkey.")
    assert [
        v for v in Axe().run(phone.page).response["violations"] if v["impact"] in ("serious", "critical")
    ] == []
    picture(phone.page, "passkeys-1280")

    phone.sign_out()
    phone.sign_in()

    phone.page.wait_for_url(f"{phone.url}/cards")
    assert phone.page.inner_text(".me summary").startswith("Passkey person")
    assert "signed in with a passkey" in [one.action for one in world.people.book.newest_deeds(5)]
    phone.page.goto(f"{phone.url}/passkeys")
    phone.page.click("button.danger")
    expect(phone.page.locator("h1")).to_have_text("You have 0 passkeys.")
    phone.sign_out()
    phone.sign_in()
    expect(phone.page.locator("p.stop[role=alert]:visible")).to_contain_text("not accepted")


def test_a_wrong_password_adds_no_passkey(phone: Phone) -> None:
    phone.join("Passkey guesser")

    phone.add("a sentence of somebody else")

    expect(phone.page.locator("p.stop[role=alert]:visible")).to_contain_text("wrong")
    expect(phone.page.locator("h1")).to_have_text("You have 0 passkeys.")


def test_an_answer_that_somebody_kept_lets_nobody_in(phone: Phone) -> None:
    phone.join("Passkey copied")
    phone.add()
    expect(phone.page.locator("h1")).to_have_text("You have 1 passkey.")
    phone.sign_out()
    sent: list[dict[str, str | float | bool]] = []

    def note(request: Request) -> None:
        form = request.post_data_json
        if request.method == "POST" and form is not None:
            sent.append(form)

    phone.page.on("request", note)
    phone.sign_in()
    phone.page.wait_for_url(f"{phone.url}/cards")
    phone.page.context.clear_cookies()

    again = phone.page.request.post(f"{phone.url}/sign-in/passkey", form=sent[0])

    assert again.status == 401
    assert "giftsync" not in {one["name"] for one in phone.page.context.cookies()}


def test_a_device_that_does_not_ask_its_person_lets_nobody_in(phone: Phone) -> None:
    phone.join("Passkey unverified")
    phone.add()
    expect(phone.page.locator("h1")).to_have_text("You have 1 passkey.")
    phone.devices.send("WebAuthn.setUserVerified", {"authenticatorId": phone.device, "isUserVerified": False})
    phone.sign_out()

    phone.sign_in()

    expect(phone.page.locator(".trouble")).to_be_visible()


def test_a_new_link_ends_the_passkeys_of_before(world: World, phone: Phone) -> None:
    phone.join("Passkey lost")
    phone.add()
    expect(phone.page.locator("h1")).to_have_text("You have 1 passkey.")
    person = world.people.book.by_name("Passkey lost")
    assert person is not None
    world.people.join(world.people.invite(Role.SUPPORT, "a test", person), "", PASSWORD, PASSWORD)
    phone.sign_out()

    phone.sign_in()

    expect(phone.page.locator("p.stop[role=alert]:visible")).to_contain_text("not accepted")
