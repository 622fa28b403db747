"""The receiver of webhooks: prove, store, answer; the work comes after.

A delivery is answered 202 once it is stored, 401 when it is not proved, and 503 when it could not be stored.
Never another 4xx: some sides take any 4xx for a final no and never repeat it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import structlog
from fastapi import FastAPI, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from connectors.base import Listener, Unproved
from sync.ledger.mailbox import Mailbox

log = structlog.get_logger(__name__)

#: Larger than any delivery; what is beyond is not read.
BODY_BYTES_MAX = 4 * 1024 * 1024


def create_receiver(
    listeners: Mapping[str, Listener],
    mailbox: Mailbox,
    clock: Callable[[], datetime],
    wake: Callable[[], None],
) -> FastAPI:
    """An application that receives at `POST /webhooks/{side}`; `wake` is called after each new delivery."""
    app = FastAPI(title="giftsync", openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "up"}

    @app.post("/webhooks/{side}")
    async def receive(side: str, request: Request) -> Response:
        listener = listeners.get(side)
        if listener is None:
            return Response(status_code=404)
        body = await _read(request)
        if body is None:
            return Response(status_code=413)
        headers = {name.lower(): value for name, value in request.headers.items()}
        return Response(status_code=await run_in_threadpool(take, listener, headers, body))

    def take(listener: Listener, headers: Mapping[str, str], body: bytes) -> int:
        try:
            delivery = listener.read_delivery(headers, body)
        except Unproved as error:
            log.warning("a webhook was refused", action="webhook.refused", side=listener.name, why=str(error))
            return 401
        if delivery is None:
            return 202
        try:
            new = mailbox.store(listener.name, delivery, clock())
        except SQLAlchemyError:
            log.error("a webhook could not be stored", action="webhook.lost", side=listener.name)
            return 503
        if new:
            wake()
        return 202

    return app


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
