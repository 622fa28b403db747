"""The application: webhooks, pages, health and metrics, and what others mount beside them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from console.balance import BalancePage
from console.metrics import metrics_of
from console.pages import PAGES, live
from console.receiver import ROUTES, Receiver
from console.rendering import ASSETS, asset
from console.visit import Console, cookie_name, plain_page
from sync.ledger.database.engine import LedgerUnavailable

#: Nothing but what giftsync itself serves; no inline script, no inline style, in no frame.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "cache-control": "no-store",
}
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_A_YEAR = "public, max-age=31536000, immutable"


def create_app(
    receiver: Receiver,
    console: Console | None = None,
    mounts: Sequence[BaseRoute] = (),
    balance: BalancePage | None = None,
) -> ASGIApp:
    """Webhooks are received in any case; there are pages with a `console`. `mounts` come before the pages."""
    routes: list[BaseRoute] = [*ROUTES, *mounts]
    customers: Sequence[BaseRoute] = () if balance is None else balance.routes()
    if console is not None:
        routes += [*_health(console), Mount("/", create_pages(console, customers))]
    elif customers:
        routes.append(Mount("/", _WithHeaders(Starlette(routes=[_ASSETS, *customers]))))
    return receiver.before(Starlette(routes=routes))


def create_pages(console: Console, customers: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The pages alone, with their headers; `customers` are those for people who do not sign in."""

    async def missing(request: Request, _: Exception) -> Response:
        token = request.cookies.get(cookie_name(request), "")[:200]
        words = console.words(await run_in_threadpool(console.people.who, token))
        return plain_page(words, 404, words.text("There is no such page."))

    pages = Starlette(
        routes=[
            _ASSETS,
            live.route(console),
            *customers,
            *(page.route(console) for page in PAGES),
        ],
        exception_handlers={404: missing},
    )
    return _WithHeaders(pages)


class _WithHeaders:
    """Adds what every answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        secure = scope.get("scheme") == "https"

        async def send_with(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                more = dict(HEADERS)
                if secure:
                    more["strict-transport-security"] = "max-age=31536000"
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in more.items() if n.encode() not in there),
                ]
            await send(message)

        await self._app(scope, receive, send_with)


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    known = {path.name for path in ASSETS.iterdir()}
    if name not in known or request.url.path != asset(name):
        return Response(status_code=404)
    kind = _TYPES[name.rpartition(".")[2]]
    return Response((ASSETS / name).read_bytes(), media_type=kind, headers={"cache-control": _A_YEAR})


_ASSETS = Route("/assets/{digest}/{name}", _asset)


def _health(console: Console) -> list[Route]:
    """Whether the process is up, whether it can work, and what it counts."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "up"})

    async def readyz(_: Request) -> Response:
        why = await run_in_threadpool(_not_ready, console)
        return JSONResponse({"status": "ready" if not why else "not ready", "why": why}, 503 if why else 200)

    async def metrics(request: Request) -> Response:
        client = request.client.host if request.client is not None else ""
        if client not in ("127.0.0.1", "::1"):
            # Sums of money are nobody's business outside; a scraper runs on the machine.
            return Response(status_code=404)
        body, kind = await run_in_threadpool(metrics_of, console)
        return Response(body, headers={"content-type": kind, "cache-control": "no-store"})

    def route(path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
        return Route(path, endpoint, methods=["GET"])

    return [route("/healthz", healthz), route("/readyz", readyz), route("/metrics", metrics)]


def _not_ready(console: Console) -> list[str]:
    """Why it cannot work, in words; empty when it can."""
    try:
        console.people.book.is_empty()
        picture = console.pulse.picture()
    except (LedgerUnavailable, SQLAlchemyError):
        return ["the ledger cannot be read"]
    why = [] if picture.standing.worker_runs else ["no worker runs"]
    return [*why, *(["the link is stopped"] if picture.standing.stopped_by else [])]
