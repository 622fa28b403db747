"""A real browser on a console of the sandbox: the system's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from cli.background import Background
from cli.console import served_console
from cli.demo.control import Control
from cli.demo.thread import sandbox_thread
from cli.emulators import SandboxOptions
from cli.output import Output
from cli.sandbox_config import Pace, sandbox_toml
from cli.session import load_settings, opened_worker
from sync.ledger import views
from sync.ledger.database.engine import only_worker
from sync.support.people import People, Role
from sync.worker.service import Service
from tests.integration.console.house import CHEAP, PASSWORD
from tests.support import seen_in_time

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
#: A busy machine takes its time.
BUSY_MS = 60_000
expect.set_options(timeout=BUSY_MS)
LEFT_OUT = "NO CHROMIUM: the browser tests were left out. Pages, scripts and accessibility were NOT tried."


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if CHROMIUM is None:
        terminalreporter.section("browser", sep="!", red=True, bold=True)
        terminalreporter.line(LEFT_OUT)


@dataclass
class World:
    """A link that works, its console, and people."""

    url: str
    flow: Control
    shopify: Control
    people: People
    service: Service

    def sold(self, amount: str = "500.00") -> str:
        """A card that is sold in the store and the same on both sides."""
        number = str(self.flow.call("sell", amount=amount)["number"])
        assert seen_in_time(lambda: any(card.serial == number for card in self.shopify.cards()), 60, 0.1)
        return number

    def conflicts(self) -> list[int]:
        return [one.id for one in views.list_conflicts(self.service.worker.engine)]

    def two_balances(self) -> int:
        """A new conflict: one number, two balances."""
        before = set(self.conflicts())
        number = self.flow.call("sell", amount="500")["number"]
        self.shopify.call("card", code=number, balance="400")
        assert seen_in_time(lambda: bool(set(self.conflicts()) - before), 60, 0.1)
        return (set(self.conflicts()) - before).pop()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("browser") / "giftsync.toml") as found:
        yield found


#: What is off by default, and has a page or a button of its own. Nobody listens at the provider.
MORE_PAGES = {
    "GIFTSYNC_HANDOVER__BALANCE_PAGE": "true",
    "GIFTSYNC_CONSOLE__OIDC__ISSUER": "http://127.0.0.1:9",
    "GIFTSYNC_CONSOLE__OIDC__CLIENT_ID": "giftsync",
}


@contextmanager
def open_world(path: Path, environment: Mapping[str, str] = MORE_PAGES) -> Iterator[World]:
    if CHROMIUM is None:
        pytest.skip(LEFT_OUT)
    options = SandboxOptions(plan="plus", cards={"shopify": 6, "flow": 6})
    with sandbox_thread(options) as address:
        text = sandbox_toml(address, Pace(quiet_seconds=0, poll_seconds=0.3))
        path.write_text(text.replace("[console]\n", "[console]\nport = 0\n"), encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            settings = load_settings(path, level="ERROR")
        with opened_worker(settings, threading.Event()) as (worker, ledger), only_worker(ledger.engine):
            service = Service(worker)
            with (
                served_console(settings, service, ledger, Output(), path) as url,
                Background("worker", service.run),
            ):
                assert url is not None
                people = People(ledger.engine, ledger.vault, worker.link.clock, CHEAP)
                flow, shopify = Control(address.flow_url, "NOK"), Control(address.shopify_url, "NOK")
                yield World(url, flow, shopify, people, service)


@pytest.fixture(scope="module")
def chromium(world: World) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


#: Opens a window of somebody with a role who is signed in.
Open = Callable[..., Page]


@pytest.fixture
def open_as(world: World, chromium: Browser) -> Iterator[Open]:
    contexts: list[BrowserContext] = []
    troubles: list[str] = []

    def opened(role: Role, size: dict[str, int] = DESKTOP, **more: object) -> Page:
        context = chromium.new_context(viewport=size, **more)  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(BUSY_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(dialog.message))
        token = world.people.invite(role, "a test")
        page.goto(f"{world.url}/join/{token}")
        page.fill("input[name=name]", f"{role.value.replace('_', ' ')} {len(world.people.book.list())}")
        page.fill("input[name=password]", PASSWORD)
        page.fill("input[name=again]", PASSWORD)
        page.click("button.primary")
        page.wait_for_url(f"{world.url}/")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def first_line(page: Page) -> str:
    return re.sub(r"\s+", " ", page.inner_text("h1")).strip()


def picture(page: Page, name: str) -> None:
    """Keep what is shown, where somebody asked for pictures."""
    folder = os.environ.get("PICTURES_TO")
    if folder:
        page.wait_for_timeout(300)
        page.screenshot(path=str(Path(folder) / f"console-{name}.png"))
