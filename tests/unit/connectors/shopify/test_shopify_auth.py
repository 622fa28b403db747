"""The token that is renewed in time: once, saved before it is used, and never lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import responses

from connectors.api.card import CardRef
from connectors.api.errors import InDoubt, NotSent, SideClosed, SideError, Throttled
from connectors.api.tokens import AccessToken
from connectors.kit.renewal import PermanentToken, RenewedToken
from connectors.shopify import ShopifySide
from connectors.shopify.auth import client_credentials, installation
from connectors.shopify.oauth import TokenDesk, TokenRefused
from tests.support import TRANSPORT, Clock, Crashed

HOUR = timedelta(hours=1)
SHOP = "kaffe.myshopify.com"


class Shelf:
    """A shelf in memory; `fail` is raised by the next save."""

    def __init__(self) -> None:
        self.token: AccessToken | None = None
        self.saves = 0
        self.fail: BaseException | None = None
        self.closed = False
        self._mutex = threading.Lock()

    def load(self) -> AccessToken | None:
        return self.token

    def save(self, token: AccessToken, replaces: int | None = None) -> AccessToken | None:
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure
        current = self.token.version if self.token is not None else 0
        if replaces is not None and replaces != current:
            return None
        self.saves += 1
        self.token = replace(token, version=current + 1)
        return self.token

    @contextmanager
    def lock(self, *, blocking: bool) -> Iterator[bool]:
        mine = self._mutex.acquire(blocking=blocking)
        try:
            yield mine
        finally:
            if mine:
                self._mutex.release()

    def close(self) -> None:
        self.closed = True


class Shopify:
    """Gives tokens with numbers, and keeps what it was asked with."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[str | None] = []
        self.fail: SideError | None = None
        self.gate: threading.Event | None = None
        self.entered = threading.Event()

    def __call__(self, old: AccessToken | None) -> AccessToken:
        self.asked.append(None if old is None else old.refresh)
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.fail is not None:
            raise self.fail
        number = len(self.asked)
        now = self.clock()
        return AccessToken(f"access-{number}", (), now, now + HOUR, f"refresh-{number}", now + 24 * HOUR)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def shopify(clock: Clock) -> Shopify:
    return Shopify(clock)


@pytest.fixture
def source(shelf: Shelf, shopify: Shopify, clock: Clock) -> RenewedToken:
    return RenewedToken("install", shelf, shopify, clock, monotonic=lambda: clock().timestamp())


def test_a_token_is_used_until_shortly_before_it_expires(
    source: RenewedToken, shopify: Shopify, clock: Clock
) -> None:
    assert source() == "access-1"
    clock.advance(49 * 60)
    assert source() == "access-1"
    clock.advance(2 * 60)
    assert source() == "access-2"
    assert shopify.asked == [None, "refresh-1"]


def test_a_token_that_lives_shortly_is_not_renewed_at_every_request(shelf: Shelf, clock: Clock) -> None:
    def renew(_: AccessToken | None) -> AccessToken:
        return AccessToken(
            f"access-{shelf.saves + 1}", (), clock(), clock() + timedelta(seconds=120), "refresh"
        )

    source = RenewedToken("install", shelf, renew, clock, monotonic=lambda: clock().timestamp())
    source()
    clock.advance(60)
    assert source() == "access-1"
    clock.advance(31)
    assert source() == "access-2"


def test_the_stored_token_is_used_after_a_restart(shelf: Shelf, shopify: Shopify, clock: Clock) -> None:
    assert (
        RenewedToken("install", shelf, shopify, clock, monotonic=lambda: clock().timestamp())() == "access-1"
    )
    assert (
        RenewedToken("install", shelf, shopify, clock, monotonic=lambda: clock().timestamp())() == "access-1"
    )
    assert len(shopify.asked) == 1


def test_many_threads_without_a_token_renew_once(source: RenewedToken, shopify: Shopify) -> None:
    shopify.gate = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(source) for _ in range(8)]
        assert shopify.entered.wait(10)
        shopify.gate.set()
        assert {answer.result(10) for answer in answers} == {"access-1"}
    assert len(shopify.asked) == 1


