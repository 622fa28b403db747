"""Requests are counted by part and status; what a sender chooses is no label."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from starlette.types import Message, Receive, Scope, Send

from console.request_metrics import RequestMetrics


def answering(status: int) -> object:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    return app


def ask(
    metrics: RequestMetrics, path: str, status: int, link: str = "", method: str = "POST"
) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    app = metrics.counted(answering(status), link)  # type: ignore[arg-type]
    asyncio.run(app({"type": "http", "path": path, "method": method}, receive, send))  # type: ignore[arg-type]
    return sent


def counted(metrics: RequestMetrics) -> Iterable[tuple[dict[str, str], float]]:
    return [
        (dict(sample.labels), sample.value)
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "giftsync_requests_total"
    ]


@pytest.mark.parametrize(
    ("path", "status", "part", "side"),
    [
        ("/webhooks/shopify", 202, "webhooks", "shopify"),
        ("/webhooks/nobody-knows", 404, "webhooks", ""),
        ("/api/v1/giftcards/validate", 200, "api", ""),
        ("/cards/12", 200, "pages", ""),
    ],
)
def test_given_a_request_then_it_is_counted_once_with_its_part(
    path: str, status: int, part: str, side: str
) -> None:
    metrics = RequestMetrics()

    sent = ask(metrics, path, status, "acme")

    assert [message["type"] for message in sent].count("http.response.body") == 2
    assert counted(metrics) == [({"link": "acme", "part": part, "side": side, "status": f"{status}"}, 1.0)]


def test_given_somebody_who_looks_at_addresses_of_webhooks_then_what_they_made_up_is_no_label() -> None:
    metrics = RequestMetrics()

    for made_up in ("one", "two"):
        ask(metrics, f"/webhooks/{made_up}", 405, method="GET")

    assert counted(metrics) == [({"link": "", "part": "pages", "side": "", "status": "405"}, 2.0)]


def test_given_who_asks_for_health_then_it_is_not_counted() -> None:
    metrics = RequestMetrics()

    for path in ("/health", "/healthz", "/readyz"):
        ask(metrics, path, 200)

    assert counted(metrics) == []
