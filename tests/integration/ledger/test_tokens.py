"""Access tokens in the ledger: sealed, saved before use, renewed by one process at a time, never lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from sqlalchemy import Engine, select

from connectors.api.errors import NotSent, SideClosed
from connectors.api.tokens import AccessToken
from connectors.kit.http import HttpClient
from connectors.kit.renewal import RenewedToken
from connectors.shopify import ShopifySide
from connectors.shopify.auth import client_credentials, installation
from connectors.shopify.install import Installation
from connectors.shopify.oauth import TokenDesk
from sandbox.shopify import ShopifyEmulator
from sandbox.shopify.http.emulator import CLIENT_ID
from sync.ledger.database.engine import open_engine
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.tables import tokens
from sync.ledger.secrets.tokens import TokenStore
from sync.ledger.secrets.vault import KEY_BYTES, Vault, VaultError
from tests.contract.loopback import serve
from tests.support import Clock, Crashed

SHOP = "kaffe.myshopify.com"
SECRET = "client-secret"
GIVEN_TO = f"{SHOP} {CLIENT_ID}"
HOUR = timedelta(hours=1)


@pytest.fixture
def store(engine: Engine, vault: Vault) -> TokenStore:
    return TokenStore(engine, vault, "shopify", "install", GIVEN_TO)


def token(clock: Clock, access: str = "shpat_first", refresh: str | None = "shprt_first") -> AccessToken:
    now = clock()
    return AccessToken(access, ("read_orders",), now, now + HOUR, refresh, now + 24 * HOUR)


# At rest.


def test_a_token_comes_back_as_it_was_saved(store: TokenStore, clock: Clock) -> None:
    assert store.load() is None
    saved = store.save(token(clock))
    assert saved is not None
    assert saved.version == 1
    assert store.load() == saved


def test_neither_token_is_readable_in_the_database(store: TokenStore, clock: Clock) -> None:
    store.save(token(clock))
    with store.engine.connect() as connection:
        row = connection.execute(select(tokens)).one()
    stored = repr(tuple(row)).encode() + row.access_sealed + row.refresh_sealed
    assert b"shpat_first" not in stored
    assert b"shprt_first" not in stored
    assert "shpat" not in repr(store.load())


def test_a_token_of_another_shop_app_or_way_counts_as_none(
    store: TokenStore, engine: Engine, vault: Vault, clock: Clock
) -> None:
    store.save(token(clock))
    assert TokenStore(engine, vault, "shopify", "install", f"te.myshopify.com {CLIENT_ID}").load() is None
    assert TokenStore(engine, vault, "shopify", "client_credentials", GIVEN_TO).load() is None


def test_another_shops_token_is_replaced_only_by_a_new_one(
    store: TokenStore, engine: Engine, vault: Vault, clock: Clock
) -> None:
    store.save(token(clock))
    other = TokenStore(engine, vault, "shopify", "install", "te.myshopify.com app")
    assert other.save(token(clock, "shpat_other"), replaces=1) is None
    saved = other.save(token(clock, "shpat_other"), replaces=0)
    assert saved is not None
    assert saved.version == 2
    assert store.load() is None


def test_a_save_that_came_too_late_changes_nothing(store: TokenStore, clock: Clock) -> None:
    store.save(token(clock))
    store.save(token(clock, "shpat_second"), replaces=1)
    assert store.save(token(clock, "shpat_late"), replaces=1) is None
    kept = store.load()
    assert kept is not None
    assert kept.access == "shpat_second"


def test_another_key_closes_the_side_with_a_remedy(store: TokenStore, engine: Engine, clock: Clock) -> None:
    store.save(token(clock))
    stranger = Vault(bytes(reversed(range(KEY_BYTES))))
    with pytest.raises(SideClosed, match="does not open") as caught:
        TokenStore(engine, stranger, "shopify", "install", GIVEN_TO).load()
    assert "key file" in caught.value.remedy


def test_a_sealed_token_opens_only_for_its_purpose(vault: Vault) -> None:
    sealed = vault.seal_secret("shpat_first", "access token of shopify")
    assert sealed != vault.seal_secret("shpat_first", "access token of shopify")
    assert vault.open_secret(sealed, "access token of shopify") == "shpat_first"
    for damaged, purpose in [
        (sealed, "refresh token of shopify"),
        (sealed[:-1], "access token of shopify"),
        (b"", "access token of shopify"),
    ]:
        with pytest.raises(VaultError):
            vault.open_secret(damaged, purpose)


def test_a_ledger_without_the_table_is_a_side_that_cannot_be_reached(vault: Vault) -> None:
    engine = open_engine("sqlite://")
    store = TokenStore(engine, vault, "shopify", "install", GIVEN_TO)
    with pytest.raises(NotSent):
        store.load()
    with pytest.raises(NotSent) as caught:
        store.save(token(Clock()))
    assert "shpat" not in str(caught.value)
    engine.dispose()


# The lock.


def test_one_holds_the_lock_at_a_time(store: TokenStore, engine: Engine, vault: Vault) -> None:
    other = TokenStore(engine, vault, "shopify", "install", GIVEN_TO)
    with store.lock(blocking=True) as mine:
        assert mine
        with other.lock(blocking=False) as theirs:
            assert not theirs
    with other.lock(blocking=False) as theirs:
        assert theirs


def test_whoever_waits_for_the_lock_gets_it(store: TokenStore, engine: Engine, vault: Vault) -> None:
    other = TokenStore(engine, vault, "shopify", "install", GIVEN_TO)
    order: list[str] = []

    def wait() -> None:
        with other.lock(blocking=True):
            order.append("other")

    with store.lock(blocking=True):
        waiting = threading.Thread(target=wait)
        waiting.start()
        order.append("first")
    waiting.join(10)
    assert order == ["first", "other"]


def test_given_two_links_in_one_database_then_neither_waits_for_the_others_token(
    empty_url: str, vault: Vault
) -> None:
    urls = [f"{empty_url}-{name}" for name in ("a", "b")]
    if empty_url.startswith("postgresql"):
        urls = [f"{empty_url}{'&' if '?' in empty_url else '?'}schema=link_{name}" for name in ("a", "b")]
    first, second = (open_engine(url) for url in urls)
    upgrade(first)
    upgrade(second)
    with (
        TokenStore(first, vault, "shopify", "install", GIVEN_TO).lock(blocking=True),
        TokenStore(first, vault, "outlet", "install", GIVEN_TO).lock(blocking=False) as of_another_side,
        TokenStore(second, vault, "shopify", "install", GIVEN_TO).lock(blocking=False) as of_another_link,
    ):
        assert of_another_side
        assert of_another_link
    first.dispose()
    second.dispose()


def test_in_memory_the_lock_is_of_the_store(vault: Vault) -> None:
    engine = open_engine("sqlite://")
    store = TokenStore(engine, vault, "shopify", "install", GIVEN_TO)
    with store.lock(blocking=True) as mine:
        assert mine
        with store.lock(blocking=False) as again:
            assert not again
    engine.dispose()


def _hold_and_die(url: str, ready: Any) -> None:
    engine = open_engine(url)
    with TokenStore(engine, Vault(bytes(KEY_BYTES)), "shopify", "install", GIVEN_TO).lock(blocking=True):
        ready.send(True)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_gives_the_lock_back(empty_url: str) -> None:
    engine = open_engine(empty_url)
    upgrade(engine)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_hold_and_die, args=(empty_url, theirs))
    process.start()
    assert ours.poll(60)
    process.join(60)
    with TokenStore(engine, Vault(bytes(KEY_BYTES)), "shopify", "install", GIVEN_TO).lock(blocking=True) as m:
        assert m
    engine.dispose()


# Against the shop.


class World:
    """An emulated shop whose time is the connector's, and the app that is installed in it."""

    def __init__(self, emulator: ShopifyEmulator, url: str, clock: Clock) -> None:
        self.emulator = emulator
        self.url = url
        self.clock = clock

    def desk(self) -> TokenDesk:
        return TokenDesk(HttpClient(self.url, {}), CLIENT_ID, SECRET, self.clock)

    def source(self, store: TokenStore) -> RenewedToken:
        if store.kind == "client_credentials":
            return client_credentials(self.desk(), store)
        return installation(self.desk(), store, SHOP)

    def side(self, store: TokenStore) -> ShopifySide:
        return ShopifySide(
            shop=SHOP,
            token=self.source(store),
            base_url=self.url,
            pause=lambda _: None,
            clock=self.clock,
            monotonic=self.seconds,
        )

    def seconds(self) -> float:
        return self.clock().timestamp()

    def install(self, store: TokenStore) -> None:
        """The merchant opens the address and says yes."""
        attempt = Installation(SHOP, CLIENT_ID, SECRET, "http://127.0.0.1:1/shopify/callback", self.url)
        answer = requests.get(attempt.permission_url(), allow_redirects=False, timeout=10)
        code = attempt.code_of(parse_qsl(urlsplit(answer.headers["Location"]).query), self.clock())
        store.save(self.desk().for_code(code))

    @property
    def tokens_asked(self) -> int:
        rows: dict[str, Any] = requests.get(f"{self.url}/_sandbox/stats", timeout=10).json()
        return sum(
            row["calls"]
            for name, row in rows["operations"].items()
            if name.endswith("admin/oauth/access_token")
        )


