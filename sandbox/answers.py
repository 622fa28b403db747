"""Answers that cannot be believed or do not end: what a broken proxy, a broken side or an attacker sends.

The operation has been carried out; only its answer is spoiled.
"""

from __future__ import annotations

import contextlib
import json
import math
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web
from multidict import CIMultiDict

from sandbox.faults import Fault, FaultKind

#: Waits so many seconds, or until the side stops serving.
Pause = Callable[[float], Awaitable[None]]
_BLOCK = b" " * (1 << 20)
_HTML = "<!doctype html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"


async def send_spoiled(
    request: web.Request, answer: web.Response, fault: Fault, pause: Pause
) -> web.StreamResponse:
    """Send the answer as the fault has it."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    match fault.kind:
        case FaultKind.DRIP:
            return await _drip(request, answer, body, fault.delay_ms / 1000, pause)
        case FaultKind.HUGE:
            return await _stream(request, answer, _padded(body, fault.size), {})
        case FaultKind.GZIP_BOMB:
            return await _stream(request, answer, _gzipped(body, fault.size), {"Content-Encoding": "gzip"})
        case FaultKind.DEEP_JSON:
            return _with(answer, b"[" * fault.size + b"]" * fault.size)
        case FaultKind.NOT_A_NUMBER:
            return _with(answer, _without_numbers(body))
        case FaultKind.WRONG_TYPE:
            return web.Response(body=body, status=answer.status, content_type="text/html")
        case FaultKind.HTML:
            return web.Response(text=_HTML, content_type="text/html")
        case _:
            return await _cut(request, answer, body)


def _with(answer: web.Response, body: bytes) -> web.Response:
    return web.Response(body=body, status=answer.status, headers=_headers(answer))


def _headers(answer: web.Response) -> CIMultiDict[str]:
    kept = CIMultiDict(answer.headers)
    kept.popall("Content-Length", None)
    return kept


async def _drip(
    request: web.Request, answer: web.Response, body: bytes, pause_s: float, pause: Pause
) -> web.StreamResponse:
    """One byte at a time, so that no single read ever waits long."""
    stream = web.StreamResponse(status=answer.status, headers=_headers(answer))
    stream.content_length = len(body)
    with contextlib.suppress(ConnectionError):
        await stream.prepare(request)
        for position in range(len(body)):
            await stream.write(body[position : position + 1])
            await pause(pause_s)
            if request.transport is None:
                break
    return stream


async def _stream(
    request: web.Request, answer: web.Response, parts: Iterator[bytes], headers: dict[str, str]
) -> web.StreamResponse:
    stream = web.StreamResponse(status=answer.status, headers={**_headers(answer), **headers})
    with contextlib.suppress(ConnectionError):
        await stream.prepare(request)
        for part in parts:
            await stream.write(part)
    return stream


def _padded(body: bytes, size: int) -> Iterator[bytes]:
    """The answer, still valid JSON, and white space up to `size` bytes in all."""
    yield body
    left = size - len(body)
    while left > 0:
        yield _BLOCK[:left]
        left -= len(_BLOCK)


def _gzipped(body: bytes, size: int) -> Iterator[bytes]:
    """The same as one gzip member; about a thousandth of it goes over the wire.

    One block of white space is compressed once and repeated: a full flush makes it stand for itself.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    yield packer.compress(body) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(_BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum, length = zlib.crc32(body), len(body)
    for _ in range(max(0, math.ceil((size - len(body)) / len(_BLOCK)))):
        yield block
        checksum, length = zlib.crc32(_BLOCK, checksum), length + len(_BLOCK)
    yield packer.flush(zlib.Z_FINISH) + struct.pack("<II", checksum, length & 0xFFFFFFFF)


def _without_numbers(body: bytes) -> bytes:
    """Every number of the answer is NaN, which is no JSON and which many readers take."""

    def spoiled(value: object) -> object:
        if isinstance(value, dict):
            return {key: spoiled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [spoiled(inner) for inner in value]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return math.nan if is_number else value

    return json.dumps(spoiled(json.loads(body or b"null"))).encode()


async def _cut(request: web.Request, answer: web.Response, body: bytes) -> web.StreamResponse:
    """The first half of the body, then a reset."""
    stream = web.StreamResponse(status=answer.status, headers=_headers(answer))
    stream.content_length = max(len(body), 2)
    with contextlib.suppress(ConnectionError):
        await stream.prepare(request)
        await stream.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return stream
