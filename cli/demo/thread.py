"""The emulators in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cli.emulators import Address, SandboxOptions, serving

START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 10.0


class _Thread(threading.Thread):
    """Serves until told to stop. `error` has what kept it from serving."""

    def __init__(self, options: SandboxOptions) -> None:
        super().__init__(name="sandbox", daemon=True)
        self.ready = threading.Event()
        self.address: Address | None = None
        self.error: Exception | None = None
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked_to_stop: asyncio.Event | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 raised again in the thread that waits for us
            self.error = error
        finally:
            self.ready.set()

    async def _serve(self) -> None:
        self._loop, self._asked_to_stop = asyncio.get_running_loop(), asyncio.Event()
        async with serving(self._options) as self.address:
            self.ready.set()
            await self._asked_to_stop.wait()

    def stop(self) -> None:
        if self._loop is not None and self._asked_to_stop is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._asked_to_stop.set)
        self.join(STOP_SECONDS_MAX)


@contextmanager
def sandbox_thread(options: SandboxOptions) -> Iterator[Address]:
    """Both emulators, from when they are ready to the end of the block."""
    thread = _Thread(options)
    thread.start()
    try:
        if not thread.ready.wait(START_SECONDS_MAX):
            raise TimeoutError("the sandbox did not start")
        if thread.error is not None:
            raise thread.error
        if thread.address is None:
            raise RuntimeError("the sandbox is ready, but says not where")
        yield thread.address
    finally:
        thread.stop()
