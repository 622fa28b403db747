"""The receiver of webhooks: prove, store, answer; the work comes after.

A delivery is answered 202 once it is stored, 401 when it is not proved, and 503 when it could not be stored.
Never another 4xx: some sides take any 4xx for a final no and never repeat it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.api.side import Delivery, InvalidSignature, Listener
from sync.ledger.incoming.deliveries import Inbox, StoreResult

log = structlog.get_logger(__name__)

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
) -> Starlette:
    """An application that receives at `POST /webhooks/{side}`; `wake` is called after each new delivery."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "up"})

    async def receive(request: Request) -> Response:
        listener = listeners.get(request.path_params["side"])
        if listener is None:
            return Response(status_code=404)
        body = await _read(request)
        if body is None:
            return Response(status_code=413)
        headers = {name.lower(): value for name, value in request.headers.items()}
        if len(body) > PROVED_AT_ONCE_BYTES:
            status, delivery = await run_in_threadpool(_prove, listener, headers, body)
        else:
            status, delivery = _prove(listener, headers, body)
        if delivery is not None and not await desk.keep(listener.name, delivery):
            status = 503
        return Response(status_code=status)

    desk = InboxWriter(inbox, clock, wake)
    return Starlette(routes=[Route("/health", health), Route("/webhooks/{side}", receive, methods=["POST"])])


class InboxWriter:
    """Stores deliveries in a thread. Those that come meanwhile are stored together afterwards.

    A side tells of one event under several topics at once, and a transaction costs more than what it stores.
    """

    def __init__(
        self, inbox: Inbox, clock: Callable[[], datetime], wake: Callable[[str, StoreResult], None]
    ) -> None:
        self._mailbox, self._clock, self._wake = inbox, clock, wake
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
            words = {"side": side, "count": len(came), "error": type(error).__name__}
            log.error("webhooks could not be stored", action="webhook.lost", **words)
            return False
        if kept != StoreResult():
            self._wake(side, kept)
        return True


def _prove(listener: Listener, headers: Mapping[str, str], body: bytes) -> tuple[int, Delivery | None]:
    """The status to answer with when all goes well, and what is to be stored before, if anything."""
    try:
        return 202, listener.read_delivery(headers, body)
    except InvalidSignature as error:
        log.warning("a webhook was refused", action="webhook.refused", side=listener.name, why=str(error))
        return 401, None


async def _read(request: Request) -> bytes | None:
    """The raw body; None when it is larger than any delivery."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
