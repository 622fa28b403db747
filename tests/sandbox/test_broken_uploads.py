"""Clients that give up in the middle of a request, or send what is no HTTP."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.sandbox.conftest_shopify import Shop, running_shop
from tests.sandbox.test_flow_support import Flow, serve

BODIES = {
    "shorter than told": b"Content-Length: 100\r\n\r\nabc",
    "half a chunk": b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "no chunk": b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab",
    "no gzip": b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
}
#: Closing resets the connection instead of ending it.
ABORTS = struct.pack("ii", 1, 0)


@pytest.fixture(params=["shopify", "flow"])
def side(request: pytest.FixtureRequest) -> Iterator[Shop | Flow]:
    with running_shop() if request.param == "shopify" else serve() as served:
        yield served


def is_served(side: Shop | Flow) -> bool:
    return side.session.get(f"{side.url}/_sandbox/stats", timeout=10).status_code == 200


@pytest.mark.parametrize("path", ["/admin/api/2026-10/graphql.json", "/tenants/7/orders", "/_sandbox/sell"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("aborts", [True, False])
def test_given_an_upload_that_is_given_up_then_no_traceback_is_logged_and_the_next_is_served(
    side: Shop | Flow, path: str, body: bytes, aborts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    address = urlsplit(side.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\n".encode() + body)
        # Whatever was sent before is read first.
        assert is_served(side)
        if aborts:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTS)
    assert is_served(side)
    assert [record.getMessage() for record in caplog.records if record.name == "aiohttp.server"] == []


def test_given_a_fault_of_the_sandbox_then_its_traceback_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    with running_shop() as shop:
        monkeypatch.setattr(type(shop.emulator), "name_operation", fails)
        assert shop.session.post(f"{shop.url}/x", timeout=10).status_code == 500
    assert "a mistake of ours" in caplog.text
