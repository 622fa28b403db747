"""The Flow Retail emulator: authentication, routing and errors around one tenant (flow.md §1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

from aiohttp import web

from sandbox.clock import SandboxClock, utc_now
from sandbox.emulator import Emulator
from sandbox.flow.behaviour import FIXED, FlowBehaviour
from sandbox.flow.call import Answer, Call
from sandbox.flow.catalog import BRANDS_DEFAULT, Brand, Permission, Store
from sandbox.flow.control import ControlPlane
from sandbox.flow.errors import FlowError, bad_request, error_body, not_found
from sandbox.flow.events import announce_settled
from sandbox.flow.limits import RateLimiter
from sandbox.flow.routes import FREE_ID, find_route
from sandbox.flow.values import PATH_ID, Clock
from sandbox.flow.webhooks import Dispatcher
from sandbox.flow.world import build_world
from sandbox.stats import Operation
from sandbox.switches import Switches


class FlowEmulator(Emulator):
    """One Flow Retail tenant on `/v2`, and its control plane on `/_sandbox/`.

    `cards` historical cards are seeded, the same ones for the same `seed`; `latency_ms` delays every API call
    by so many milliseconds; `clock` must tell zone-aware time. `stores` are further stores beside `store`;
    `tokens` are further bearer tokens with the permissions they have (`token` has all).
    """

    def __init__(
        self,
        *,
        tenant: str = "7",
        store: str = "70",
        token: str,
        currency: str = "NOK",
        seed: int = 0,
        cards: int = 0,
        latency_ms: int = 0,
        clock: Clock = utc_now,
        behaviour: FlowBehaviour | None = None,
        stores: Sequence[Store] = (),
        brands: Sequence[Brand] = BRANDS_DEFAULT,
        tokens: Mapping[str, Collection[Permission]] | None = None,
    ) -> None:
        super().__init__(latency_ms=latency_ms, clock=SandboxClock(clock))
        all_stores = (Store(store), *stores)
        _check_setup(tenant, token, all_stores, brands)
        self.behaviour = behaviour or FlowBehaviour()
        self._permissions = {**(tokens or {}), token: frozenset(Permission)}
        self._limiter = RateLimiter(self.behaviour.rate_limit, self.clock.wall)
        self.world = build_world(
            tenant=tenant,
            stores=all_stores,
            brands=tuple(brands),
            behaviour=self.behaviour,
            clock=self.clock.wall,
            currency=currency,
            seed=seed,
            cards=cards,
            webhooks=Dispatcher(self.behaviour.webhooks, seed, self._spawn),
        )
        self.world.till.on_settled = lambda order: announce_settled(self.world, order)
        self._control = ControlPlane(self.world)

    def application(self) -> web.Application:
        app = super().application()
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        await self.world.webhooks.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def name_operation(self, request: web.Request, body: bytes) -> Operation:
        found = find_route(request.method, request.rel_url.raw_path)
        if found is None:
            return Operation("query", f"{request.method} unknown")
        return found[0].operation

    async def api(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        try:
            permissions, wait_s = self._authenticate(request)
            if wait_s:
                self.stats.of(operation).throttles += 1
                return _too_many(wait_s)
            return _respond(self._carry_out(request, body, permissions))
        except FlowError as error:
            return _respond(Answer(error.status, error_body(error.code, error.message)))

    def throttled(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        return _too_many(self.behaviour.throttle_retry_after_s)

    async def refused(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        return _respond(Answer(422, error_body("NOT_ACCEPTED", "the request was not accepted")))

    def switches(self) -> Switches:
        return Switches(self.behaviour, FIXED)

    def server_error(self) -> web.Response:
        return _respond(Answer(500, error_body("INTERNAL_ERROR", "something went wrong")))

    def cards(self) -> list[dict[str, object]]:
        return self._control.cards()

    def control(self) -> dict[str, Callable[[dict[str, object]], Awaitable[dict[str, object]]]]:
        return self._control.calls()

    def _authenticate(self, request: web.Request) -> tuple[Collection[Permission], int]:
        """The permissions of the bearer token, and seconds to wait when it calls too often."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        permissions = self._permissions.get(token)
        if scheme.lower() != "bearer" or permissions is None:
            raise FlowError(401, "UNAUTHORIZED", "a valid bearer token is needed")
        return permissions, self._limiter.wait_s(token)

    def _carry_out(self, request: web.Request, body: bytes, permissions: Collection[Permission]) -> Answer:
        found = find_route(request.method, request.rel_url.raw_path)
        if found is None:
            raise not_found("path")
        route, ids = found
        self._check_ids(ids)
        call = Call(ids, request.query, body, permissions, self.behaviour)
        return route.handler(self.world, call)

    def _check_ids(self, ids: Mapping[str, str]) -> None:
        for name, text in ids.items():
            if name != FREE_ID and not PATH_ID.fullmatch(text):
                raise bad_request(f"{name} must match ^[A-Za-z0-9-_]+")
        if "tenantUid" in ids and ids["tenantUid"] != self.world.tenant:
            raise not_found("tenant")
        if "storeUid" in ids:
            self.world.store(ids["storeUid"])


def _check_setup(tenant: str, token: str, stores: Sequence[Store], brands: Sequence[Brand]) -> None:
    uids = [store.uid for store in stores]
    codes = [brand.code for brand in brands]
    products = [brand.product_uid for brand in brands]
    if not all(PATH_ID.fullmatch(uid) for uid in (tenant, *uids)):
        raise ValueError("tenant and store uids may have letters, digits, - and _ only")
    if not token or len(set(uids)) < len(uids):
        raise ValueError("a token is needed, and stores need distinct uids")
    if not brands or len(set(codes)) < len(codes) or len(set(products)) < len(products):
        raise ValueError("brands need distinct codes and products, and there must be one")
    if not any(store.takes(brands[0]) for store in stores):
        raise ValueError("no store sells the first brand")


def _respond(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status)
    return web.json_response(answer.body, status=answer.status)


def _too_many(wait_s: int) -> web.Response:
    return web.json_response(
        error_body("TOO_MANY_REQUESTS", "slow down"), status=429, headers={"Retry-After": str(wait_s)}
    )
