"""What a person has to decide: the worklist, one conflict, its decisions with what each would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from connectors.api.card import CardRef
from console.visit import NotFound, Page, Visit
from mappings.money import MoneyError, decimal_from_minor
from mappings.sentences import say
from mappings.serials import Serial, SerialError
from sync.decisions.resolutions import Action
from sync.decisions.words import action_words
from sync.ledger import views
from sync.ledger.views import ConflictOrder
from sync.model import ConflictKind
from sync.support import cases, settle
from sync.support.cases import Listed, Shown
from sync.support.explain import Option
from sync.support.people import Role
from sync.support.settle import NotResolved, Resolution, Resolved, Saw
from sync.support.writes import progress_words, write_words

LISTED = 25
BULK_MAX = 200
WHY_LENGTH_MAX = 500
#: Only worked out, so the reason is not known yet.
NO_REASON = "preview"
#: What is typed before the confirmation, and how long it may be.
TYPED = {"choice": 80, "amount": 40, "card": 80}
#: What can be said of many conflicts at once: it needs neither a side nor an amount.
FOR_MANY = (Action.ACKNOWLEDGE, Action.IGNORE, Action.RETRY, Action.WRITE_OFF, Action.RESUME)


@dataclass(frozen=True)
class Choice:
    """One decision, and what it would do. `cannot` says why that is not known."""

    option: Option
    would: Resolved | None
    cannot: str = ""
    #: Of a card whose rows were changed: what it is made to be stands.
    stands: bool = False

    @property
    def final(self) -> bool:
        """Whether it cannot be taken back, whatever was carried out."""
        return self.stands or self.option.action in (Action.LANDED, Action.NOT_LANDED, Action.LINK)

    @property
    def value(self) -> str:
        """As the form names it."""
        return f"{self.option.action.value}:{self.option.side or ''}"


def said_by(error: Exception) -> str:
    """What the error says, with its values where it is a sentence; `str` would give its English text."""
    words = error.args[0] if error.args else ""
    return words if isinstance(words, str) else str(error)


def show_list(visit: Visit) -> Response:
    kind, closed = visit.asked("kind"), visit.asked("show") == "closed"
    order = ConflictOrder.AGE if visit.asked("order") == ConflictOrder.AGE else ConflictOrder.MONEY
    engine = visit.link.store.engine
    kinds = views.conflict_kinds(engine, closed=closed)
    total = kinds.get(kind, 0) if kind else sum(kinds.values())
    text = visit.asked("page", "1")
    page = max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 6 else 1
    rows = views.open_conflicts(
        engine,
        LISTED,
        (page - 1) * LISTED,
        closed=closed,
        kind=kind or None,
        order=ConflictOrder.NEWEST if closed else order,
    )
    return visit.render(
        "conflicts.html",
        listed=cases.list_rows(visit.link, rows),
        total=total,
        kinds=list(kinds),
        kind=kind,
        order=order,
        closed=closed,
        page=page,
        pages=max(1, -(-total // LISTED)),
        now=visit.now,
    )


def show_csv(visit: Visit) -> Response:
    head = ("id", "kind", "card", "what", "at stake", "currency", "opened", "next step")
    lines: list[tuple[object, ...]] = [head]
    for one in cases.list_cases(visit.link):
        row = one.conflict
        stake = decimal_from_minor(one.at_stake_minor, one.currency)
        opened = visit.words.exact(row.opened_at)
        lines.append((row.id, row.kind, one.ends_in, one.what, stake, one.currency, opened, one.next_step))
    return visit.csv("conflicts.csv", lines)


def show(visit: Visit) -> Response:
    """The conflict; with a decision in the address what it would change, to be confirmed."""
    found, typed = _found(visit), visit.typed()
    if typed is None or (found.advice is None and not _again(visit, found)):
        return _page(visit, found)
    try:
        return _confirmation(visit, found, typed)
    except (NotResolved, MoneyError, SerialError) as error:
        return _page(visit, found, said_by(error), 409, typed)


def _found(visit: Visit) -> Shown:
    found = cases.show_case(visit.link, visit.number("conflict"))
    if found is None:
        raise NotFound
    return found


def _page(
    visit: Visit, found: Shown, error: str = "", status: int = 200, typed: Mapping[str, str] | None = None
) -> Response:
    choices: list[Choice] = []
    if found.advice is not None and visit.may(Role.SUPPORT):
        choices = [_choice(visit, found, option) for option in found.advice.options]
    return visit.render(
        "conflict.html",
        status,
        found=found,
        choices=choices,
        write_words=write_words,
        progress_words=progress_words,
        again=[] if found.advice is not None else _again(visit, found),
        error=error,
        typed=typed or {},
        now=visit.now,
    )


def _again(visit: Visit, found: Shown) -> list[Option]:
    """What can be said in place of a decision of which nothing was carried out yet."""
    if not visit.may(Role.SUPPORT) or found.conflict.resolved_by is None:
        return []
    return list(cases.instead_of(visit.link, found.conflict))


def _choice(visit: Visit, found: Shown, option: Option) -> Choice:
    stands = found.conflict.kind == ConflictKind.TAMPERED
    if option.needs:
        return Choice(option, None, stands=stands)
    try:
        said = Resolution(option.action, visit.name, NO_REASON, option.side)
        would = settle.resolve(visit.link, found.conflict.id, said, preview=True, places=visit.console.places)
    except NotResolved as error:
        return Choice(option, None, said_by(error), stands)
    return Choice(option, would, stands=stands)


def _confirmation(visit: Visit, found: Shown, typed: Mapping[str, str]) -> Response:
    """What has been decided so already shows as settled.

    Raises NotResolved, MoneyError or SerialError for what cannot be decided.
    """
    said = _said(visit, typed, NO_REASON)
    would = settle.resolve(visit.link, found.conflict.id, said, preview=True, places=visit.console.places)
    if would.already_closed:
        return _page(visit, found)
    closed_at = found.conflict.closed_at
    return visit.render(
        "conflict_confirm.html",
        found=found,
        said=said,
        would=would,
        option=_option(visit, found, said),
        choice=typed.get("choice", ""),
        amount=typed.get("amount", ""),
        number=typed.get("card", ""),
        saw="" if closed_at is None else closed_at.isoformat(),
    )


def act(visit: Visit) -> Response:
    """First what would follow, on a page of its own; with a confirmation it is done."""
    found, form = _found(visit), visit.form
    if form.get("confirmed") != "yes":
        typed = {name: form[name].strip()[:most] for name, most in TYPED.items() if form.get(name)}
        return visit.go_typed(f"/conflicts/{found.conflict.id}", typed)
    try:
        why = form.get("why", "").strip()[:WHY_LENGTH_MAX]
        if not why:
            raise NotResolved(visit.words.text("Give a reason: it is kept with the conflict."))
        saw, said = _saw(form.get("saw", "")), _said(visit, form, why)
        done = settle.resolve(visit.link, found.conflict.id, said, places=visit.console.places, saw=saw)
    except (NotResolved, MoneyError, SerialError) as error:
        return _page(visit, _found(visit), said_by(error), 409, form)
    if not done.already_closed:
        _tell(visit, [found.conflict.id], said.action)
    return visit.go(f"/conflicts/{found.conflict.id}")


def _tell(visit: Visit, ids: list[int], action: Action) -> None:
    about = ", ".join(str(one) for one in ids[:20])
    visit.console.people.record(
        visit.name,
        say("decided {action}", action=action_words(action.value)),
        say("conflict {ids}", ids=about),
    )
    visit.console.pulse.refresh()
    visit.console.wake()


def _option(visit: Visit, found: Shown, said: Resolution) -> Option | None:
    options = found.advice.options if found.advice is not None else tuple(_again(visit, found))
    return next((one for one in options if one.action is said.action and one.side in (None, said.side)), None)


def _saw(text: str) -> Saw:
    """What the confirmation showed, as its form says."""
    try:
        return Saw(datetime.fromisoformat(text) if text else None)
    except ValueError:
        return Saw(None)


def _said(visit: Visit, form: Mapping[str, str], why: str) -> Resolution:
    """What the form says. Raises NotResolved, MoneyError or SerialError for what makes no sense."""
    name, _, side = form.get("choice", "").partition(":")
    try:
        action = Action(name)
    except ValueError:
        raise NotResolved(visit.words.text("Choose what you decide.")) from None
    value = None
    if action is Action.VALUE:
        value = visit.words.minor_of(form.get("amount", ""), visit.link.currency)
    ref = CardRef(None, Serial(form.get("card", "").strip())) if action is Action.LINK else None
    return Resolution(action, visit.name, why, side or None, value, ref)


# --- Many at once -------------------------------------------------------------------------------------------


def act_many(visit: Visit) -> Response:
    """The same decision for like conflicts: first what they are, then it is done one by one."""
    ids = [int(text) for text in visit.chosen("conflict") if text.isascii() and text.isdecimal()][:BULK_MAX]
    rows = views.open_conflicts(visit.link.store.engine, BULK_MAX, ids=ids)
    action = visit.form.get("action", "")
    why = visit.form.get("why", "").strip()[:WHY_LENGTH_MAX]
    if visit.form.get("confirmed") != "yes" or not why or action not in {one.value for one in FOR_MANY}:
        listed = list(cases.list_rows(visit.link, rows))
        return visit.render(
            "conflicts_confirm.html",
            listed=listed,
            actions=_common(visit, listed),
            action=action,
            why=why,
            failed=[],
            done=0,
        )
    failed: list[tuple[int, str]] = []
    settled: list[int] = []
    for row in rows:
        try:
            said = Resolution(Action(action), visit.name, why)
            settle.resolve(visit.link, row.id, said, places=visit.console.places, saw=Saw(None))
            settled.append(row.id)
        except NotResolved as error:
            failed.append((row.id, said_by(error)))
    if settled:
        _tell(visit, settled, Action(action))
    if not failed:
        return visit.go("/conflicts")
    return visit.render(
        "conflicts_confirm.html",
        listed=[],
        actions=[],
        action=action,
        why=why,
        failed=failed,
        done=len(settled),
    )


def _common(visit: Visit, listed: list[Listed]) -> list[Action]:
    """What fits every one of them."""
    fitting: set[Action] = set(FOR_MANY)
    for one in listed:
        shown = cases.show_case(visit.link, one.conflict.id)
        options = () if shown is None or shown.advice is None else shown.advice.options
        fitting &= {option.action for option in options}
    return [action for action in FOR_MANY if action in fitting] if listed else []


PAGES = (
    Page("/conflicts", show_list, act_many),
    Page("/conflicts/export.csv", show_csv),
    Page("/conflicts/{conflict}", show, act),
)
