"""One call over the wire: what is believed, what is in doubt, and which connection is used again."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.api.errors import InDoubt, NotSent
from connectors.kit import exchange
from connectors.kit.http import HttpClient
from tests.contract.loopback import closed_port
from tests.faulty_server import faulty_server, whole

OK = b'{"a": 1}'
#: Every answer here comes or ends by itself, however busy the machine is.
CONNECT, READ = 10.0, 30.0


def client(url: str, **headers: str) -> HttpClient:
    return HttpClient(url, headers, CONNECT, READ)


def in_chunks(body: bytes) -> bytes:
    parts = b"".join(
        b"%x\r\n%s\r\n" % (len(body[i : i + 3]), body[i : i + 3]) for i in range(0, len(body), 3)
    )
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


BELIEVED = {
    "with its length": whole(OK),
    "in chunks": in_chunks(OK),
    "compressed": whole(gzip.compress(OK), "Content-Encoding: gzip"),
    "compressed in two members": whole(
        gzip.compress(OK[:3]) + gzip.compress(OK[3:]), "Content-Encoding: gzip"
    ),
    "after an interim answer": b"HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n" + whole(OK),
    "with a length of nothing more": whole(OK, "Content-Encoding: identity"),
}


@pytest.mark.parametrize("answer", BELIEVED.values(), ids=BELIEVED)
def test_an_answer_is_read_whole_and_its_connection_is_used_again(answer: bytes) -> None:
    with faulty_server(lambda: [answer]) as server:
        asked = client(server.url)
        for _ in range(3):
            found = asked.request("POST", "/x", json={"b": 2})
            assert (found.status_code, found.content) == (200, OK)
            assert "X-A" not in found.headers
        assert server.connections == 1
        assert server.bodies == [b'{"b":2}'] * 3


@pytest.mark.parametrize("piece", [1, 7])
def test_an_answer_that_comes_in_small_pieces_is_the_same(piece: int) -> None:
    answer = in_chunks(OK)
    with faulty_server(lambda: [answer[i : i + piece] for i in range(0, len(answer), piece)]) as server:
        assert client(server.url).request("GET", "/x").content == OK


def test_an_answer_without_a_body_is_whole() -> None:
    with faulty_server(lambda: [b"HTTP/1.1 204 No Content\r\n\r\n"]) as server:
        asked = client(server.url)
        assert [asked.request("PUT", "/x").status_code for _ in range(2)] == [204, 204]
        assert server.connections == 1


@contextmanager
def server_that_hangs_up_after(
    answer: bytes, context: ssl.SSLContext | None = None, ended: threading.Semaphore | None = None
) -> Iterator[int]:
    """Answers one request on each connection, whatever was asked, and ends it; `ended` counts that."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with suppress(OSError):
                    peer = context.wrap_socket(plain, server_side=True) if context else plain
                    with peer:
                        peer.settimeout(5.0)
                        peer.recv(65_536)
                        peer.sendall(answer)
                if ended is not None:
                    ended.release()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5.0)


def test_a_connection_that_the_host_has_closed_is_replaced_before_anything_is_sent() -> None:
    ended = threading.Semaphore(0)
    with server_that_hangs_up_after(whole(OK), ended=ended) as port:
        asked = client(f"http://127.0.0.1:{port}")
        for _ in range(4):
            assert asked.request("POST", "/x", json={}).content == OK
            # A host that hangs up while the next request is on its way leaves it in doubt.
            assert ended.acquire(timeout=READ)


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    with server_that_hangs_up_after(b"HTTP/1.1 200 OK\r\n\r\n" + OK) as port:
        assert client(f"http://127.0.0.1:{port}").request("GET", "/").content == OK