@contextmanager
def opened_world(clock: Clock) -> Iterator[World]:
    emulator = ShopifyEmulator(
        shop=SHOP,
        token="shpat_permanent",
        api_secret=SECRET,
        clock=clock,
        monotonic=lambda: clock().timestamp(),
    )
    with serve(emulator.application()) as loopback:
        yield World(emulator, loopback.url, clock)


@pytest.fixture
def world(clock: Clock) -> Iterator[World]:
    with opened_world(clock) as world:
        yield world


def test_client_credentials_open_the_shop_for_days(
    world: World, engine: Engine, vault: Vault, clock: Clock
) -> None:
    side = world.side(TokenStore(engine, vault, "shopify", "client_credentials", GIVEN_TO))
    for _ in range(4):
        assert side.identify().identity == SHOP
        clock.advance(20 * 3600)
    # At the start, and after forty hours: each lives for a day.
    assert world.tokens_asked == 2
    side.close()


def test_an_installation_opens_the_shop_and_is_renewed(world: World, store: TokenStore, clock: Clock) -> None:
    world.install(store)
    side = world.side(store)
    for _ in range(3):
        assert side.identify().identity == SHOP
        clock.advance(3600)
    kept = store.load()
    assert kept is not None
    assert kept.version == 3
    side.close()


