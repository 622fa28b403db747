"""The overview as it changes: server-sent events with the part of the page that is live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from console.pages.overview import fragment
from console.visit import Console, Visit, cookie_name

LOOK_SECONDS = 0.5
#: A browser that heard nothing for three of these says that the page is stale.
BEAT_SECONDS = 5.0
#: A stream ends after so long, and with it the right to look; the browser comes again.
STREAM_SECONDS_MAX = 600.0


def route(console: Console) -> Route:
    async def live(request: Request) -> Response:
        token = request.cookies.get(cookie_name(request), "")[:200]
        person = await run_in_threadpool(console.people.who, token)
        if person is None:
            return Response(status_code=403)
        visit = Visit(console, request, person, token, console.words(person))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_events(visit), media_type="text/event-stream", headers=headers)

    return Route("/live", live, methods=["GET"])


async def _events(visit: Visit) -> AsyncIterator[str]:
    pulse = visit.console.pulse
    loop = asyncio.get_running_loop()
    began, beat, version, last = loop.time(), loop.time(), -1, ""
    yield "retry: 3000\n\n"
    while not pulse.stopped and loop.time() - began < STREAM_SECONDS_MAX:
        if pulse.version != version:
            version = pulse.version
            page = await run_in_threadpool(fragment, visit)
            if page != last:
                last = page
                lines = "".join(f"data: {line}\n" for line in page.splitlines())
                yield f"event: page\n{lines}\n"
        if loop.time() - beat >= BEAT_SECONDS:
            beat = loop.time()
            yield "event: beat\ndata: .\n\n"
        await asyncio.sleep(LOOK_SECONDS)
