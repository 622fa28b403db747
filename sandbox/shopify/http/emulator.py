"""The emulator: its HTTP surface, put together from the shop's parts."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from aiohttp import web

from sandbox.clock import SandboxClock, utc_now
from sandbox.control_values import Json
from sandbox.emulator import Emulator
from sandbox.shopify.bulk.operations import RESULTS_PATH, UPLOAD_PATH, BulkOperations, UploadRefused
from sandbox.shopify.graphql.engine import Client, Engine, GraphQLRequest
from sandbox.shopify.graphql.versions import served_version
from sandbox.shopify.http import control, control_cards
from sandbox.shopify.http.access import ALL_SCOPES
from sandbox.shopify.http.multipart import parts_of
from sandbox.shopify.http.oauth import OAuth, OAuthRefused
from sandbox.shopify.http.throttle import PLAN_LIMITS, Bucket, Plan
from sandbox.shopify.shop.behaviour import FIXED, ShopifyBehaviour
from sandbox.shopify.shop.seeding import seed_cards
from sandbox.shopify.shop.state import ShopState
from sandbox.shopify.webhooks.deliveries import Webhooks
from sandbox.stats import Operation, OperationKind, Stats
from sandbox.switches import Switches

CLIENT_ID = "giftsync-sandbox-app"
_GRAPHQL_PATH = re.compile(r"/admin/api/(?P<version>[\w-]+)/graphql\.json")
_TOKEN_PATH = "/admin/oauth/access_token"
_AUTHORIZE_PATH = "/admin/oauth/authorize"
_BULK_TICK_S = 0.02
_RETRY_LOOK_S = 60.0

Handler = Callable[[web.Request, bytes, Operation], web.Response]


@dataclass
class ShopifyStats(Stats):
    """The shared counters, and how many cards were sent to people."""

    state: ShopState | None = None

    def as_json(self) -> dict[str, object]:
        sent = 0 if self.state is None else self.state.notifications_sent
        return {**super().as_json(), "notifications": sent}


class ShopifyEmulator(Emulator):
    """One Shopify shop with one app. The same `seed` and the same calls give the same shop."""

    def __init__(
        self,
        *,
        token: str,
        api_secret: str,
        shop: str = "giftsync-sandbox.myshopify.com",
        client_id: str = CLIENT_ID,
        currency: str = "NOK",
        plan: str = Plan.STANDARD,
        timezone: str = "Europe/Oslo",
        seed: int = 0,
        cards: int = 0,
        latency_ms: int = 0,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        behaviour: ShopifyBehaviour | None = None,
        scopes: tuple[str, ...] = ALL_SCOPES,
    ) -> None:
        """Open the shop.

        `token` is the app's permanent Admin API token, `api_secret` its client secret, which signs webhooks.
        `plan` is one of Plan and sets the query points; `cards` were bought before now.
        `clock` gives zone-aware wall time, `monotonic` seconds that only grow. `scopes` are the app's.
        """
        super().__init__(latency_ms=latency_ms, clock=SandboxClock(clock, monotonic))
        self.behaviour = behaviour or ShopifyBehaviour()
        self.state = ShopState(
            shop=shop,
            currency=currency,
            timezone=ZoneInfo(timezone),
            behaviour=self.behaviour,
            clock=self.clock.wall,
            monotonic=self.clock.monotonic,
            seed=seed,
        )
        seed_cards(self.state, cards)
        self.stats = ShopifyStats(state=self.state)
        self.webhooks = Webhooks(self.state, api_secret)
        self.state.listeners.append(self.webhooks.on_event)
        self.bulk = BulkOperations(self.state)
        bucket = Bucket(PLAN_LIMITS[Plan(plan)], self.clock.monotonic)
        self.engine = Engine(self.state, Plan(plan), client_id, bucket, self.bulk, self.webhooks)
        self.oauth = OAuth(self.state, client_id, api_secret, token, scopes)
        self._wake = asyncio.Event()
        self._delivering = False
        self._ticking = False

    def application(self) -> web.Application:
        app = super().application()
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        await self.webhooks.close()

    # What the shared part asks for.

    def name_operation(self, request: web.Request, body: bytes) -> Operation:
        match = _GRAPHQL_PATH.fullmatch(request.path)
        if match is None:
            kind: OperationKind = "query" if request.method == "GET" else "mutation"
            return Operation(kind, f"{request.method} {self._resource(request.path)}")
        wanted = GraphQLRequest.of(body)
        named = None if wanted is None else self.engine.name(served_version(match["version"]), wanted)
        if named is None:
            return Operation("query", "invalid request")
        return Operation(cast(OperationKind, named[0]), named[1])

    async def api(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        self._catch_up()
        response = self._handler(request)(request, body, operation)
        self._run_background()
        return response

    def throttled(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        version = self._version(request)
        return self._json(self.engine.throttled(version, GraphQLRequest.of(body)), version=version)

    def server_error(self) -> web.Response:
        return self._json({"errors": "Internal Server Error"}, status=500)

    async def refused(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        """A gift-card write gets a user error without a known reason; anything else HTTP 403."""
        if not operation.name.startswith("giftCard") or operation.kind != "mutation":
            return self._json({"errors": "Forbidden"}, status=403, version=self._version(request))
        self.state.refusing = True
        try:
            return await self.api(request, body, operation)
        finally:
            self.state.refusing = False

    def switches(self) -> Switches:
        return Switches(self.behaviour, FIXED)

    def clock_changed(self) -> None:
        self._wake.set()
        self._run_background()

    def cards(self) -> list[dict[str, object]]:
        self._catch_up()
        return [control.card_truth(self.state, card) for card in self.state.cards]

    def control(self) -> dict[str, Callable[[Json], Awaitable[Json]]]:
        calls = {
            "purchase": control.purchase,
            "checkout": control.checkout,
            "refund": control.refund,
            "card": control_cards.card,
            "show": control_cards.show,
            "delete": control_cards.delete,
            "lose": control_cards.lose,
            "misread": control_cards.misread,
            "currency": control_cards.currency,
        }
        return {
            **{name: self._controlled(call) for name, call in calls.items()},
            "deliver": self._deliver_now,
        }

    # Requests.

    def _handler(self, request: web.Request) -> Handler:
        if _GRAPHQL_PATH.fullmatch(request.path) and request.method == "POST":
            return self._graphql
        if request.path == _TOKEN_PATH and request.method == "POST":
            return self._issue_token
        if request.path == _AUTHORIZE_PATH and request.method == "GET":
            return self._authorize
        if request.path == UPLOAD_PATH and request.method == "POST":
            return self._upload
        if request.path.startswith(RESULTS_PATH) and request.method == "GET":
            return self._result
        return self._not_found

    def _graphql(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        version = self._version(request)
        granted = self.oauth.granted(request.headers.get("X-Shopify-Access-Token"))
        if granted is None:
            message = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            return self._json({"errors": message}, status=401, version=version)
        wanted = GraphQLRequest.of(body)
        if wanted is None:
            errors = {"query": "Required parameter missing or invalid"}
            return self._json({"errors": errors}, status=400, version=version)
        client = Client(granted, f"{request.scheme}://{request.host}")
        answer = self.engine.run(version, wanted, client)
        row = self.stats.of(operation)
        row.points += answer.points
        row.throttles += answer.throttled
        return self._json(answer.body, version=version)

    def _issue_token(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        try:
            return self._json(self.oauth.issue(_form(request, body)))
        except OAuthRefused as refused:
            answer = {"error": refused.error, "error_description": refused.description}
            return self._json(answer, status=self.behaviour.oauth_error_status)

    def _authorize(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        try:
            address = self.oauth.authorize(dict(request.query))
        except OAuthRefused as refused:
            answer = {"error": refused.error, "error_description": refused.description}
            return self._json(answer, status=self.behaviour.oauth_error_status)
        return web.Response(status=302, headers={"Location": address})

    def _upload(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        try:
            self.bulk.upload(parts_of(request.headers.get("Content-Type", ""), body))
        except UploadRefused as refused:
            return web.Response(status=403, text=str(refused))
        return web.Response(status=201)

    def _result(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        token = request.path.removeprefix(RESULTS_PATH).removesuffix(".jsonl")
        result = self.bulk.result(token)
        if result is None:
            return web.Response(status=404)
        return web.Response(body=result, content_type="application/jsonl")

    def _not_found(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        """Everything else, the legacy REST API too, is not offered."""
        return self._json({"errors": "Not Found"}, status=404)

    def _version(self, request: web.Request) -> str:
        match = _GRAPHQL_PATH.fullmatch(request.path)
        return served_version(match["version"] if match else "")

    def _json(self, body: object, *, status: int = 200, version: str | None = None) -> web.Response:
        headers = {} if version is None else {"X-Shopify-API-Version": version}
        return web.json_response(body, status=status, headers=headers)

    def _resource(self, path: str) -> str:
        """The path without its ids, so that counters stay few."""
        if path.startswith(RESULTS_PATH):
            return RESULTS_PATH.strip("/")
        known = {_TOKEN_PATH, _AUTHORIZE_PATH, UPLOAD_PATH}
        return path.strip("/") if path in known else "not found"

    # What goes on beside requests.

    def _catch_up(self) -> None:
        """Do what is due by the clocks before anybody looks."""
        self.state.send_scheduled()
        self.bulk.step()

    def _controlled(
        self, call: Callable[[ShopState, Json], Awaitable[Json]]
    ) -> Callable[[Json], Awaitable[Json]]:
        @functools.wraps(call)
        async def answered(body: Json) -> Json:
            self._catch_up()
            answer = await call(self.state, body)
            self._run_background()
            return answer

        return answered

    async def _deliver_now(self, _: dict[str, object]) -> dict[str, object]:
        """`{}`: try every webhook delivery that is due by the emulator's clock, and tell the counts."""
        await self.webhooks.deliver_due()
        counts = self.webhooks.counts
        return {
            "waiting": self.webhooks.waiting,
            "delivered": counts.delivered,
            "failed_attempts": counts.failed_attempts,
            "given_up": counts.given_up,
            "lost": counts.lost,
            "skipped": counts.skipped,
        }

    def _run_background(self) -> None:
        """Start what has work to do: webhook deliveries, bulk operations."""
        if self.bulk.is_active and not self._ticking:
            self._ticking = True
            self._start(self._tick_bulk())
        if self.webhooks.waiting:
            self._wake.set()
        self._look_after_webhooks()

    def _look_after_webhooks(self) -> None:
        if self.webhooks.waiting and not self._delivering:
            self._delivering = True
            self._start(self._deliver())

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _tick_bulk(self) -> None:
        try:
            while self.bulk.is_active:
                await asyncio.sleep(_BULK_TICK_S)
                self.bulk.step()
        finally:
            self._ticking = False
        self._run_background()

    async def _deliver_due(self) -> None:
        await self.webhooks.deliver_due()
        # What failed waits for its retry.
        self._look_after_webhooks()

    async def _deliver(self) -> None:
        """Deliver what is due, then wait for the next retry or for something new."""
        try:
            while (due := self.webhooks.next_due()) is not None:
                self._wake.clear()
                wait_s = self.clock.machine_seconds(max(0.0, due - self.clock.monotonic()))
                wait_s = min(wait_s, _RETRY_LOOK_S)
                if wait_s > 0:
                    try:
                        await asyncio.wait_for(self._wake.wait(), wait_s)
                    except TimeoutError:
                        continue
                # What comes meanwhile need not wait for slow receivers.
                self._start(self._deliver_due())
                await asyncio.sleep(0)
        finally:
            self._delivering = False


def _form(request: web.Request, body: bytes) -> dict[str, str]:
    """The fields of a posted form or JSON object."""
    if request.content_type == "application/json":
        try:
            content = json.loads(body)
        except ValueError:
            return {}
        return {key: str(value) for key, value in content.items()} if isinstance(content, dict) else {}
    return dict(parse_qsl(body.decode("utf-8", "replace")))
