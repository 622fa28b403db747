"""One process serves many links: each delivery and each page goes to its own link and to no other."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from sqlalchemy import select

from cli import fleet_serving, main
from cli.build import open_ledger
from cli.errors import OperatorError
from cli.fleet import Fleet, own_schema
from cli.fleet_serving import FleetApp, fleet_app
from config.load import load
from console.part import Part
from console.server import serve
from sync.ledger.database.engine import open_engine, reading, sharing_connections
from sync.ledger.database.only_console import console_file
from sync.ledger.database.tables import deliveries
from tests.support import seen_in_time

SHOP = "example.myshopify.com"
SETTINGS = """
{database}
[link]
timezone = "Europe/Oslo"
currency = "NOK"

[sides.shopify]
connector = "shopify"
shop = "{shop}"
token = "opens-shopify"
client_secret = "{secret}"

[sides.flow]
connector = "flow"
tenant = "t1"
store = "s1"
token = "opens-flow"

[console]
port = 8600
public_url = "https://{name}.example.com"
"""


class Street:
    """Links of a fleet, some of whose ledgers are there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.port = 0

    def add(self, name: str, *, database: str = "", has_ledger: bool = True, secret: str = "") -> Path:
        path = self.folder / name / "giftsync.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        line = f'database = "{database}"\nkey_file = "giftsync.key"' if database else ""
        path.write_text(
            SETTINGS.format(shop=SHOP, name=name, secret=secret or f"of-{name}", database=line), "utf-8"
        )
        if has_ledger:
            self.make_ledger(name)
        return path

    def make_ledger(self, name: str) -> None:
        with open_ledger(load(self.folder / name / "giftsync.toml")):
            pass

    @contextmanager
    def served(self, *parts: Part) -> Iterator[FleetApp]:
        with (
            fleet_app(Fleet(self.folder), frozenset(parts), self.said.append, lambda _: None) as app,
            serve(app, "127.0.0.1", 0, shares_port=True) as self.port,
        ):
            yield app

    def deliver(self, link: str, secret: str = "", key: str = "a", host: str = "", path: str = "") -> int:
        body = json.dumps({"id": 1, "order_id": 1, "gateway": "gift_card", "receipt": "{}"}).encode()
        mac = hmac.digest((secret or f"of-{link}").encode(), body, hashlib.sha256)
        headers = {
            "X-Shopify-Hmac-Sha256": base64.b64encode(mac).decode(),
            "X-Shopify-Topic": "order_transactions/create",
            "X-Shopify-Shop-Domain": SHOP,
            "X-Shopify-Webhook-Id": key,
            **({"Host": host} if host else {}),
        }
        url = f"http://127.0.0.1:{self.port}{path or f'/links/{link}/webhooks/shopify'}"
        return requests.post(url, body, headers=headers, timeout=30).status_code

    def get(self, path: str, host: str = "") -> int:
        headers = {"Host": host} if host else {}
        url = f"http://127.0.0.1:{self.port}{path}"
        return requests.get(url, headers=headers, timeout=30, allow_redirects=False).status_code

    def stored(self, name: str) -> list[str]:
        engine = open_engine(load(self.folder / name / "giftsync.toml").database)
        with reading(engine) as connection:
            found = list(connection.execute(select(deliveries.c.key).order_by(deliveries.c.id)).scalars())
        engine.dispose()
        return found


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path / "links")


def test_given_two_links_when_each_is_delivered_to_then_each_ledger_has_its_own(street: Street) -> None:
    street.add("acme")
    street.add("bolt")
    with street.served(Part.WEBHOOKS) as app:
        assert app.open_links == 0
        assert [street.deliver("acme", key=key) for key in ("a", "b", "a")] == [202, 202, 202]
        assert street.deliver("bolt", host="bolt.example.com", path="/webhooks/shopify") == 202
        # A delivery that another link's shop has signed is nobody's.
        assert street.deliver("acme", secret="of-bolt") == 401
        assert street.deliver("nobody") == 404
        assert street.deliver("acme", path="/webhooks/shopify", host="elsewhere.example.com") == 404
        assert street.get("/healthz") == 200
        assert app.open_links == 2

    assert street.stored("acme") == ["a", "b"]
    assert street.stored("bolt") == ["a"]
    assert street.said == []