def test_two_processes_renew_once(shelf: Shelf, shopify: Shopify, clock: Clock) -> None:
    """Each has a source of its own; only the shelf is shared."""
    shopify.gate = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        answers = [
            pool.submit(RenewedToken("install", shelf, shopify, clock, monotonic=lambda: clock().timestamp()))
            for _ in range(2)
        ]
        assert shopify.entered.wait(10)
        shopify.gate.set()
        assert {answer.result(10) for answer in answers} == {"access-1"}
    assert len(shopify.asked) == 1


def test_whoever_has_a_good_token_does_not_wait_for_the_renewal(
    source: RenewedToken, shopify: Shopify, clock: Clock
) -> None:
    source()
    clock.advance(55 * 60)
    shopify.gate = threading.Event()
    shopify.entered.clear()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(source)
        assert shopify.entered.wait(10)
        assert source() == "access-1"
        shopify.gate.set()
        assert renewing.result(10) == "access-2"


def test_another_process_is_not_waited_for_while_the_old_token_is_good(
    shelf: Shelf, shopify: Shopify, clock: Clock
) -> None:
    RenewedToken("install", shelf, shopify, clock, monotonic=lambda: clock().timestamp())()
    clock.advance(55 * 60)
    with shelf.lock(blocking=True):
        assert (
            RenewedToken("install", shelf, shopify, clock, monotonic=lambda: clock().timestamp())()
            == "access-1"
        )
    assert len(shopify.asked) == 1


def test_a_crash_between_renewal_and_saving_goes_on_with_the_old_refresh_token(
    shelf: Shelf, shopify: Shopify, clock: Clock
) -> None:
    RenewedToken("install", shelf, shopify, clock, monotonic=lambda: clock().timestamp())()
    clock.advance(2 * 3600)
    shelf.fail = Crashed("before the save")
    with pytest.raises(Crashed):
        RenewedToken("install", shelf, shopify, clock, monotonic=lambda: clock().timestamp())()
    assert shelf.token is not None
    assert shelf.token.access == "access-1"

    assert (
        RenewedToken("install", shelf, shopify, clock, monotonic=lambda: clock().timestamp())() == "access-3"
    )
    assert shopify.asked == [None, "refresh-1", "refresh-1"]


def test_a_token_that_cannot_be_saved_is_not_used(source: RenewedToken, shelf: Shelf, clock: Clock) -> None:
    shelf.fail = NotSent("the ledger is busy")
    with pytest.raises(NotSent, match="busy"):
        source()
    assert shelf.token is None


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        (NotSent("no connection"), NotSent),
        (InDoubt("no answer"), NotSent),
        (Throttled("slow down", 3.0), Throttled),
        (SideClosed("refused", "install again"), SideClosed),
    ],
    ids=lambda one: getattr(one, "__name__", type(one).__name__),
)
def test_a_renewal_that_fails_uses_the_old_token_while_it_lasts(
    source: RenewedToken, shopify: Shopify, clock: Clock, failure: SideError, shown: type[SideError]
) -> None:
    """Never in doubt: the request that the token was for was not sent."""
    source()
    shopify.fail = failure
    clock.advance(55 * 60)
    assert source() == "access-1"
    clock.advance(5 * 60)
    with pytest.raises(shown):
        source()
    shopify.fail = None
    clock.advance(60)
    assert source().startswith("access-")
    assert source() != "access-1"


def test_a_renewal_that_failed_is_not_tried_again_at_once(
    source: RenewedToken, shopify: Shopify, clock: Clock
) -> None:
    shopify.fail = NotSent("no connection")
    for _ in range(5):
        with pytest.raises(NotSent):
            source()
    assert len(shopify.asked) == 1
    clock.advance(11)
    shopify.fail = None
    assert source() == "access-2"


