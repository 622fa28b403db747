"""Whoever floods the receiver is cut off; deliveries of the sides come through, and the log stays short."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import structlog

from connectors.api.webhooks import Delivery, DeliveryAnswer, InvalidSignature
from console import guard, receiver, refusals, server
from console.guard import CONNECTIONS_MAX, Memory, connections_max
from console.receiver import BODY_BYTES_MAX, create_receiver
from console.refusals import EVERY_SECONDS, REASONS_MAX, RefusalLog
from console.server import serve
from sync.ledger.incoming.deliveries import StoreResult
from tests.support import seen_in_time

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
HEAD = b"POST /webhooks/shopify HTTP/1.1\r\nHost: giftsync\r\n"
ANSWER_SECONDS_MAX = 30


class Ear:
    """A side whose deliveries are proved by one header."""

    name = "shopify"

    def read_delivery(self, headers: Mapping[str, str], body: bytes) -> Delivery | None:
        if headers.get("signed") != "yes":
            raise InvalidSignature("the signature is wrong")
        return Delivery("1", "orders/paid", body.decode())

    def resolve(self, deliveries: Sequence[Delivery]) -> Sequence[DeliveryAnswer]:
        raise NotImplementedError


@dataclass
class Box:
    stored: list[str] = field(default_factory=list)

    def store(self, side: str, came: Sequence[Delivery], now: datetime) -> StoreResult:
        self.stored += [one.subject for one in came]
        return StoreResult()


@dataclass
class Receiver:
    port: int
    box: Box
    #: What was logged, of all levels.
    lines: list[dict[str, object]]
    records: pytest.LogCaptureFixture

    def open(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS_MAX)
        connection.sendall(sent)
        return connection

    def deliver(self, body: str = "order 7", signed: str = "yes") -> int:
        url = f"http://127.0.0.1:{self.port}/webhooks/shopify"
        answer = requests.post(url, body, headers={"Signed": signed}, timeout=ANSWER_SECONDS_MAX)
        return answer.status_code

    def noise(self) -> list[str]:
        """Everything logged that is not a counted refusal."""
        told = [str(line) for line in self.lines if line.get("action") not in TOLD]
        return told + [record.getMessage() for record in self.records.records if record.name != "console"]


TOLD = ("webhook.refused", "webhook.crowded", "webhook.lost")


@pytest.fixture
def start(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], Receiver]]:
    """Start it, after the test has set its limits."""
    caplog.set_level(logging.INFO)
    with ExitStack() as stack:

        def begin() -> Receiver:
            lines: list[dict[str, object]] = []

            def keep(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
                lines.append(dict(event))
                raise structlog.DropEvent

            structlog.configure(processors=[keep])
            stack.callback(structlog.reset_defaults)
            box, told = Box(), RefusalLog()
            app = create_receiver({"shopify": Ear()}, box, lambda: NOW, lambda *_: None, told)  # type: ignore[arg-type]
            return Receiver(stack.enter_context(serve(app, "127.0.0.1", 0, told)), box, lines, caplog)

        yield begin


def is_cut(connection: socket.socket) -> bool:
    """Whether the receiver ends the connection, within the time that the socket waits."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionError:
        pass
    return True


def answer_of(connection: socket.socket) -> bytes:
    """The first line of the answer."""
    return connection.makefile("rb").readline().rstrip()


def test_given_headers_that_never_end_then_the_connection_is_cut(
    start: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "HEAD_SECONDS", 0.3)
    receiver = start()
    with receiver.open() as silent, receiver.open(HEAD) as half, receiver.open(b"P") as one_byte:
        assert is_cut(silent)
        assert is_cut(half)
        assert is_cut(one_byte)
    # A delivery has as long as a busy machine takes.
    monkeypatch.setattr(guard, "HEAD_SECONDS", ANSWER_SECONDS_MAX)
    assert receiver.deliver() == 202


def test_given_headers_that_drip_then_the_deadline_is_that_of_the_first_byte(
    start: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "HEAD_SECONDS", 0.5)
    receiver = start()
    with receiver.open(HEAD) as dripping:
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.05):
                try:
                    dripping.send(b"X-A: b\r\n")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert is_cut(dripping)
        finally:
            stop.set()
            thread.join()


def test_given_a_body_that_never_ends_then_the_connection_is_cut(
    start: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.3)
    receiver = start()
    with receiver.open(HEAD + b"Content-Length: 100\r\n\r\nabc") as half:
        assert is_cut(half)
    monkeypatch.setattr(guard, "BODY_SECONDS", ANSWER_SECONDS_MAX)
    assert (receiver.deliver(), receiver.box.stored, receiver.noise()) == (202, ["order 7"], [])