def test_given_the_pages_of_two_links_then_each_is_at_its_own_host(street: Street) -> None:
    street.add("acme")
    street.add("bolt")
    with street.served(Part.CONSOLE):
        assert street.get("/sign-in", "acme.example.com") == 200
        assert street.get("/sign-in", "bolt.example.com") == 200
        assert street.get("/sign-in", "other.example.com") == 404
        # A cookie would be for all links of a host.
        assert street.get("/links/acme/sign-in") == 404
        assert street.get("/links/acme/api/v1/openapi.json") == 404
        assert street.deliver("acme") == 404


def test_given_a_fleet_then_a_vtex_store_reaches_its_link_below_the_links_name(street: Street) -> None:
    acme = street.add("acme")
    acme.write_text(acme.read_text("utf-8") + "\n[api]\nenabled = true\n", "utf-8")
    street.add("bolt")
    with street.served():
        # Nobody is let in without a token, and a link without an API has nothing there.
        assert street.get("/links/acme/providers/vtex/giftcards/1") == 401
        assert street.get("/links/bolt/providers/vtex/giftcards/1") == 404


def test_given_a_console_that_another_process_serves_then_its_pages_are_for_later_and_the_rest_is_served(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_serving, "AGAIN_SECONDS", 0.0)
    settings = load(street.add("acme"))
    with street.served() as app:
        with open(console_file(settings.database.removeprefix("sqlite:///")), "w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            assert street.get("/sign-in", "acme.example.com") == 503
            assert street.deliver("acme") == 202
            assert street.get("/healthz", "acme.example.com") == 200

        assert street.get("/sign-in", "acme.example.com") == 200
        assert app.open_links == 2


def test_given_a_link_without_a_ledger_when_its_worker_makes_one_then_deliveries_are_taken(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_serving, "AGAIN_SECONDS", 0.0)
    street.add("acme", has_ledger=False)
    with street.served(Part.WEBHOOKS):
        assert street.deliver("acme") == 503
        street.make_ledger("acme")

        assert street.deliver("acme") == 202
    assert street.stored("acme") == ["a"]


def test_given_settings_that_change_then_they_are_taken_over_and_links_that_nobody_asks_for_are_closed(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_serving, "LOOK_SECONDS", 0.02)
    street.add("acme")
    with street.served(Part.WEBHOOKS) as app:
        assert street.deliver("acme", secret="new") == 401
        street.add("acme", secret="new", has_ledger=False)
        street.add("bolt")
        assert seen_in_time(lambda: street.deliver("acme", secret="new") == 202, pause_seconds=0.05)
        assert street.deliver("acme") == 401
        assert street.deliver("bolt") == 202
        monkeypatch.setattr(fleet_serving, "IDLE_SECONDS", 0.0)

        assert seen_in_time(lambda: app.open_links == 0)
        monkeypatch.setattr(fleet_serving, "IDLE_SECONDS", 60.0)
        assert street.deliver("acme", secret="new", key="b") == 202


def test_given_a_link_whose_settings_are_broken_then_the_others_are_served_and_it_is_told_of(
    street: Street,
) -> None:
    street.add("acme")
    street.add("bolt", has_ledger=False).write_text("[link]\n", "utf-8")
    with street.served():
        assert street.deliver("acme") == 202
        assert street.deliver("bolt") == 404

    assert len(street.said) == 1
    assert street.said[0].startswith("bolt: its settings cannot be used: ")


def test_given_a_folder_without_links_then_it_says_how_to_make_one(street: Street) -> None:
    with pytest.raises(OperatorError) as told, street.served():
        pass
    assert "`giftsync links add NAME` makes one" in told.value.remedy


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fleet", "links", "--config", "giftsync.toml"], "--config and --fleet exclude each other"),
        (["--host", "127.0.0.1"], "--host is for a fleet"),
    ],
)
def test_given_options_that_do_not_go_together_then_it_says_so(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["serve", *arguments]) == 3
    assert words in capsys.readouterr().err


@pytest.mark.postgres
def test_given_links_in_one_database_then_their_receivers_share_its_connections(
    street: Street, empty_postgres: str
) -> None:
    for name in ("acme", "bolt"):
        street.add(name, database=own_schema(empty_postgres, name))
    with sharing_connections(), street.served(Part.WEBHOOKS):
        assert [street.deliver(name, key=name) for name in ("acme", "bolt", "acme")] == [202] * 3

    assert [street.stored(name) for name in ("acme", "bolt")] == [["acme"], ["bolt"]]
