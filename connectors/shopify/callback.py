"""The page that Shopify sends the merchant's browser back to after an installation."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

CALLBACK_PATH = "/shopify/callback"
QUERY_BYTES_MAX = 8192

#: Takes the query and gives what to tell the merchant, and whether it is done.
Finish = Callable[[Sequence[tuple[str, str]]], tuple[bool, str]]

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>giftsync</title>
<body style="font-family: sans-serif; margin: 4rem auto; max-width: 34rem">
<h1>{head}</h1><p>{text}</p></body></html>
"""


def create_callback(finish: Finish) -> FastAPI:
    """An application that answers nothing but Shopify's way back."""
    app = FastAPI(title="giftsync", openapi_url=None, docs_url=None, redoc_url=None)

    @app.get(CALLBACK_PATH)
    async def callback(request: Request) -> Response:
        raw = request.scope["query_string"]
        if len(raw) > QUERY_BYTES_MAX:
            return Response(status_code=414)
        query = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)
        done, text = await run_in_threadpool(finish, query)
        page = _PAGE.format(head="Installed" if done else "Not installed", text=html.escape(text))
        headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        return HTMLResponse(page, status_code=200 if done else 400, headers=headers)

    return app