def test_given_a_second_request_that_never_ends_then_the_connection_is_cut(
    start: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = start()
    whole = HEAD + b"Signed: yes\r\nContent-Length: 3\r\n\r\nabc"
    with receiver.open(whole) as connection:
        assert answer_of(connection) == b"HTTP/1.1 202 Accepted"
        monkeypatch.setattr(guard, "HEAD_SECONDS", 0.3)
        connection.sendall(HEAD)
        assert is_cut(connection)


@pytest.mark.parametrize(
    "headers",
    [
        b"X-A: " + b"a" * (guard.HEAD_BYTES_MAX + 1),
        b"X-A: " + b"a" * (guard.HEAD_BYTES_MAX + 1) + b"\r\n\r\n",
        b"".join(b"X-%d: a\r\n" % number for number in range(5_000)) + b"\r\n",
        b"\x00\xff not HTTP at all\r\n\r\n",
    ],
    ids=["one line without an end", "one line", "many lines", "nonsense"],
)
def test_given_headers_that_are_too_large_or_malformed_then_they_are_refused_and_the_connection_closed(
    headers: bytes, start: Callable[[], Receiver]
) -> None:
    receiver = start()
    with receiver.open(HEAD + headers) as connection:
        assert answer_of(connection).startswith(b"HTTP/1.1 400")
        assert is_cut(connection)
    assert (receiver.deliver(), receiver.noise()) == (202, [])


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1),
        b"Content-Length: 99999999999999999999999999999999999999\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + (b"100000\r\n" + b"a" * 0x100000 + b"\r\n") * 5,
    ],
    ids=["told", "absurd", "chunked"],
)
def test_given_a_body_larger_than_any_delivery_then_it_is_not_read_to_its_end(
    body: bytes, start: Callable[[], Receiver]
) -> None:
    receiver = start()
    with receiver.open() as connection:
        try:
            connection.sendall(HEAD + body)
            status = answer_of(connection)
        except ConnectionError:
            status = b""
        assert status.split(b" ")[1:2] in ([], [b"413"], [b"400"])
        assert is_cut(connection)
    assert (receiver.deliver(), receiver.box.stored, receiver.noise()) == (202, ["order 7"], [])


def test_given_more_bodies_at_once_than_memory_is_set_aside_for_then_the_next_is_told_to_come_again(
    start: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(limit_bytes=1_000)
    monkeypatch.setattr(receiver, "Memory", lambda: memory)
    found = start()
    half = HEAD + b"Signed: yes\r\nContent-Length: 900\r\n\r\n" + b"a" * 899
    with found.open(half):
        assert seen_in_time(lambda: memory.held_bytes == 899)
        assert found.deliver("b" * 200) == 503
    assert seen_in_time(lambda: memory.held_bytes == 0)
    assert found.deliver("b" * 200) == 202


def test_given_an_upload_that_is_given_up_then_nothing_is_stored_and_no_traceback_is_logged(
    start: Callable[[], Receiver],
) -> None:
    receiver = start()
    for body in (b"Content-Length: 100\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"):
        connection = receiver.open(HEAD + b"Signed: yes\r\n" + body)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.close()
    assert (receiver.deliver(), receiver.box.stored, receiver.noise()) == (202, ["order 7"], [])


def test_given_more_half_open_requests_than_connections_then_a_delivery_comes_through(
    start: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "connections_max", lambda _: 4)
    receiver = start()
    with ExitStack() as crowd:
        for _ in range(60):
            crowd.enter_context(receiver.open(HEAD))
        assert receiver.deliver() == 202
    assert [line["why"] for line in receiver.lines] == ["there are too many connections"]


def test_given_uploads_under_way_at_the_end_then_it_ends_all_the_same(
    start: Callable[[], Receiver],
) -> None:
    receiver = start()
    with receiver.open(HEAD + b"Content-Length: 100\r\n\r\nabc"), receiver.open(HEAD):
        assert receiver.deliver() == 202
    assert receiver.noise() == []


def test_given_a_flood_of_unproved_deliveries_then_the_log_tells_of_it_once_and_counts(
    start: Callable[[], Receiver],
) -> None:
    receiver = start()
    assert {receiver.deliver(signed="no") for _ in range(200)} == {401}
    assert [(line["action"], line["why"], line["side"]) for line in receiver.lines] == [
        ("webhook.refused", "the signature is wrong", "shopify")
    ]


# --- What is told, and how many may come --------------------------------------------------------------------


def test_a_refusal_is_told_at_once_and_then_counted_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    at = [0.0]

    class Log:
        def warning(self, event: str, **fields: object) -> None:
            lines.append(json.dumps([event, fields], sort_keys=True))

    monkeypatch.setattr(refusals, "log", Log())
    told = RefusalLog(lambda: at[0])
    for second in range(int(EVERY_SECONDS) + 1):
        at[0] = float(second)
        for _ in range(100):
            told.note("webhook.refused", "unsigned", "shopify")
    told.note("webhook.refused", "unsigned", "flow")

    assert [json.loads(line)[1] for line in lines] == [
        {"action": "webhook.refused", "side": "shopify", "why": "unsigned"},
        {"action": "webhook.refused", "side": "shopify", "why": "unsigned", "more": 5_999},
        {"action": "webhook.refused", "side": "flow", "why": "unsigned"},
    ]


def test_reasons_without_end_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    told = RefusalLog(lambda: 0.0)
    for number in range(REASONS_MAX * 2):
        told.note("webhook.refused", str(number))
    assert len(told._told) == REASONS_MAX


@pytest.mark.parametrize(
    ("descriptors", "connections"), [(1_024, CONNECTIONS_MAX), (8_192, CONNECTIONS_MAX), (256, 64), (2, 1)]
)
def test_three_quarters_of_the_descriptors_are_kept_for_the_worker(
    descriptors: int, connections: int
) -> None:
    assert connections_max(descriptors) == connections
