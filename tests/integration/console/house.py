"""A merchant's console over loopback, on a shop in memory, and browsers of people with each role."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from argon2 import PasswordHasher

from console.app import create_app
from console.pulse import Pulse
from console.receiver import create_receiver
from console.server import serve
from console.visit import Console
from sync.books.journal import Accounts
from sync.books.lots import Rules
from sync.ledger.database.engine import only_worker
from sync.ledger.incoming.deliveries import Inbox
from sync.ledger.totals import Totals, read_totals
from sync.standing import Standing, read_standing
from sync.support.bookkeeping import Bookkeeper, BookSettings
from sync.support.oidc import OidcSignIn
from sync.support.people import People, Role
from tests.integration.shop import FLOW, SHOPIFY, Shop

PASSWORD = "a sentence that nobody guesses"
#: As cheap as it gets: these passwords guard nothing.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
WAIT_SECONDS = 30


@dataclass
class Browser:
    """Somebody's browser: keeps cookies, and fills in forms."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str, *, follow: bool = True, **more: object) -> requests.Response:
        return self.session.get(self.url + path, timeout=WAIT_SECONDS, allow_redirects=follow, **more)  # type: ignore[arg-type]

    def send(
        self,
        path: str,
        *,
        follow: bool = True,
        headers: dict[str, str] | None = None,
        files: object = None,
        **fields: object,
    ) -> requests.Response:
        """A form as it stands, without what the page would add."""
        return self.session.post(
            self.url + path,
            data=fields,
            files=files,  # type: ignore[arg-type]
            headers=headers,
            timeout=WAIT_SECONDS,
            allow_redirects=follow,
        )

    def post(
        self, path: str, *, page: str | None = None, follow: bool = True, **fields: Any
    ) -> requests.Response:
        """Load the page that has the form, and send the form with what the page put into it."""
        return self.send(path, follow=follow, csrf=self.csrf(page or path), **fields)

    def csrf(self, page: str = "/") -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]*)"', self.get(page).text)
        return "" if found is None else found[1]

    def text(self, path: str) -> str:
        """What a person reads there: without tags, one line."""
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return read(answer.text)


def read(page: str) -> str:
    """The words of a page."""
    bare = re.sub(r"(?s)<svg.*?</svg>|<[^>]+>", " ", page)
    return plain(html.unescape(bare))


def plain(words: str) -> str:
    """With ordinary spaces."""
    return " ".join(words.split())


def headline(page: str) -> str:
    found = re.search(r"(?s)<h1>(.*?)</h1>", page)
    assert found is not None, page
    return read(found[1])


@dataclass
class House:
    """The console of a shop."""

    shop: Shop
    console: Console
    url: str

    @property
    def people(self) -> People:
        return self.console.people

    def stranger(self) -> Browser:
        return Browser(self.url)

    def enter(self, role: Role = Role.MERCHANT, name: str = "") -> Browser:
        """Somebody with the role, signed in."""
        browser = self.stranger()
        token = self.people.invite(role, "a test")
        answer = browser.send(
            f"/join/{token}", name=name or f"{role.value} person", password=PASSWORD, again=PASSWORD
        )
        assert answer.status_code == 200, answer.text
        return browser

    def count(self) -> None:
        """What the pulse does while time passes, which here stands still."""
        self.console.pulse.refresh()


@contextmanager
def open_house(
    shop: Shop, oidc: Callable[[People], OidcSignIn | None] = lambda people: None
) -> Iterator[House]:
    both = (FLOW, SHOPIFY)

    def standing(totals: Totals) -> Standing:
        link, now = shop.link, shop.clock()
        return read_standing(
            shop.engine, shop.sides, both, link.rules.brands, link.timezone, now, totals=totals
        )

    def totals() -> Totals:
        return read_totals(shop.engine, shop.clock(), both, shop.link.rules.brands)

    people = People(shop.engine, shop.vault, shop.clock, CHEAP, monotonic=lambda: shop.clock().timestamp())
    books = Bookkeeper(
        shop.engine, shop.vault, shop.link.timezone, BookSettings(Accounts(*"12345678"), Rules()), shop.clock
    )
    console = Console(
        people, lambda: shop.link, Pulse(lambda: shop.link, standing, totals), books=books, oidc=oidc(people)
    )
    receiver = create_receiver({}, Inbox(shop.intake), shop.clock, lambda side, stored: None)
    app = create_app(receiver, console)
    with only_worker(shop.engine), serve(app, "127.0.0.1", 0) as port:
        yield House(shop, console, f"http://127.0.0.1:{port}")