@pytest.mark.parametrize("point", ["tokens.before_save", "tokens.after_save"])
def test_a_crash_around_the_save_recovers(
    world: World, store: TokenStore, clock: Clock, crash_at: Callable[..., None], point: str
) -> None:
    """The old refresh token works until the new one is first used (shopify.md §2)."""
    world.install(store)
    clock.advance(2 * 3600)
    crash_at(point)
    with pytest.raises(Crashed):
        world.source(store)()

    side = world.side(store)
    assert side.identify().identity == SHOP
    clock.advance(2 * 3600)
    assert side.identify().identity == SHOP
    side.close()


def test_threads_of_two_processes_refresh_once(
    world: World, engine: Engine, vault: Vault, store: TokenStore, clock: Clock
) -> None:
    world.install(store)
    asked = world.tokens_asked
    clock.advance(2 * 3600)
    other = open_engine(engine.url.render_as_string(hide_password=False))
    sources = [
        world.source(TokenStore(one, vault, "shopify", "install", GIVEN_TO)) for one in (engine, other)
    ]
    start = threading.Barrier(8)

    def ask(number: int) -> str:
        start.wait(10)
        return sources[number % 2]()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert world.tokens_asked == asked + 1
    other.dispose()


def test_a_revoked_installation_says_install_again(world: World, store: TokenStore, clock: Clock) -> None:
    world.install(store)
    clock.advance(200 * 24 * 3600)
    side = world.side(store)
    with pytest.raises(SideClosed) as caught:
        side.identify()
    assert "giftsync shopify install" in caught.value.remedy
    side.close()


def test_no_file_of_the_ledger_holds_a_token(
    world: World, tmp_path: Path, vault: Vault, clock: Clock
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    upgrade(engine)
    store = TokenStore(engine, vault, "shopify", "install", GIVEN_TO)
    world.install(store)
    clock.advance(2 * 3600)
    access = world.source(store)()
    engine.dispose()
    files = [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()]
    assert files
    assert all(access.encode() not in content and b"shprt_" not in content for content in files)
