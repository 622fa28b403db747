"""The links of a fleet for one of its workers: which of them it works on, and how each is opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from cli.build import NO_SCHEMA, build_worker, open_ledger
from cli.errors import OperatorError
from cli.fleet import Fleet, FleetLink
from cli.importing import queued_imports
from cli.session import check_sides, opened_sharing_sides, report_closed
from config.load import load
from config.settings import Settings
from sync.ledger.database.clock import check_clock
from sync.ledger.database.engine import SCHEMA, parse_url, schema_of
from sync.worker.worker import Worker


@dataclass(frozen=True)
class _Known:
    """The settings of a link as they were read."""

    link: FleetLink
    version: int
    settings: Settings | None
    ledger: str = ""
    database: str = ""
    #: Why it cannot be worked on, in words.
    trouble: str = ""


@dataclass
class Roster:
    """The links of a fleet by the name of their ledger; settings that change are read anew. Thread-safe."""

    fleet: Fleet
    #: Told why a link cannot be worked on, once for each version of its settings.
    say: Callable[[str], None]
    #: Told of the secrets of settings, before anything of them can be in a log line.
    hide: Callable[[Settings], None] = lambda settings: None
    #: The database that holds every ledger; None: the first link's.
    database: str | None = None
    _known: dict[str, _Known] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def versions(self) -> Mapping[str, object]:
        """The ledgers that can be worked on, each with the version of its settings."""
        with self._lock:
            self._known = self.fleet.read_anew(self._known, self._read, self.say)
            return {one.ledger: one.version for one in self._known.values() if not one.trouble}

    def names(self) -> Mapping[str, str]:
        """The links that can be worked on, by the names of their ledgers."""
        with self._lock:
            return {one.ledger: name for name, one in self._known.items() if not one.trouble}

    @contextmanager
    def opened(self, ledger: str) -> Iterator[Worker]:
        """A worker for the link; raises OperatorError where none can be."""
        with self.built(ledger) as (_, worker):
            if worker.generation is not None:
                worker.generation = replace(worker.generation, on_many_machines=True)
            check_clock(worker.engine)
            check_sides(worker)
            yield worker

    @contextmanager
    def built(self, ledger: str) -> Iterator[tuple[Settings, Worker]]:
        """The link's settings and its parts; its sides are asked nothing. Raises OperatorError."""
        with self._lock:
            settings = next((k.settings for k in self._known.values() if k.ledger == ledger), None)
        if settings is None:
            raise OperatorError(f"{self.fleet.folder} has no link with the ledger {ledger}")
        with opened_sharing_sides(settings) as sides, open_ledger(settings) as opened:
            worker = build_worker(settings, opened, sides, report_closed)
            worker.carry_imports = queued_imports(settings, worker, opened)
            yield settings, worker

    def _read(self, link: FleetLink, version: int) -> _Known:
        try:
            settings = load(link.config)
            self.hide(settings)
            url = parse_url(settings.database)
            if url.get_backend_name() != "postgresql":
                return _Known(
                    link,
                    version,
                    None,
                    trouble="its ledger is a file, which one process works on: `giftsync run`",
                )
            database = url.difference_update_query([SCHEMA]).render_as_string(hide_password=False)
            if self.database is None:
                self.database = database
            if database != self.database:
                words = (
                    "its ledger is in another database; each database needs workers and a folder of its own"
                )
                return _Known(link, version, None, trouble=words)
            return _Known(link, version, settings, schema_of(settings.database) or NO_SCHEMA, database)
        except Exception as error:  # noqa: BLE001 one link's settings must not stop the others
            return _Known(link, version, None, trouble=f"its settings cannot be used: {error}")
