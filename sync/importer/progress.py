"""What an import has done so far, for whoever watches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from sync.worker.passes import with_error


@dataclass
class StopSignal:
    """Set by the person who stops the import, or by a part of it that cannot go on."""

    stop: threading.Event = field(default_factory=threading.Event)
    _own: threading.Event = field(default_factory=threading.Event, repr=False)

    def is_set(self) -> bool:
        return self._own.is_set() or self.stop.is_set()

    def set(self) -> None:
        self._own.set()


@dataclass
class ImportProgress:
    """Counts of one `import apply`. Thread-safe; `told` is called after each change."""

    told: Callable[[ImportProgress], None] = lambda progress: None
    doing: str = ""
    #: Rows that this apply has before it.
    rows: int = 0
    #: Rows that are over: cards made, adopted, watched, or left alone with a reason.
    done: int = 0
    made: int = 0
    #: Rows whose balance was another than planned; they were decided anew.
    moved: int = 0
    #: Rows that could not be decided, because a side did not answer. They stay in the plan.
    unread: int = 0
    #: Cards that wait for a quiet period or a person.
    waiting: int = 0
    errors: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def say(self, doing: str) -> None:
        with self._lock:
            self.doing = doing
        self.told(self)

    def add(self, **counts: int) -> None:
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)
        self.told(self)

    def fail(self, words: str) -> None:
        with self._lock:
            self.errors = with_error(self.errors, words)
        self.told(self)
