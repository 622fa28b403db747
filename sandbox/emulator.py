"""What both emulators share: an HTTP application with faults, latency, counters and a control plane.

An emulator answers its side's real API in `api`. Everything under `/_sandbox/` is the control plane, which
tells the truth at once: it is never delayed, throttled or broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.log import server_logger

from sandbox.answers import send_spoiled
from sandbox.clock import SandboxClock
from sandbox.clock_control import change_clock
from sandbox.control_values import ControlError, Json
from sandbox.faults import SPOILS_ANSWER, Fault, FaultKind, FaultPlan, FaultRuleError, parse_fault_rules
from sandbox.stats import Operation, Stats
from sandbox.switches import Switches
from sandbox.uploads import without_broken_uploads

__all__ = ["ControlError", "Emulator"]

REQUEST_BYTES_MAX = 128 * 1024 * 1024
_CONTROL = "/_sandbox/"


@dataclass
class Emulator(ABC):
    """One emulated side. Runs in one event loop, so that each operation is atomic."""

    latency_ms: int = 0
    clock: SandboxClock = field(default_factory=SandboxClock)
    faults: FaultPlan = field(default_factory=FaultPlan)
    stats: Stats = field(default_factory=Stats)
    #: Waits out the delay, in seconds, of a request that is carried out late.
    wait_late: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, repr=False)
    #: Set when the side is about to stop serving: nobody waits any longer.
    _closing: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)
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
    async def refused(self, request: web.Request, body: bytes, operation: Operation) -> web.Response:
        """The side's own no, for a reason that it does not give; nothing is carried out."""

    @abstractmethod
    def server_error(self) -> web.Response:
        """The side's own HTTP 500."""

    @abstractmethod
    def switches(self) -> Switches:
        """What the facts leave open and this side can change while it serves."""

    def clock_changed(self) -> None:  # noqa: B027 a side that waits for nothing has nothing to do
        """Look again at what waits for a time: the clock was set."""

    @abstractmethod
    def cards(self) -> list[dict[str, object]]:
        """Ground truth: every card with `id, code or number, balance, status, expires, transactions`."""

    @abstractmethod
    def control(self) -> dict[str, Callable[[dict[str, object]], Awaitable[dict[str, object]]]]:
        """This side's own control calls: `POST /_sandbox/<name>` with a JSON object in and out.

        A handler raises ControlError to refuse.
        """

    def application(self) -> web.Application:
        server_logger.addFilter(without_broken_uploads)
        app = web.Application(client_max_size=REQUEST_BYTES_MAX)
        app.router.add_get(_CONTROL, self._get_calls)
        app.router.add_get(f"{_CONTROL}cards", self._get_cards)
        app.router.add_get(f"{_CONTROL}stats", self._get_stats)
        app.router.add_post(f"{_CONTROL}faults", self._post_faults)
        app.router.add_post(f"{_CONTROL}{{name}}", self._post_control)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        app.on_response_prepare.append(self._date)
        app.on_shutdown.append(self._drain)
        return app

    async def _date(self, request: web.Request, response: web.StreamResponse) -> None:
        """The side's answers carry the time of its own clock, right or wrong."""
        if request.path.startswith(_CONTROL):
            return
        shown = self.clock.date_header()
        if shown is None:
            response.headers.popall("Date", None)
        else:
            response.headers["Date"] = shown

    async def _drain(self, _: web.Application) -> None:
        self._closing.set()
        background = list(self._background)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than the side serves."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        operation = self.name_operation(request, body)
        row = self.stats.of(operation)
        row.calls += 1
        fault = self.faults.draw(str(operation))
        if fault is not None:
            row.faults[fault.kind] = row.faults.get(fault.kind, 0) + 1
        if self.latency_ms:
            await self._pause(self.latency_ms / 1000)
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
                await self._pause(fault.delay_ms / 1000)
                return await self.api(request, body, operation)
            case FaultKind.REFUSE:
                return await self.refused(request, body, operation)
            case FaultKind.DOUBLE_APPLY:
                answer = await self.api(request, body, operation)
                await self.api(request, body, operation)
                return answer
        if fault.kind not in SPOILS_ANSWER:
            raise AssertionError(fault.kind)
        answer = await self.api(request, body, operation)
        return await send_spoiled(request, answer, fault, self._pause)

    async def _apply_late(
        self, request: web.Request, body: bytes, operation: Operation, fault: Fault
    ) -> None:
        await self.wait_late(fault.delay_ms / 1000)
        await self.api(request, body, operation)

    async def _get_calls(self, _: web.Request) -> web.Response:
        """What can be called, for a person with curl."""
        calls = {name: (handler.__doc__ or "").strip() for name, handler in sorted(self._calls().items())}
        return web.json_response({"GET": ["cards", "stats"], "POST": {"faults": "fault rules", **calls}})

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
        handler = self._calls().get(request.match_info["name"])
        if handler is None:
            return web.json_response({"error": "no such sandbox call"}, status=404)
        try:
            return web.json_response(await handler(await _json_object(request)))
        except ControlError as error:
            return web.json_response({"error": error.message}, status=error.status)

    def _calls(self) -> dict[str, Callable[[Json], Awaitable[Json]]]:
        return {"clock": self._clock, "behaviour": self._behaviour, **self.control()}

    async def _clock(self, body: Json) -> Json:
        """`{"now"?, "step_s"?, "pass_s"?, "rate"?, "date_header_s"?}`: set the side's clock; tell how it is.

        `now` and `step_s` set the wall clock alone, `pass_s` lets time pass, and `rate` makes it pass faster.
        """
        answer = change_clock(self.clock, body)
        self.clock_changed()
        return answer

    async def _behaviour(self, body: Json) -> Json:
        """`{name: value, …}`: set what the API facts leave open; tell every switch as it then is."""
        return self.switches().change(body)


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
