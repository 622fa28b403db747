"""The receiver of webhooks: prove, store, answer; the work comes after.

A delivery is answered 202 once it is stored, 401 when it is not proved, and 503 when it could not be stored.
Never another 4xx: some sides take any 4xx for a final no and never repeat it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.api.side import Delivery, InvalidSignature, Listener
from console.guard import Memory
from console.refusals import RefusalLog
from sync.ledger.incoming.deliveries import Inbox, StoreResult

#: Larger than any delivery; what is beyond is not read.
BODY_BYTES_MAX = 4 * 1024 * 1024
#: A body of this size is proved in less time than it takes to wake a thread for it.
PROVED_AT_ONCE_BYTES = 32 * 1024
#: Deliveries that are stored in one transaction.
BATCH_MAX = 50


def create_receiver(
    listeners: Mapping[str, Listener],
    inbox: Inbox,
    clock: Callable[[], datetime],
    wake: Callable[[str, StoreResult], None],
    refusals: RefusalLog | None = None,
) -> Starlette:
    """An application that receives at `POST /webhooks/{side}`; `wake` is called after each new delivery."""
    refused = refusals or RefusalLog()
    memory = Memory()

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "up"})

    async def receive(request: Request) -> Response:
        listener = listeners.get(request.path_params["side"])
        if listener is None:
            return Response(status_code=404)
        upload = Upload(memory)
        try:
            body = await upload.read(request)
            headers = {name.lower(): value for name, value in request.headers.items()}
            if len(body) > PROVED_AT_ONCE_BYTES:
                delivery = await run_in_threadpool(listener.read_delivery, headers, body)
            else:
                delivery = listener.read_delivery(headers, body)
        except InvalidSignature as error:
            refused.note("webhook.refused", str(error), listener.name)
            return Response(status_code=401)
        except UploadRefused as error:
            refused.note("webhook.refused", str(error), listener.name)
            # What is still to come of the body is not read.
            return Response(status_code=error.status, headers={"Connection": "close"})
        except ClientDisconnect:
            return Response(status_code=400)
        finally:
            upload.forget()
        kept = delivery is None or await desk.keep(listener.name, delivery)
        return Response(status_code=202 if kept else 503)

    desk = InboxWriter(inbox, clock, wake, refused)
    return Starlette(routes=[Route("/health", health), Route("/webhooks/{side}", receive, methods=["POST"])])


class InboxWriter:
    """Stores deliveries in a thread. Those that come meanwhile are stored together afterwards.

    A side tells of one event under several topics at once, and a transaction costs more than what it stores.
    """

    def __init__(
        self,
        inbox: Inbox,
        clock: Callable[[], datetime],
        wake: Callable[[str, StoreResult], None],
        refused: RefusalLog,
    ) -> None:
        self._mailbox, self._clock, self._wake, self._refused = inbox, clock, wake, refused
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
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            came: dict[str, list[Delivery]] = {}
            for side, delivery, _ in batch:
                came.setdefault(side, []).append(delivery)
            stored = {side: await run_in_threadpool(self._store, side, came[side]) for side in came}
            for side, _, kept in batch:
                if not kept.done():
                    kept.set_result(stored[side])

    def _store(self, side: str, came: Sequence[Delivery]) -> bool:
        try:
            kept = self._mailbox.store(side, came, self._clock())
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

    async def read(self, request: Request) -> bytes:
        """All of it. Raises UploadRefused, and ClientDisconnect when the sender gives up."""
        told = request.headers.get("content-length", "")
        if told.isascii() and told.isdigit() and int(told[:20]) > BODY_BYTES_MAX:
            raise UploadRefused("it is larger than any delivery", 413)
        chunks: list[bytes] = []
        async for chunk in request.stream():
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
