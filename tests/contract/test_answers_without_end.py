"""Every call that giftsync makes ends at its deadline and takes no more bytes than an answer may have."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import repeat

import pytest
from pydantic import ValidationError

from config.settings import WorkerSection
from connectors.api.errors import InDoubt, SideError
from connectors.flow import FlowSettings, FlowSide
from connectors.kit import exchange, http
from connectors.kit.files import FileStore
from connectors.kit.http import HttpClient
from connectors.shopify import ShopifySide
from connectors.shopify.oauth import TokenDesk
from mappings.serials import Serial
from sync.reconcile.work import LEASE_SECONDS
from sync.support.senders import MailSender, NotDelivered, Notice, WebhookSender
from tests import faulty_server as faults
from tests.faulty_server import Answer, FaultyServer, faulty_server, whole

#: The deadline of each call in these tests, and of those that are to be answered on a busy machine.
CONNECT, READ, ANSWERED = 0.2, 0.6, 20.0
#: A call that missed its deadline would hold on for much longer.
LATE = 5.0

ENDLESS = [faults.drip_body, faults.drip_head, faults.never_begin]
HUGE = [faults.flood, faults.flood_of_a_chunk_size, faults.bomb, faults.bomb_in_chunks]


def client(server: FaultyServer, read_seconds: float = READ) -> HttpClient:
    return HttpClient(server.url, {}, CONNECT, read_seconds)


@pytest.mark.parametrize("answer", ENDLESS)
def test_a_call_ends_at_its_deadline_however_the_answer_is_dripped(answer: Answer) -> None:
    with faulty_server(answer) as server:
        began = time.monotonic()
        with pytest.raises(InDoubt):
            client(server).request("GET", "/")
        assert time.monotonic() - began < LATE


@pytest.mark.parametrize("answer", HUGE)
def test_an_answer_that_is_too_large_is_in_doubt_and_is_never_held_whole(answer: Answer) -> None:
    with faulty_server(answer) as server:
        tracemalloc.start()
        try:
            with pytest.raises(InDoubt):
                client(server, ANSWERED).request("GET", "/")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 4 * exchange.BODY_BYTES_MAX


def test_a_plain_answer_is_read_whole_and_the_connection_is_used_again() -> None:
    with faulty_server(lambda: [whole(b'{"a": 1}')]) as server:
        asked = client(server, ANSWERED)
        assert [asked.request("GET", "/").json() for _ in range(3)] == [{"a": 1}] * 3
        assert server.connections == 1


def no_pause(_: float) -> None:
    """Tests do not wait between attempts."""


def flow(server: FaultyServer) -> FlowSide:
    settings = FlowSettings(
        tenant="tenant-1",
        store="store-1",
        token="flow-token",
        timezone="Europe/Oslo",
        currency="NOK",
        base_url=server.url,
        connect_seconds=CONNECT,
        read_seconds=READ,
    )
    return FlowSide(settings, pause=no_pause)


def shopify(server: FaultyServer) -> ShopifySide:
    return ShopifySide(
        shop="test-shop.myshopify.com",
        token="shpat_1",
        pause=no_pause,
        base_url=server.url,
        connect_seconds=CONNECT,
        read_seconds=READ,
    )


def read_a_card(server: FaultyServer) -> None:
    side = flow(server)
    observation = side.lookup(Serial("6001" * 4))
    raise InDoubt(str(observation))


def ask_for_a_token(server: FaultyServer) -> None:
    TokenDesk(client(server), "id", "secret", lambda: datetime.now(UTC)).with_client_credentials()


def read_a_file(server: FaultyServer) -> None:
    list(FileStore(no_pause, CONNECT, READ).lines(f"{server.url}/file"))


def send_a_file(server: FaultyServer) -> None:
    FileStore(no_pause, CONNECT, READ).post_form(f"{server.url}/", [("key", "1")], "a.jsonl", b"{}\n")


USERS: list[Callable[[FaultyServer], object]] = [
    read_a_card,
    lambda server: shopify(server).identify(),
    ask_for_a_token,
    read_a_file,
    send_a_file,
]


@pytest.mark.parametrize("answer", [faults.drip_body, faults.drip_head])
@pytest.mark.parametrize("use", USERS)
def test_every_user_of_http_gives_up_a_dripped_answer(
    use: Callable[[FaultyServer], object], answer: Answer
) -> None:
    with faulty_server(answer) as server:
        began = time.monotonic()
        with pytest.raises(SideError):
            use(server)
        # A read is tried a few times, each within its deadline.
        assert time.monotonic() - began < http.READ_ATTEMPTS_MAX * (CONNECT + READ) + LATE


def test_a_notice_by_webhook_gives_up_a_dripped_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.support.senders.CONNECT_SECONDS", CONNECT)
    monkeypatch.setattr("sync.support.senders.READ_SECONDS", READ)
    with faulty_server(faults.drip_body) as server:
        began = time.monotonic()
        with pytest.raises(NotDelivered):
            WebhookSender(server.url).send(Notice("a", "b", {}))
        assert time.monotonic() - began < LATE


def test_a_notice_by_mail_gives_up_a_server_that_greets_for_ever() -> None:
    with faulty_server(lambda: repeat(b"220-hello\r\n"), greets=True) as server:
        began = time.monotonic()
        sender = MailSender("127.0.0.1", server.port, "a@b.no", "a@b.no", encrypts=False, seconds=READ)
        with pytest.raises(NotDelivered):
            sender.send(Notice("a", "b", {}))
        assert time.monotonic() - began < LATE


def test_calls_of_two_threads_have_budgets_of_their_own() -> None:
    with faulty_server(faults.drip_body) as slow, faulty_server(lambda: [whole(b"{}")]) as good:

        def ask_the_slow_one() -> None:
            with pytest.raises(InDoubt):
                client(slow).request("GET", "/")

        other = threading.Thread(target=ask_the_slow_one)
        other.start()
        assert client(good, ANSWERED).request("GET", "/").content == b"{}"
        other.join(LATE)
        assert not other.is_alive()


def test_a_lease_outlives_the_longest_call_and_the_longest_read() -> None:
    """A lease is renewed when half of it is left, and then one call or one read may follow."""
    assert LEASE_SECONDS / 2 >= http.READ_TOTAL_SECONDS >= http.CALL_SECONDS
    # The shortest one that can be set is renewed before each call.
    with pytest.raises(ValidationError):
        WorkerSection(lease_seconds=http.CALL_SECONDS)
