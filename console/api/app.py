"""The API as an application: requests in, problems out, and the document that describes both."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from console.api import cards, redemptions
from console.api.access import Doorkeeper
from console.api.desk import Desk
from console.api.problems import CODES, MEDIA_TYPE, ApiProblem, Problem, respond
from sync.ledger.database.engine import LedgerUnavailable

log = structlog.get_logger(__name__)

PREFIX: Final = "/api/v1"
BODY_BYTES_MAX: Final = 16 * 1024
#: A caller may give an id of its own. Only this form, since a card's number could stand in any other.
_REQUEST_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_DESCRIPTION: Final = """\
Ask giftsync before you take a payment with a gift card: the same card cannot be spent twice.

Every write carries an `Idempotency-Key`; repeat a request whose answer was lost with the same key. Amounts
are decimal strings. Errors are problems (RFC 9457) whose `code` is stable. A `202` is not certain yet: ask
again.
"""


def create_api(desk: Desk, doorkeeper: Doorkeeper) -> FastAPI:
    """The API, to be mounted at PREFIX."""
    app = FastAPI(
        title="giftsync",
        version="1",
        description=_DESCRIPTION,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    for router in (cards.router, redemptions.router):
        app.include_router(router)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return framed(app, desk, doorkeeper, BODY_BYTES_MAX)


def framed(app: FastAPI, desk: Desk, doorkeeper: Doorkeeper, body_bytes_max: int) -> FastAPI:
    """The application with what its routes work with, errors as problems, and a frame around each request."""
    app.state.desk, app.state.doorkeeper = desk, doorkeeper
    app.add_exception_handler(ApiProblem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(SQLAlchemyError, _on_unavailable)
    app.add_exception_handler(LedgerUnavailable, _on_unavailable)
    app.add_middleware(_Frame, body_bytes_max=body_bytes_max)
    return app


def mounted(api: FastAPI, prefix: str = PREFIX) -> Mount:
    """The API at its place. Whatever follows the prefix is the API's to answer, a line break too."""
    mount = Mount(prefix, api)
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
    return mount


async def _on_problem(request: Request, error: Exception) -> Response:
    problem = error if isinstance(error, ApiProblem) else ApiProblem("unavailable", "Try again.")
    return respond(problem, _id_of(request))


async def _on_invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    # Never the input: it may be a card's number.
    words = [_fault(e) for e in found]
    if any(e["loc"] == ("body",) for e in found) and "json" not in request.headers.get("content-type", ""):
        # FastAPI reads no body of another type; what curl sends is a form unless it is told otherwise.
        words = ["body: send JSON, with Content-Type: application/json"]
    return respond(ApiProblem("invalid_request", "The request is malformed.", errors=words), _id_of(request))


def _fault(error: Mapping[str, Any]) -> str:
    """What is wrong with one field, or with the body as a whole."""
    if error["type"] == "json_invalid":
        return f"body: {error['ctx']['error']}"
    field = ".".join(str(part) for part in error["loc"][1:]) or str(error["loc"][0])
    return f"{field}: {error['msg'].removeprefix('Value error, ')}"


async def _on_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status == 405:
        # Each route knows its own method only, and one path has several.
        headers["Allow"] = ", ".join(_methods_at(request))
    code = {405: "method_not_allowed", 400: "invalid_request"}.get(status, "not_found")
    return respond(ApiProblem(code, CODES[code][1] + ".", headers=headers), _id_of(request))


def _methods_at(request: Request) -> list[str]:
    """The methods that the request's path has, in order."""
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


async def _on_unavailable(request: Request, error: Exception) -> Response:
    log.error("a request of the API failed", action="api.failed", error=type(error).__name__)
    return respond(ApiProblem("unavailable", "The ledger cannot answer now.", retry_after=1), _id_of(request))


def _id_of(request: Request) -> str:
    return str(request.scope.get("giftsync.request_id", ""))


class _Frame:
    """Gives each request an id, bounds its body, and logs what it came to."""

    def __init__(self, app: ASGIApp, body_bytes_max: int) -> None:
        self._app, self._body_bytes_max = app, body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(8)}"
        scope["giftsync.request_id"] = request_id
        status = 0

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"cache-control", b"no-store"),
                    (b"x-content-type-options", b"nosniff"),
                    *scope.get("giftsync.headers", ()),
                ]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            told = headers.get(b"content-length", b"0")
            if not told.isdigit() or int(told[:12]) > self._body_bytes_max:
                problem = ApiProblem(
                    "too_large", "The request is too large.", headers={"Connection": "close"}
                )
                await respond(problem, request_id)(scope, receive, answer)
            else:
                await self._guarded(scope, _bounded(receive, self._body_bytes_max), answer, request_id)
            route = getattr(scope.get("route"), "path", "")
            log.info(
                "a request of the API was answered",
                action="api.answered",
                method=scope["method"],
                # Paths hold cards' tokens; the route does not.
                route=route,
                status=status,
                caller=scope.get("giftsync.caller", ""),
            )

    async def _guarded(
        self, scope: Scope, receive: Receive, send: Callable[..., Awaitable[None]], request_id: str
    ) -> None:
        try:
            await self._app(scope, receive, send)
        except _TooLarge:
            problem = ApiProblem("too_large", "The request is too large.", headers={"Connection": "close"})
            await respond(problem, request_id)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 what is nobody's fault but ours is told in our words
            log.error("a request of the API failed", action="api.failed", error=type(error).__name__)
            problem = ApiProblem("unavailable", "Something failed here; try again.", retry_after=1)
            await respond(problem, request_id)(scope, receive, send)


class _TooLarge(Exception):
    """More came than was told."""


def _bounded(receive: Receive, body_bytes_max: int) -> Receive:
    taken = 0

    async def take() -> MutableMapping[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > body_bytes_max:
            raise _TooLarge
        return message

    return take


# --- The document -------------------------------------------------------------------------------------------

#: What every call may come to.
_ALWAYS: Final = (400, 401, 403, 404, 413, 429, 503)


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        description=app.description,
        routes=app.routes,
    )
    document["servers"] = [{"url": PREFIX}]
    components = document["components"]
    components["schemas"].pop("HTTPValidationError", None)
    components["schemas"].pop("ValidationError", None)
    components["schemas"]["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    for operations in document["paths"].values():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            statuses = (*_ALWAYS, 409) if method != "get" else _ALWAYS
            for status in statuses:
                operation["responses"][str(status)] = _problem(status)
            for answer in operation["responses"].values():
                answer["headers"] = {"X-Request-Id": {"schema": {"type": "string"}}}
    app.openapi_schema = document
    return document


def _problem(status: int) -> dict[str, Any]:
    codes = ", ".join(f"`{code}`" for code, (of, _) in CODES.items() if of == status)
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": codes, "content": {MEDIA_TYPE: {"schema": schema}}}
