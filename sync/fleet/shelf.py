"""The links that a worker of a fleet has open: opened when a turn of theirs comes, closed when none does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

import structlog

from connectors.api.capabilities import Usage
from sync.ledger.database.engine import LedgerUnavailable
from sync.worker.passes import PassReport
from sync.worker.turns import Kind, Turns
from sync.worker.worker import Worker

log = structlog.get_logger(__name__)

#: A link that no turn has come for in this time is closed.
IDLE_SECONDS = 60.0
#: A link that could not be opened is tried again after this time.
AGAIN_SECONDS = 30.0

#: Gives the worker of a link, by the name of its ledger, with its sides asked who they are.
OpenWorker = Callable[[str], AbstractContextManager[Worker]]


class CannotOpen(Exception):
    """The link cannot be worked on now; what is wrong was told."""


@dataclass
class _Slot:
    #: Held while the link is opened and closed.
    lock: threading.Lock = field(default_factory=threading.Lock)
    turns: Turns | None = None
    version: object = None
    #: Set when it is to be opened anew: its settings were changed, or its ledger is gone.
    ended: threading.Event = field(default_factory=threading.Event)
    stack: ExitStack = field(default_factory=ExitStack)
    users: int = 0
    used_at: float = 0.0
    again_at: float = float("-inf")


class Shelf:
    """Open links by the name of their ledger. Thread-safe."""

    def __init__(
        self,
        open_worker: OpenWorker,
        opened: Callable[[str, Turns], None],
        paces: Mapping[Kind, float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`opened` is told of each link that was opened, with its turns."""
        self._open_worker, self._opened, self._paces = open_worker, opened, paces
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot] = {}
        self._versions: Mapping[str, object] = {}

    @contextmanager
    def held(self, ledger: str) -> Iterator[Turns]:
        """The link's turns; it stays open meanwhile. Raises CannotOpen."""
        with self._lock:
            slot = self._slots.setdefault(ledger, _Slot())
            slot.users += 1
        try:
            with slot.lock:
                if slot.turns is not None and slot.ended.is_set() and slot.users == 1:
                    turns, slot.turns = slot.turns, None
                    self._close(ledger, slot, turns)
                turns = slot.turns or self._open(ledger, slot)
            yield turns
        finally:
            with self._lock:
                slot.users -= 1
                slot.used_at = self._monotonic()

    def expect(self, versions: Mapping[str, object]) -> None:
        """Open links anew whose settings have another version than when they were opened, once they rest."""
        with self._lock:
            self._versions = versions
            for ledger, slot in self._slots.items():
                if slot.turns is not None and slot.version != versions.get(ledger):
                    slot.ended.set()

    def close_idle(self, seconds: float = IDLE_SECONDS) -> None:
        """Close links that no turn has come for, and those whose ledger is gone."""
        with self._lock:
            oldest = self._monotonic() - seconds
            slots = [
                (name, slot)
                for name, slot in self._slots.items()
                if slot.users == 0
                and slot.turns is not None
                and (slot.used_at < oldest or slot.ended.is_set())
            ]
        for name, slot in slots:
            with slot.lock:
                with self._lock:
                    if slot.users:
                        continue
                    turns, slot.turns = slot.turns, None
                if turns is not None:
                    self._close(name, slot, turns)

    def usage(self) -> dict[str, dict[str, Usage]]:
        """What the links that are open have asked of their sides since they were opened."""
        with self._lock:
            found = {name: slot.turns for name, slot in self._slots.items()}
        return {
            name: {side.name: side.usage() for side in turns.worker.link.sides.values()}
            for name, turns in found.items()
            if turns is not None
        }

    def close(self) -> None:
        """Close every link; nobody takes a turn any more."""
        self.close_idle(float("-inf"))

    def __len__(self) -> int:
        return sum(slot.turns is not None for slot in self._slots.values())

    def _open(self, ledger: str, slot: _Slot) -> Turns:
        if self._monotonic() < slot.again_at:
            raise CannotOpen
        slot.ended, slot.stack = threading.Event(), ExitStack()
        slot.version = self._versions.get(ledger)
        try:
            worker = slot.stack.enter_context(self._open_worker(ledger))
            worker.serve_until(slot.ended)
            worker.recover_ownership()
            turns = Turns(worker, PassReport(), worker.start_run("worker"), self._paces)
            worker.read_limits(turns.report)
            self._opened(ledger, turns)
        except Exception as error:
            slot.again_at = self._monotonic() + AGAIN_SECONDS
            slot.stack.close()
            log.error(
                f"a link cannot be worked on; it is tried again in {AGAIN_SECONDS:.0f} s",
                action="link.unavailable",
                ledger=ledger,
                error=str(error) or type(error).__name__,
            )
            raise CannotOpen from error
        slot.turns = turns
        return turns

    def _close(self, ledger: str, slot: _Slot, turns: Turns) -> None:
        worker = turns.worker
        if worker.failure is not None:
            slot.again_at = self._monotonic() + AGAIN_SECONDS
            log.error("a ledger is gone", action="ledger.gone", ledger=ledger, reason=str(worker.failure))
        try:
            if worker.failure is None:
                worker.end_run(turns.run_id, turns.report)
        except (LedgerUnavailable, OSError) as error:
            log.warning("the end of a run is not kept", action="run.unended", error=type(error).__name__)
        finally:
            slot.stack.close()
