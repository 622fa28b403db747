"""Imports that people drive from a page: a file comes in, a plan is made, started, paused and reported.

One thing at a time, in a thread of this process. Whatever is cut short stays in the ledger, and goes on when
somebody says so.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import structlog

from connectors.api.bulk import Lister
from connectors.api.errors import SideError
from connectors.api.side import Side
from mappings.readers import ENGLISH, Reader
from mappings.sentences import say
from sync.importer.actions import ImportContext
from sync.importer.apply import Importer
from sync.importer.files import AUTO, CardFile, FileProblem, Stated, layout_of, open_card_file, private_file
from sync.importer.outcomes import RowOutcome
from sync.importer.plan import Planner, Stopped
from sync.importer.planfile import choose_rows, write_plan
from sync.importer.progress import ImportProgress, StopSignal
from sync.importer.report import ImportReport, RowsFile, make_report
from sync.importer.report_html import RowsShown, render_html
from sync.importer.sheets.formats import FIELD_WORDS, FORMATS, Role
from sync.importer.sheets.rows import FileCard, OnlineCard, Reject, Terms
from sync.ledger.database.engine import LedgerUnavailable
from sync.ledger.database.private_files import make_private_folder, open_private
from sync.ledger.imports.rows import Import, Imports
from sync.reconcile.work import Link

log = structlog.get_logger(__name__)

ROWS_SHOWN = 8
#: The layouts that people can choose by name.
LAYOUTS = (AUTO, *(one.name for one in FORMATS))
_TOKEN = re.compile(r"[0-9a-f]{32}")


class Busy(Exception):
    """Another import is at work."""


@dataclass(frozen=True)
class Looked:
    """A file as it would be read."""

    token: str
    name: str
    layout: str
    encoding: str
    rows: int
    #: The columns of the file, and what each is taken for; empty: it is not read.
    columns: Sequence[tuple[str, str]]
    first: Sequence[FileCard | OnlineCard | Reject]
    #: Columns that are not read though they sound as if they mattered, and as what.
    suggesting: Sequence[tuple[str, str]]


@dataclass
class Job:
    """What is under way, or ended last."""

    doing: str
    import_id: str = ""
    progress: ImportProgress = field(default_factory=ImportProgress)
    halt: StopSignal = field(default_factory=StopSignal)
    #: Of a plan that is being made: rows looked at, and how many there are (0: not known).
    done: int = 0
    total: int = 0
    words: str = ""
    ended: bool = False
    error: str = ""


@dataclass
class ImportDesk:
    """Drives the imports of one link."""

    link: Callable[[], Link]
    imports: Imports
    folder: Path
    #: What decides the fate of a card; asks the shop for its limit.
    context: Callable[[], ImportContext]
    lister: Callable[[], Lister]
    #: What carries a plan out, beside the worker of this process.
    importer_of: Callable[[Import, StopSignal], Importer]
    #: Whether a plan that is started is left to the link's workers, which may be elsewhere.
    queues: bool = False
    #: Of the reports.
    reader: Reader = ENGLISH
    job: Job | None = None
    reports: dict[str, ImportReport] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    # --- a file ---------------------------------------------------------------------------------------------

    def take(self, name: str, content: bytes) -> str:
        """Keep a file that somebody sent, readable by giftsync alone; gives its token."""
        token = secrets.token_hex(16)
        place = self.folder / token
        make_private_folder(self.folder)
        make_private_folder(place)
        plain = re.sub(r"[^\w.-]", "_", Path(name.replace("\\", "/")).name)[-80:].lstrip(".") or "cards.csv"
        with os.fdopen(open_private(place / plain, os.O_WRONLY | os.O_TRUNC), "wb") as file:
            file.write(content)
        return token

    def look(self, token: str, layout: str, stated: Stated) -> Looked:
        """The file with its first rows. Raises FileProblem."""
        file = self._file(token, layout, stated)
        habits = file.habits
        taken = {index: what for what, index in habits.columns.items()}
        columns = [
            (name, FIELD_WORDS[taken[i]] if i in taken else "") for i, name in enumerate(habits.header)
        ]
        cards = (one for one in file.cards(self._terms) if isinstance(one, FileCard | OnlineCard | Reject))
        return Looked(
            *(token, file.name, habits.layout.name, file.encoding.removesuffix("-sig"), habits.rows, columns),
            first=list(islice(cards, ROWS_SHOWN)),
            suggesting=habits.suggesting,
        )

    def forget(self, token: str) -> None:
        """Delete a file that somebody sent."""
        if _TOKEN.fullmatch(token):
            shutil.rmtree(self.folder / token, ignore_errors=True)

    @property
    def _terms(self) -> Terms:
        link = self.link()
        return Terms(link.currency, link.timezone)

    def _file(self, token: str, layout: str, stated: Stated) -> CardFile:
        place = self.folder / token
        found = sorted(place.iterdir()) if _TOKEN.fullmatch(token) and place.is_dir() else []
        if not found:
            raise FileProblem(say("the file is not here any more; send it again"))
        if layout not in LAYOUTS:
            raise FileProblem(say("“{name}” is no layout", name=layout))
        file = open_card_file(found[0], layout_of(layout), stated=stated)
        if file.role is Role.POOLS:
            raise FileProblem(say("{name} lists pools, not cards", name=file.name))
        return file

    # --- work -----------------------------------------------------------------------------------------------

    def plan(self, token: str, layout: str, stated: Stated) -> None:
        """Make a plan of the file. Raises FileProblem or Busy."""
        file = self._file(token, layout, stated)
        file.check_columns()
        self._begin(Job("plan"), lambda job: self._plan(job, token, file))

    def start(self, import_id: str) -> None:
        """Carry a plan out, or go on with it. Raises Busy, or LedgerUnavailable for no such plan."""
        plan = self.imports.get(import_id)
        self._begin(Job("apply", plan.id), lambda job: self._apply(job, plan))

    def read_back(self, import_id: str) -> None:
        """Make the report anew, with every card read from both sides."""
        plan = self.imports.get(import_id)
        self._begin(Job("report", plan.id), lambda job: self._report(job, plan))

    def pause(self) -> None:
        """What is done stays done."""
        if self.job is not None:
            self.job.halt.set()
            self.job.halt.stop.set()

    def pause_queued(self, import_id: str) -> bool:
        """Have workers leave a plan as it is; whether they had it."""
        return self.imports.pause(self.imports.get(import_id))

    def cancel(self, import_id: str) -> None:
        """Take rows for which nothing was done yet out of a plan."""
        self.imports.cancel(self.imports.get(import_id))

    def close(self) -> None:
        """Pause, and wait until nothing is under way."""
        self.pause()
        if self._thread is not None:
            self._thread.join(10)

    @property
    def running(self) -> Job | None:
        return None if self.job is None or self.job.ended else self.job

    def _begin(self, job: Job, work: Callable[[Job], None]) -> None:
        with self._lock:
            if self.running is not None:
                raise Busy
            self.job = job
        self._thread = threading.Thread(target=self._run, args=(job, work), name="import", daemon=True)
        self._thread.start()

    def _run(self, job: Job, work: Callable[[Job], None]) -> None:
        try:
            work(job)
        except Stopped:
            job.error = say("It was stopped; nothing was changed.")
        except FileProblem as problem:
            job.error = problem.said
        except (SideError, LedgerUnavailable) as error:
            job.error = error.args[0]
        except Exception as error:  # noqa: BLE001 the thread ends here, and the page says so
            log.error("an import failed", action="import.failed", why=type(error).__name__)
            job.error = say("It went wrong, and what was not done is still to be done. The log says more.")
        finally:
            job.ended = True

    def _plan(self, job: Job, token: str, file: CardFile) -> None:
        def progress(doing: str, done: int, total: int) -> None:
            job.words, job.done, job.total = doing, done, total

        planner = Planner(self.link(), self.imports, self.context(), progress, job.halt.stop)
        made, _ = planner.plan([file], self.lister())
        job.import_id = made.id
        place = self.folder / made.id
        make_private_folder(place)
        write_plan(place / "plan.csv", self.imports, made)
        file.write_rejects(place / "rejects.csv", self.imports.rejected_lines(made, 0))
        self.forget(token)

    def _apply(self, job: Job, plan: Import) -> None:
        if plan.begun_at is None:
            choose_rows(self.folder / plan.id / "plan.csv", self.imports, plan)
        job.progress.rows = sum(count for count, _ in self.imports.count_left(plan).values())
        importer = self.importer_of(plan, job.halt)
        importer.progress = job.progress
        if self.queues:
            self.imports.queue(plan, self.link().clock(), in_bulk=importer.chooses_mass(plan))
            return
        importer.apply(plan)
        if not job.halt.is_set():
            self._report(job, plan)

    def _report(self, job: Job, plan: Import) -> None:
        job.progress.say(say("reading every card back for the report"))
        fresh, link, shown = self.imports.get(plan.id), self.link(), RowsShown()
        place = self.folder / plan.id
        make_private_folder(self.folder)
        make_private_folder(place)
        sides: Mapping[str, Side] = link.sides
        with private_file(place / "report.csv", "utf-8-sig") as table:
            rows = RowsFile(table, fresh)

            def each(told: RowOutcome) -> None:
                rows.write(told)
                shown.add(told)

            found = make_report(self.imports, fresh, tuple(sides), link.clock, dict(sides), each=each)
        with private_file(place / "report.html") as page:
            page.write(render_html(found, shown.rejected, shown.waiting, shown.others, self.reader))
        self.reports[plan.id] = found

    # --- what is there --------------------------------------------------------------------------------------

    def kept(self, import_id: str, name: str) -> Path | None:
        """One of an import's files, if it is there."""
        path = self.folder / import_id / name
        allowed = re.fullmatch(r"\d{8}-[0-9a-f]{6}", import_id)
        return path if allowed and name in FILES and path.is_file() and path.stat().st_size else None

    def discard(self, import_id: str) -> None:
        """Drop a plan that was never begun, with its files. Raises LedgerUnavailable."""
        self.imports.discard(self.imports.get(import_id))
        shutil.rmtree(self.folder / import_id, ignore_errors=True)


#: What can be downloaded of an import, and as what.
FILES = {
    "plan.csv": "text/csv",
    "rejects.csv": "text/csv",
    "report.csv": "text/csv",
    "report.html": "text/html",
}
