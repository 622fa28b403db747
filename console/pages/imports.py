"""Historical cards: send a file, see how it is read, plan, start, watch, pause, and take the report home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import FileResponse, Response

from console.reasons import in_words
from console.visit import NotFound, Page, Visit
from console.words import Words
from mappings.sentences import say
from sync.importer.actions import Action, is_left_out
from sync.importer.desk import FILES, LAYOUTS, Busy, ImportDesk, Looked
from sync.importer.files import AUTO, FileProblem, Stated
from sync.importer.report import ImportReport
from sync.importer.report_html import explanation, headline
from sync.ledger.database.engine import LedgerUnavailable
from sync.ledger.imports.rows import Import, Total
from sync.support.people import Role

LISTED = 30
UPLOAD_BYTES_MAX = 32 * 1024 * 1024
REASONS_SHOWN = 12


@dataclass(frozen=True)
class Line:
    """One action or outcome, for a row with a bar. Amounts in minor units."""

    words: str
    cards: int
    money_minor: int
    create_minor: int
    share: float


def _desk(visit: Visit) -> ImportDesk:
    if visit.console.imports is None:
        raise NotFound
    return visit.console.imports


def show(visit: Visit) -> Response:
    return _list(visit)


def _list(visit: Visit, error: str = "", status: int = 200) -> Response:
    desk = _desk(visit)
    return visit.render(
        "imports.html",
        status,
        imports=desk.imports.newest(LISTED),
        running=desk.running,
        layouts=LAYOUTS,
        job=desk.job,
        error=error,
        now=visit.now,
        state_words=state_words,
    )


def act(visit: Visit) -> Response:
    """A file comes in."""
    upload = visit.files.get("file")
    if upload is None or not upload.filename:
        return _list(visit, visit.words.text("Choose a file first."), 400)
    content = upload.file.read()
    token = _desk(visit).take(upload.filename, content)
    visit.console.people.record(
        visit.name, say("sent a file of cards"), say("{count} bytes", count=len(content))
    )
    return visit.go(f"/imports/files/{token}")


def show_file(visit: Visit) -> Response:
    """How the file is read: its layout, its columns, its first rows."""
    stated = _stated(visit.asked("dates"), (), visit.asked("mixed"))
    return _file(visit, visit.asked("layout", AUTO), stated)


def _file(visit: Visit, layout: str, stated: Stated, error: str = "", status: int = 200) -> Response:
    token, looked = visit.request.path_params["token"], None
    try:
        looked = _desk(visit).look(token, layout, stated)
    except FileProblem as problem:
        error, status = problem.said, 422
    return visit.render(
        "import_file.html",
        status,
        looked=looked,
        layout=layout,
        dates=stated.dates or "",
        mixed=stated.mixed_lengths,
        token=token,
        layouts=LAYOUTS,
        error=error,
        row_words=row_words,
    )


def row_words(visit: Visit, looked: Looked) -> list[tuple[str, str, list[str], str]]:
    """The first rows: line, card, then balance, status and expiry; or at last what is wrong."""
    found: list[tuple[str, str, list[str], str]] = []
    for one in looked.first:
        last = one.serial.last_chars if hasattr(one, "serial") else getattr(one, "last_chars", "")
        card = f"••••{last}" if last else ""
        if hasattr(one, "reason"):
            why = in_words(one.reason, visit.words, visit.console.places)
            found.append((str(one.line), card, [], why))
            continue
        money = visit.words.money(one.balance_minor, visit.link.currency)
        status = getattr(one, "status", None)
        shown = visit.words.status(status.value) if status is not None else ""
        found.append((str(one.line), card, [money, shown, visit.words.day(one.expires_on)], ""))
    return found


def act_file(visit: Visit) -> Response:
    """Make a plan of it, or throw it away."""
    desk, token = _desk(visit), visit.request.path_params["token"]
    if visit.form.get("do") == "forget":
        desk.forget(token)
        return visit.go("/imports")
    layout = visit.form.get("layout", AUTO)
    stated = _stated(visit.form.get("dates", ""), visit.chosen("ignored"), visit.form.get("mixed", ""))
    try:
        desk.plan(token, layout, stated)
    except FileProblem as problem:
        return _file(visit, layout, stated, problem.said, 422)
    except Busy:
        return _file(visit, layout, stated, visit.words.text("Another import is at work; wait for it."), 409)
    visit.console.people.record(visit.name, say("planned an import"))
    return visit.go("/imports/now")


def _stated(dates: str, ignored: Sequence[str], mixed: str) -> Stated:
    return Stated(frozenset(ignored), dates.strip() or None, mixed_lengths=mixed == "yes")


def show_now(visit: Visit) -> Response:
    """What is under way; when it has ended, what came of it."""
    job = _desk(visit).job
    if job is None:
        return visit.go("/imports")
    if job.ended and not job.error and job.import_id:
        return visit.go(f"/imports/{job.import_id}")
    return visit.render("import_now.html", job=job)


def show_one(visit: Visit) -> Response:
    return _one(visit)


def _one(visit: Visit, error: str = "", status: int = 200) -> Response:
    desk, plan = _desk(visit), _plan(visit)
    report = desk.reports.get(plan.id)
    totals = desk.imports.totals(plan)
    left = sum(count for count, _ in desk.imports.count_left(plan).values()) if plan.begun_at else 0
    return visit.render(
        "import.html",
        status,
        plan=plan,
        lines=_actions(totals, visit.words),
        reasons=[(in_words(why, visit.words, visit.console.places), n) for why, n in _reasons(totals)],
        does=sum(one.cards for one in totals if Action(one.action).does_something),
        report=report,
        outcomes=[] if report is None else _outcomes(report, visit.words),
        said=_said(report, visit),
        left=left,
        running=desk.running,
        job=desk.job if desk.job is not None and desk.job.import_id == plan.id else None,
        files=[name for name in FILES if desk.kept(plan.id, name)],
        error=error,
        now=visit.now,
        state_words=state_words,
    )


def _plan(visit: Visit) -> Import:
    try:
        return _desk(visit).imports.get(visit.request.path_params["plan"])
    except LedgerUnavailable:
        raise NotFound from None


def state_words(plan: Import, words: Words) -> str:
    if plan.queued_at is not None:
        return words.text("carried out by the workers")
    return {
        "planned": words.text("planned, not begun"),
        "begun": words.text("begun"),
        "done": words.text("done"),
    }.get(plan.state, plan.state)


def _actions(totals: Sequence[Total], words: Words) -> list[Line]:
    names = {
        Action.ADOPT: words.text("the same on both sides: taken as it is"),
        Action.CREATE_ONLINE: words.text("to be made online"),
        Action.CREATE_POS: words.text("to be made in the store"),
        Action.CONFLICT: words.text("two balances: a person decides"),
        Action.WATCH: words.text("watched: nothing to make now"),
        Action.KNOWN: words.text("known already"),
        Action.SKIP: words.text("left out: nothing to keep in step"),
        Action.REJECT: words.text("rejected"),
    }
    found: dict[Action, list[int]] = {}
    for one in totals:
        sums = found.setdefault(Action(one.action), [0, 0, 0])
        for place, value in enumerate((one.cards, one.found_minor, one.amount_minor)):
            sums[place] += value
    cards = sum(sums[0] for sums in found.values()) or 1
    return [
        Line(said, found[action][0], found[action][1], found[action][2], found[action][0] / cards)
        for action, said in names.items()
        if action in found
    ]


def _reasons(totals: Sequence[Total]) -> list[tuple[str, int]]:
    """Why cards are left out, the most frequent first."""
    found: dict[str, int] = {}
    for one in totals:
        if is_left_out(one.action, one.found_minor) and one.reason:
            found[one.reason] = found.get(one.reason, 0) + one.cards
    return sorted(found.items(), key=lambda one: -one[1])[:REASONS_SHOWN]


def _outcomes(report: ImportReport, words: Words) -> list[Line]:
    cards = report.planned.cards or 1
    return [
        Line(words.text(kind.label), one.cards, one.planned_minor, one.made_minor, one.cards / cards)
        for kind, one in report.tally.by.items()
    ]


def _said(report: ImportReport | None, visit: Visit) -> tuple[str, str]:
    """What the import came to, and what that rests on."""
    if report is None:
        return "", ""
    done, words = report.planned.cards - report.left, visit.words
    line = words.texts(
        "{done} of {count} row done.",
        "{done} of {count} rows done.",
        report.planned.cards,
        done=words.number(done),
    )
    rests_on = words.said(explanation(report, in_terminal=False), visit.console.places)
    return f"{line} {words.said(headline(report))}", rests_on


def act_one(visit: Visit) -> Response:
    desk, plan, do = _desk(visit), _plan(visit), visit.form.get("do", "")
    tell = visit.console.people.record
    try:
        if do == "start" and visit.form.get("sure") == "yes":
            desk.start(plan.id)
            tell(visit.name, say("started an import"), plan.id)
            return visit.go("/imports/now")
        if do == "start":
            return _one(visit, visit.words.text("Say that you are sure: cards will be made."), 400)
        if do == "pause":
            if not desk.pause_queued(plan.id):
                desk.pause()
            tell(visit.name, say("paused an import"), plan.id)
        if do == "cancel":
            desk.cancel(plan.id)
            tell(visit.name, say("cancelled an import"), plan.id)
        if do == "report":
            desk.read_back(plan.id)
            return visit.go("/imports/now")
        if do == "discard":
            desk.discard(plan.id)
            tell(visit.name, say("dropped a plan"), plan.id)
            return visit.go("/imports")
    except Busy:
        return _one(visit, visit.words.text("Another import is at work; wait for it."), 409)
    except LedgerUnavailable as error:
        return _one(visit, visit.words.why(error), 409)
    return visit.go(f"/imports/{plan.id}")


def act_now(visit: Visit) -> Response:
    """Pause what is under way."""
    _desk(visit).pause()
    visit.console.people.record(visit.name, say("paused an import"))
    return visit.go("/imports/now")


def show_kept(visit: Visit) -> Response:
    """One of the import's files. Rejects hold whole numbers, as the file that was sent did."""
    plan, name = _plan(visit), visit.request.path_params["name"]
    path = _desk(visit).kept(plan.id, name)
    if path is None:
        raise NotFound
    if name == "rejects.csv":
        visit.console.people.record(visit.name, say("downloaded rejects"), plan.id)
    return FileResponse(path, media_type=FILES[name], filename=f"import-{plan.id}-{name}")


PAGES = (
    Page("/imports", show, act, needs=Role.SUPPORT, bytes_max=UPLOAD_BYTES_MAX),
    Page("/imports/now", show_now, act_now, needs=Role.SUPPORT),
    Page("/imports/files/{token}", show_file, act_file, needs=Role.SUPPORT),
    Page("/imports/{plan}", show_one, act_one, needs=Role.SUPPORT),
    Page("/imports/{plan}/{name}", show_kept, needs=Role.SUPPORT),
)
