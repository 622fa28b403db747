"""What both emulators share: an HTTP application with faults, latency, counters and a control plane.

An emulator answers its side's real API in `api`. Everything under `/_sandbox/` is the control plane, which
tells the truth at once: it is never delayed, throttled or broken.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from sandbox.faults import Fault, FaultKind, FaultPlan, FaultRuleError, parse_fault_rules
from sandbox.stats import Operation, Stats

REQUEST_BYTES_MAX = 128 * 1024 * 1024


@dataclass
class ControlError(Exception):
    """A control-plane call that is refused; answered as `{"error": message}` with `status`."""

    status: int
    message: str


@dataclass
class Emulator(ABC):
    """One emulated side. Runs in one event loop, so that each operation is atomic."""

    latency_ms: int = 0
    faults: FaultPlan = field(default_factory=FaultPlan)
    stats: Stats = field(default_factory=Stats)
    _background: set[asyncio.Task[None]] = field(default_factory=set, init=False, repr=False)

    @abstractmethod
    def name_operation(self, request: web.Request, body: bytes) -> Operation:
        """Name the API operation that a request asks for, without carrying it out."""

    @abstractmethod
    async def api(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        """Carry out one API request and answer it. Counts its own points and throttles in `stats`."""

    @abstractmethod
    def throttled(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        """The side's own answer to a request that came too fast; nothing is carried out."""

    @abstractmethod
    def server_error(self) -> web.Response:
        """The side's own HTTP 500."""

    @abstractmethod
    def cards(self) -> list[dict[str, object]]:
        """Ground truth: every card with `id, code or number, balance, status, expires, transactions`."""

    @abstractmethod
    def control(self) -> dict[str, Callable[[dict[str, object]], Awaitable[dict[str, object]]]]:
        """This side's own control calls: `POST /_sandbox/<name>` with a JSON object in and out.

        A handler raises ControlError to refuse.
        """

    def application(self) -> web.Application:
        app = web.Application(client_max_size=REQUEST_BYTES_MAX)
        app.router.add_get("/_sandbox/cards", self._get_cards)
        app.router.add_get("/_sandbox/stats", self._get_stats)
        app.router.add_post("/_sandbox/faults", self._post_faults)
        app.router.add_post("/_sandbox/{name}", self._post_control)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        app.on_shutdown.append(self._drain)
        return app

    async def _drain(self, _: web.Application) -> None:
        for task in self._background:
            task.cancel()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        operation = self.name_operation(request, body)
        row = self.stats.of(operation)
        row.calls += 1
        fault = self.faults.draw(str(operation))
        if fault is not None:
            row.faults[fault.kind] = row.faults.get(fault.kind, 0) + 1
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)
        if fault is None:
            return await self.api(request, body, operation)
        return await self._fail(request, body, operation, fault)

    async def _fail(
        self, request: web.Request, body: bytes, operation: Operation, fault: Fault
    ) -> web.StreamResponse:
        match fault.kind:
            case FaultKind.DROP_REQUEST:
                return _hang_up(request)
            case FaultKind.DROP_RESPONSE:
                await self.api(request, body, operation)
                return _hang_up(request)
            case FaultKind.LATE_APPLY:
                task = asyncio.create_task(self._apply_late(request, body, operation, fault))
                self._background.add(task)
                task.add_done_callback(self._background.discard)
                return _hang_up(request)
            case FaultKind.ERROR_500:
                if fault.applied:
                    await self.api(request, body, operation)
                return self.server_error()
            case FaultKind.THROTTLE:
                self.stats.of(operation).throttles += 1
                return self.throttled(request, body, operation)
            case FaultKind.DELAY:
                await asyncio.sleep(fault.delay_ms / 1000)
                return await self.api(request, body, operation)

    async def _apply_late(
        self, request: web.Request, body: bytes, operation: Operation, fault: Fault
    ) -> None:
        await asyncio.sleep(fault.delay_ms / 1000)
        await self.api(request, body, operation)

    async def _get_cards(self, _: web.Request) -> web.Response:
        return web.json_response(self.cards())

    async def _get_stats(self, _: web.Request) -> web.Response:
        return web.json_response(self.stats.as_json())

    async def _post_faults(self, request: web.Request) -> web.Response:
        try:
            seed, rules = parse_fault_rules(await _json_object(request))
        except (FaultRuleError, ControlError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self.faults = FaultPlan(seed, rules)
        return web.json_response({"seed": seed, "rules": len(rules)})

    async def _post_control(self, request: web.Request) -> web.Response:
        handler = self.control().get(request.match_info["name"])
        if handler is None:
            return web.json_response({"error": "no such sandbox call"}, status=404)
        try:
            return web.json_response(await handler(await _json_object(request)))
        except ControlError as error:
            return web.json_response({"error": error.message}, status=error.status)


def _hang_up(request: web.Request) -> web.Response:
    """Close the connection without an answer; the returned response goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _json_object(request: web.Request) -> dict[str, object]:
    try:
        body = json.loads(await request.read() or b"{}")
    except json.JSONDecodeError as error:
        raise ControlError(400, f"the body is not JSON: {error.msg}") from None
    if not isinstance(body, dict):
        raise ControlError(400, "the body must be a JSON object")
    return body
