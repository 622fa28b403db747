"""The receiver of webhooks: prove, store, answer; the work comes after.

A delivery is answered 202 once it is stored, 401 when it is not proved, and 503 when it could not be stored.
Never another 4xx: some sides take any 4xx for a final no and never repeat it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.api.webhooks import Delivery, InvalidSignature, Listener
from console.guard import Memory
from console.part import WEBHOOKS, side_of
from console.refusals import RefusalLog
from sync.ledger.incoming.deliveries import Inbox, StoreResult

#: Larger than any delivery; what is beyond is not read.
BODY_BYTES_MAX = 4 * 1024 * 1024
#: A body of this size is proved in less time than it takes to wake a thread for it.
PROVED_AT_ONCE_BYTES = 32 * 1024
#: Deliveries that are stored in one transaction.
BATCH_MAX = 50
#: So long the first one waits for others: a side tells of one event under several topics at once.
GATHER_SECONDS = 0.003

_Headers = Sequence[tuple[bytes, bytes]]
_EMPTY: _Headers = ((b"content-length", b"0"),)
#: What is still to come of the body is not read.
_UNREAD: _Headers = (*_EMPTY, (b"connection", b"close"))


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "up"})


async def _takes_posts(_: Request) -> Response:
    return Response(status_code=405, headers={"Allow": "POST"})


#: What is answered at these addresses beside deliveries.
ROUTES: Sequence[BaseRoute] = (Route("/health", _health), Route(f"{WEBHOOKS}{{side}}", _takes_posts))


@dataclass(frozen=True)
class Receiver:
    """Receives at `POST /webhooks/{side}`, and hands whatever else comes to another application.

    Deliveries come in a rush, four for one payment. They go past the middleware and the routes of an
    application, which cost more than to prove and to store them.
    """

    listeners: Mapping[str, Listener]
    desk: InboxWriter
    refused: RefusalLog
    memory: Memory
    others: ASGIApp = field(default_factory=lambda: Starlette(routes=ROUTES))

    def before(self, others: ASGIApp) -> Receiver:
        """The receiver in front of an application, of which `ROUTES` are a part."""
        return replace(self, others=others)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        side = side_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if side is None:
            await self.others(scope, receive, send)
            return
        try:
            status, headers = await self._answer(side, scope, receive)
        except asyncio.CancelledError:
            # The server stops, and the ledger has not taken it yet: it is to be sent again.
            status, headers = 503, _UNREAD
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, side: str, scope: Scope, receive: Receive) -> tuple[int, _Headers]:
        listener = self.listeners.get(side)
        if listener is None:
            return 404, _EMPTY
        upload = Upload(self.memory)
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            body = await upload.read(headers.get("content-length", ""), receive)
            if len(body) > PROVED_AT_ONCE_BYTES:
                delivery = await run_in_threadpool(listener.read_delivery, headers, body)
            else:
                delivery = listener.read_delivery(headers, body)
        except InvalidSignature as error:
            self.refused.note("webhook.refused", str(error), listener.name)
            return 401, _EMPTY
        except UploadRefused as error:
            self.refused.note("webhook.refused", str(error), listener.name)
            return error.status, _UNREAD
        except ClientDisconnect:
            return 400, _EMPTY
        finally:
            upload.forget()
        kept = delivery is None or await self.desk.keep(listener.name, delivery)
        return (202 if kept else 503), _EMPTY


def create_receiver(
    listeners: Mapping[str, Listener],
    inbox: Inbox,
    clock: Callable[[], datetime],
    wake: Callable[[str, StoreResult], None],
    refusals: RefusalLog | None = None,
    memory: Memory | None = None,
) -> Receiver:
    """An application that receives at `POST /webhooks/{side}`; `wake` is called after each new delivery."""
    refused = refusals or RefusalLog()
    return Receiver(listeners, InboxWriter(inbox, clock, wake, refused), refused, memory or Memory())


class InboxWriter:
    """Stores deliveries in a thread: those together that come within a moment, or while others are stored.

    A side tells of one event under several topics at once, and a transaction costs more than what it stores.
    """

    def __init__(
        self,
        inbox: Inbox,
        clock: Callable[[], datetime],
        wake: Callable[[str, StoreResult], None],
        refused: RefusalLog,
    ) -> None:
        self._inbox, self._clock, self._wake, self._refused = inbox, clock, wake, refused
        self._waiting: list[tuple[str, Delivery, asyncio.Future[bool]]] = []
        self._working: asyncio.Task[None] | None = None

    async def keep(self, side: str, delivery: Delivery) -> bool:
        """Whether the delivery is stored, once that is known."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((side, delivery, kept))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await kept

    async def _work(self) -> None:
        while self._waiting:
            if len(self._waiting) < BATCH_MAX:
                await asyncio.sleep(GATHER_SECONDS)
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            came: dict[str, list[Delivery]] = {}
            for side, delivery, _ in batch:
                came.setdefault(side, []).append(delivery)
            loop = asyncio.get_running_loop()
            # Not Starlette's pool, which takes as long to hand the work over as this takes to do it.
            stored = {side: await loop.run_in_executor(None, self._store, side, came[side]) for side in came}
            for side, _, kept in batch:
                if not kept.done():
                    kept.set_result(stored[side])

    def _store(self, side: str, came: Sequence[Delivery]) -> bool:
        try:
            kept = self._inbox.store(side, came, self._clock())
        except Exception as error:  # noqa: BLE001 the side is told to come again, and the next ones are served
            self._refused.note("webhook.lost", f"it could not be stored ({type(error).__name__})", side)
            return False
        if kept != StoreResult():
            self._wake(side, kept)
        return True


class UploadRefused(Exception):
    """The body is not taken; the message says why."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Upload:
    """The raw body of one request, as it arrives."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._held_bytes = 0

    async def read(self, told: str, receive: Receive) -> bytes:
        """All of it; the sender has `told` its length. Raises UploadRefused, and ClientDisconnect when the
        sender gives up.
        """
        if told.isascii() and told.isdigit() and int(told[:20]) > BODY_BYTES_MAX:
            raise UploadRefused("it is larger than any delivery", 413)
        chunks: list[bytes] = []
        is_last = False
        while not is_last:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk, is_last = message.get("body", b""), not message.get("more_body", False)
            if self._held_bytes + len(chunk) > BODY_BYTES_MAX:
                raise UploadRefused("it is larger than any delivery", 413)
            if not self._memory.take(len(chunk)):
                raise UploadRefused("too much is arriving at once", 503)
            self._held_bytes += len(chunk)
            chunks.append(chunk)
        return b"".join(chunks)

    def forget(self) -> None:
        self._memory.give_back(self._held_bytes)
        self._held_bytes = 0