def test_a_new_installation_in_between_is_not_overwritten(
    source: RenewedToken, shelf: Shelf, shopify: Shopify, clock: Clock
) -> None:
    source()
    clock.advance(2 * 3600)
    installed = AccessToken("installed", (), clock(), clock() + HOUR, "fresh")
    ask = shopify.__call__

    def renew(old: AccessToken | None) -> AccessToken:
        shelf.save(installed)
        return ask(old)

    busy = RenewedToken("install", shelf, renew, clock, monotonic=lambda: clock().timestamp())
    with pytest.raises(NotSent):
        busy()
    clock.advance(11)
    assert busy() == "installed"


class TestRefused:
    """Shopify answers 401: nothing happened, and there may be another token."""

    def test_another_process_has_renewed_it(self, source: RenewedToken, shelf: Shelf, clock: Clock) -> None:
        old = source()
        shelf.save(AccessToken("theirs", (), clock(), clock() + HOUR, "refresh"))
        assert source.refused(old)
        assert source() == "theirs"

    def test_it_is_renewed_when_the_clocks_differ(self, source: RenewedToken, shopify: Shopify) -> None:
        assert source.refused(source())
        assert source() == "access-2"

    def test_a_permanent_token_has_no_other(self, shelf: Shelf, shopify: Shopify, clock: Clock) -> None:
        shelf.save(AccessToken("forever", (), clock()))
        source = RenewedToken("install", shelf, shopify, clock, monotonic=lambda: clock().timestamp())
        assert not source.refused(source())
        assert not PermanentToken("given").refused("given")
        assert shopify.asked == []


def test_no_repr_tells_a_token(source: RenewedToken) -> None:
    source()
    shown = repr(source) + repr(source._held) + repr(PermanentToken("a-secret"))
    assert "access-1" not in shown
    assert "refresh-1" not in shown
    assert "a-secret" not in shown


def test_closing_the_source_closes_the_shelf(source: RenewedToken, shelf: Shelf) -> None:
    source.close()
    assert shelf.closed


# Over the wire.

TOKENS = f"https://{SHOP}/admin/oauth/access_token"
GRAPHQL = f"https://{SHOP}/admin/api/2026-10/graphql.json"
SECRET = "app-secret"


def desk(clock: Clock) -> TokenDesk:
    from connectors.kit.http import HttpClient

    return TokenDesk(HttpClient(f"https://{SHOP}", {}), "app-id", SECRET, clock)


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False, target=TRANSPORT) as mock:
        yield mock


def test_client_credentials_are_asked_with_a_form(
    wire: responses.RequestsMock, shelf: Shelf, clock: Clock
) -> None:
    answer = {"access_token": "shpat_one", "scope": "write_gift_cards,read_orders", "expires_in": 86_399}
    wire.post(TOKENS, json=answer)
    assert client_credentials(desk(clock), shelf)() == "shpat_one"
    assert wire.calls[0].request.body == (
        "client_id=app-id&client_secret=app-secret&grant_type=client_credentials"
    )
    assert shelf.token is not None
    assert shelf.token.scopes == ("read_orders", "write_gift_cards")
    assert shelf.token.expires_at == clock() + timedelta(seconds=86_399)


def test_an_installation_is_refreshed_with_its_refresh_token(
    wire: responses.RequestsMock, shelf: Shelf, clock: Clock
) -> None:
    shelf.save(AccessToken("shpat_one", (), clock() - HOUR, clock(), "shprt_one"))
    answer = {
        "access_token": "shpat_two",
        "scope": "",
        "expires_in": 3600,
        "refresh_token": "shprt_two",
        "refresh_token_expires_in": 7_776_000,
    }
    wire.post(TOKENS, json=answer)
    assert installation(desk(clock), shelf, SHOP)() == "shpat_two"
    body = str(wire.calls[0].request.body)
    assert "grant_type=refresh_token" in body
    assert "refresh_token=shprt_one" in body


def test_without_an_installation_the_remedy_is_to_install(shelf: Shelf, clock: Clock) -> None:
    with pytest.raises(SideClosed, match="not installed") as caught:
        installation(desk(clock), shelf, SHOP)()
    assert "giftsync shopify install" in caught.value.remedy