DOUBTED = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + OK,
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "two lengths": whole(OK, "Content-Length: 4"),
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "an unknown compression": whole(OK, "Content-Encoding: br"),
    "a broken compression": whole(b"\x1f\x8b" + OK, "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("answer", DOUBTED.values(), ids=DOUBTED)
def test_an_answer_that_is_not_whole_or_not_readable_is_in_doubt(answer: bytes) -> None:
    with server_that_hangs_up_after(answer) as port, pytest.raises(InDoubt) as told:
        client(f"http://127.0.0.1:{port}").request("POST", "/x", json={})
    assert not isinstance(told.value, NotSent)


def test_bytes_after_an_answer_are_not_taken_for_the_next_one() -> None:
    stray = whole(b"stray")
    with faulty_server(lambda: [whole(OK) + stray]) as server:
        asked = client(server.url)
        assert [asked.request("GET", "/").content for _ in range(3)] == [OK] * 3
        assert server.connections == 3


def test_no_connection_is_not_sent() -> None:
    with pytest.raises(NotSent):
        client(f"http://127.0.0.1:{closed_port()}").request("POST", "/x", json={})


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "nonsense", "http://127.0.0.1:port"])
def test_an_address_that_is_none_is_not_sent(url: str) -> None:
    with pytest.raises(NotSent):
        client(url).request("GET", "/x")


@pytest.mark.parametrize("value", ["a\r\nX-Other: 1", "a\nb", "a\0b", "n\u0142"])
def test_a_header_that_would_end_its_line_is_never_sent(value: str) -> None:
    with faulty_server(lambda: [whole(OK)]) as server:
        with pytest.raises(NotSent):
            client(server.url, Authorization=value).request("GET", "/x")
        with pytest.raises(NotSent):
            client(server.url).request("GET", f"/x {value}")
        assert server.bodies == []


def test_a_body_that_fills_the_connection_is_sent_whole() -> None:
    body = b"x" * 20_000_000
    with faulty_server(lambda: [whole(OK)]) as server:
        found = client(server.url).request("POST", "/x", content=body)
        assert (found.content, server.bodies) == (OK, [body])


def test_a_host_that_takes_no_more_of_a_body_is_waited_for_until_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = HttpClient(f"http://127.0.0.1:{silent.getsockname()[1]}", {}, 0.2, 0.3)
        with pytest.raises(InDoubt, match="in time"):
            asked.request("POST", "/x", content=b"x" * 20_000_000)


def test_headers_of_one_request_are_not_those_of_the_next() -> None:
    with faulty_server(lambda: [whole(OK)]) as server:
        asked = client(server.url, Authorization="a")
        sent = [
            asked.request("POST", "/x", json={}, headers={"X-Key": "1"}).request.headers,
            asked.request("POST", "/x", json={"b": 2}).request.headers,
            asked.request("GET", "/x").request.headers,
        ]
        assert [one.get("X-Key") for one in sent] == ["1", None, None]
        assert [one.get("Content-Length") for one in sent] == ["2", "7", None]
        assert [one["authorization"] for one in sent] == ["a"] * 3


def certificate(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    alternative = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.mark.parametrize(
    ("name", "trusted"),
    [("127.0.0.1", True), ("127.0.0.1", False), ("other.example", True)],
    ids=["trusted", "unknown issuer", "another host's"],
)
def test_only_a_host_whose_certificate_fits_is_spoken_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    file = certificate(tmp_path, name)
    if trusted:
        monkeypatch.setattr(exchange, "DEFAULT_CA_BUNDLE_PATH", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    ended = threading.Semaphore(0)
    with server_that_hangs_up_after(whole(OK), context, ended) as port:
        asked = client(f"https://127.0.0.1:{port}")
        if trusted and name == "127.0.0.1":
            for _ in range(2):
                assert asked.request("GET", "/").content == OK
                assert ended.acquire(timeout=READ)
        else:
            with pytest.raises(NotSent, match="certificate"):
                asked.request("GET", "/")


def test_a_host_that_speaks_no_tls_is_sent_nothing() -> None:
    with (
        server_that_hangs_up_after(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port,
        pytest.raises(NotSent, match="no secure connection"),
    ):
        client(f"https://127.0.0.1:{port}").request("POST", "/", json={})