@pytest.mark.parametrize(
    ("status", "body", "expected", "words"),
    [
        (400, '{"error": "invalid_grant"}', TokenRefused, "invalid_grant"),
        (401, '{"error": "invalid_client"}', TokenRefused, "id and secret"),
        (403, "<html>app-secret</html>", TokenRefused, "HTTP 403"),
        (400, '{"error": "App-secret leaked"}', TokenRefused, "HTTP 400"),
        (404, "", SideClosed, "no such shop"),
        (302, "", SideClosed, "no such shop"),
        (429, "", Throttled, "slow down"),
        (500, "", NotSent, "HTTP 500"),
        (200, "not json", NotSent, "no access token"),
        (200, '{"access_token": "with a space"}', NotSent, "no access token"),
        (200, '{"access_token": "shpat_one", "expires_in": -1}', NotSent, "lifetime"),
        (200, '{"access_token": "shpat_one", "expires_in": true}', NotSent, "lifetime"),
        (200, '{"access_token": "shpat_one", "expires_in": 3600}', NotSent, "no refresh token"),
    ],
)
def test_what_the_token_endpoint_answers_is_sorted(
    wire: responses.RequestsMock,
    shelf: Shelf,
    clock: Clock,
    status: int,
    body: str,
    expected: type[SideError],
    words: str,
) -> None:
    shelf.save(AccessToken("shpat_old", (), clock() - HOUR, clock(), "shprt_old"))
    wire.post(TOKENS, status=status, body=body)
    with pytest.raises(expected, match=words) as caught:
        installation(desk(clock), shelf, SHOP)()
    shown = f"{caught.value} {getattr(caught.value, 'remedy', '')}".lower()
    for secret in ("app-secret", "shprt_old", "shpat_o"):
        assert secret not in shown
    assert shelf.token is not None
    assert shelf.token.access == "shpat_old"


class TestAnswer401:
    """A request that was refused for its token is sent once more with another one."""

    CARD = CardRef("gid://shopify/GiftCard/1")

    def side(self, source: RenewedToken, clock: Clock) -> ShopifySide:
        return ShopifySide(shop=SHOP, token=source, pause=lambda _: None, clock=clock)

    def test_with_another_token(
        self, wire: responses.RequestsMock, source: RenewedToken, clock: Clock
    ) -> None:
        wire.post(GRAPHQL, status=401)
        wire.post(GRAPHQL, json={"data": {"nodes": [None]}})
        side = self.side(source, clock)
        list(side.observe([self.CARD]))
        sent = [call.request.headers["X-Shopify-Access-Token"] for call in wire.calls]
        assert sent == ["access-1", "access-2"]
        side.close()

    def test_a_second_time_closes_the_side(
        self, wire: responses.RequestsMock, source: RenewedToken, clock: Clock
    ) -> None:
        wire.post(GRAPHQL, status=401)
        side = self.side(source, clock)
        with pytest.raises(SideClosed, match="does not accept"):
            list(side.observe([self.CARD]))
        assert len(wire.calls) == 2
        side.close()

    def test_a_token_that_cannot_be_had_sends_nothing(
        self, wire: responses.RequestsMock, source: RenewedToken, shopify: Shopify, clock: Clock
    ) -> None:
        shopify.fail = InDoubt("no answer")
        side = self.side(source, clock)
        with pytest.raises(NotSent):
            list(side.observe([self.CARD]))
        assert len(wire.calls) == 0
        side.close()


def test_a_life_is_counted_from_the_question(wire: responses.RequestsMock, shelf: Shelf) -> None:
    """An answer that took long must not make the token seem to live longer."""
    clock = Clock()

    def slow(request: Any) -> tuple[int, dict[str, str], str]:
        clock.advance(15)
        return 200, {}, '{"access_token": "shpat_one", "scope": "", "expires_in": 100}'

    began: datetime = clock()
    wire.add_callback(responses.POST, TOKENS, callback=slow)
    client_credentials(desk(clock), shelf)()
    assert shelf.token is not None
    assert shelf.token.expires_at == began + timedelta(seconds=100)
