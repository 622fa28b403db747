"""The link's settings in the merchant's words, what a change would do, and whether each side answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.responses import Response

from console.link_settings import Change, Draft, Setting, SettingsDesk, Unfit
from console.visit import NotFound, Page, Visit
from console.words import Words
from mappings.sentences import say
from sync.support import pausing
from sync.support.people import Role

WHY_LENGTH_MAX = 300
QUERY_BYTES_MAX = 8_192
NUMBERS_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True)
class Wording:
    """A setting for a merchant: what it is, what it does, and what its values mean."""

    title: str
    about: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


def wording(words: Words, setting: Setting, names: Mapping[str, str]) -> Wording:
    """What the setting is called; of a connector's own key its explanation says all."""
    found = {**_link_wordings(words, names), **_side_wordings(words)}.get(setting.name)
    return found or Wording(setting.name.replace("_", " "), setting.explanation)


def _link_wordings(words: Words, names: Mapping[str, str]) -> dict[str, Wording]:
    """Of the merchant's decisions about all sides together."""
    return {
        "first_contact": Wording(
            words.text("A card that has two balances when it is first seen"),
            words.text("It exists on several sides already, and they do not agree."),
            {
                "ask": words.text("leave it alone and ask me"),
                "lower": words.text("take the lower balance"),
                "higher": words.text("take the higher balance"),
                **{side: words.text("believe {side}", side=name) for side, name in names.items()},
            },
        ),
        "deactivation": Wording(
            words.text("A card that is closed for good on one side"),
            "",
            {
                "propagate": words.text("close it everywhere; its money ends"),
                "conflict": words.text("let it go on elsewhere and ask me"),
            },
        ),
        "overdraft": Wording(
            words.text("Money that was spent on two sides at once"),
            words.text("The shortfall is always written off and in the list of conflicts."),
            {
                "ask": words.text("keep it open until somebody has seen it"),
                "write_off": words.text("settle it by this setting"),
            },
        ),
        "brakes.money_per_hour": Wording(
            words.text("Stop when more money than this moves within an hour"),
            words.text("In whole currency units; empty: no bound. A person lets the link go on."),
        ),
        "brakes.money_per_card": Wording(
            words.text("Stop when more money than this moves on one card at once"),
            words.text("In whole currency units."),
        ),
        "brakes.cards_per_hour": Wording(words.text("Stop when more cards than this change within an hour")),
    }


def _side_wordings(words: Words) -> dict[str, Wording]:
    """Of what may be decided about each side."""
    yes, both = {"true": words.text("yes"), "false": words.text("no")}, _directions(words)
    return {
        "create_update": Wording(
            words.text("Bring cards of other sides here, and keep them up to date"),
            words.text("If not, nothing is ever written to this side."),
            yes,
        ),
        "download": Wording(
            words.text("Bring cards that are sold here to the other sides"),
            words.text("If not, they can be spent here only."),
            yes,
        ),
        "send_notifications": Wording(
            words.text("Tell buyers of new cards that they can use them here"),
            words.text("Cards that exist already, and imports, tell nobody."),
            yes,
        ),
        "serial_prefix": Wording(
            words.text("First four digits of numbers that giftsync makes for this side"),
            words.text(
                "For cards whose own side shows no number, when the pool is empty. Empty: such cards wait."
            ),
        ),
        "lengthen_short_numbers": Wording(
            words.text("Put giftsync before a number that is too short for this side"),
            words.text("If not, such a card waits for you as a conflict."),
            yes,
        ),
        "excluded_brands": Wording(
            words.text("Brands that are left out"),
            words.text("As this side calls them, with commas between them."),
        ),
        "directions.balance": Wording(words.text("Balance"), "", both),
        "directions.status": Wording(words.text("Status: suspended, released, closed"), "", both),
        "directions.expiry": Wording(words.text("Expiry date"), "", both),
        "suspension": Wording(
            words.text("A card that is suspended elsewhere"),
            "",
            {
                "reversible": words.text("expires here until it is released"),
                "deactivate": words.text("is deactivated here, which can never be taken back"),
            },
        ),
    }


def _directions(words: Words) -> dict[str, str]:
    return {
        "both": words.text("goes both ways"),
        "in": words.text("the other sides decide"),
        "out": words.text("this side decides"),
        "off": words.text("each keeps its own"),
    }


def _desk(visit: Visit) -> SettingsDesk:
    if visit.console.settings is None:
        raise NotFound
    return visit.console.settings


def _names(visit: Visit) -> dict[str, str]:
    return {side: place.name for side, place in visit.console.places.items()}


def show(visit: Visit) -> Response:
    return _page(visit)


def _page(visit: Visit, problems: tuple[str, ...] = (), done: str = "", status: int = 200) -> Response:
    desk, names = _desk(visit), _names(visit)
    standing = visit.console.pulse.picture().standing
    return visit.render(
        "settings.html",
        status,
        groups=desk.groups(),
        wording=lambda one: wording(visit.words, one, names),
        given=visit.form,
        problems=problems,
        done=done,
        stops=pausing.stops(visit.link.store.engine),
        checkup=desk.checkup,
        connectable=desk.connectable(),
        pools=desk.pools(),
        webhooks=standing.webhooks,
        webhook_url=desk.webhook_url,
    )


def act(visit: Visit) -> Response:
    """A change is only drafted here."""
    try:
        draft = _desk(visit).draft({k: v[:2_000] for k, v in visit.form.items()}, visit.name)
    except Unfit as error:
        return _page(visit, error.problems, status=409)
    return visit.go(f"/settings/draft/{draft.id}")


# --- a change that is not saved yet -----------------------------------------------------------------------


def _draft(visit: Visit) -> Draft:
    found = _desk(visit).drafted(visit.request.path_params["draft"])
    if found is None:
        raise NotFound
    return found


def show_draft(visit: Visit) -> Response:
    return _draft_page(visit, _draft(visit))


def _draft_page(visit: Visit, draft: Draft, problems: tuple[str, ...] = (), status: int = 200) -> Response:
    names = _names(visit)
    return visit.render(
        "settings_draft.html",
        status,
        draft=draft,
        said=[_said(visit.words, one, names) for one in draft.changes],
        restarts=_desk(visit).restarts,
        problems=problems,
    )


@dataclass(frozen=True)
class Said:
    """A change in words."""

    where: str
    title: str
    about: str
    before: str
    after: str


def _said(words: Words, change: Change, names: Mapping[str, str]) -> Said:
    setting = change.setting
    named = wording(words, setting, names)
    side = setting.path.split(".")[1] if setting.path.startswith("sides.") else ""
    empty = words.text("empty")
    return Said(
        names.get(side, side),
        named.title,
        named.about,
        named.values.get(setting.value, setting.value) or empty,
        named.values.get(change.after, change.after) or empty,
    )


def act_draft(visit: Visit) -> Response:
    desk, draft = _desk(visit), _draft(visit)
    if visit.form.get("do") == "drop":
        desk.drop(draft.id)
        return visit.go("/settings")
    if visit.form.get("do") != "save":
        raise NotFound
    if not draft.trial.ended:
        return visit.go(f"/settings/draft/{draft.id}")
    try:
        saved = desk.save(draft.id, agreed=visit.form.get("creates") == "yes")
    except Unfit as error:
        if desk.drafted(draft.id) is None:
            return _page(visit, error.problems, status=409)
        return _draft_page(visit, draft, error.problems, 409)
    if saved is not None:
        about = "; ".join(
            f"{c.setting.path}: {c.setting.value or '-'} → {c.after or '-'}" for c in saved.changes
        )
        visit.console.people.record(visit.name, say("changed settings"), about[:1_000])
        for one in saved.creates:
            visit.console.people.record(
                visit.name, say("agreed to creating cards"), f"{one.side}: {one.cards}"
            )
    return visit.render("settings_saved.html", restarts=desk.restarts)


# --- what can be tried and paused -------------------------------------------------------------------------


def act_check(visit: Visit) -> Response:
    side = visit.form.get("side", "")
    if side and side not in visit.link.sides:
        raise NotFound
    _desk(visit).check(side)
    visit.console.people.record(visit.name, say("had the sides checked"), side)
    return visit.go("/settings/check")


def show_check(visit: Visit) -> Response:
    checkup = _desk(visit).checkup
    if checkup is None:
        return visit.go("/settings")
    return visit.render("settings_check.html", checkup=checkup, names=_names(visit))


def act_pause(visit: Visit) -> Response:
    desk, do = _desk(visit), visit.form.get("do")
    why = visit.form.get("why", "").strip()[:WHY_LENGTH_MAX]
    if do not in ("pause", "resume"):
        raise NotFound
    if not why:
        return _page(visit, (visit.words.text("Give a reason: it is kept with the conflict."),), status=409)
    try:
        if do == "pause":
            if desk.pause(visit.name, why):
                visit.console.people.record(visit.name, say("paused the link"))
        elif desk.resume(visit.name, why):
            visit.console.people.record(visit.name, say("let the link go on"))
    except Unfit as error:
        return _page(visit, error.problems, status=409)
    visit.console.pulse.refresh()
    visit.console.wake()
    return visit.go("/settings")


def act_pool(visit: Visit) -> Response:
    """A file of numbers, or numbers that were typed; they are money, and stand in no answer."""
    side, file = visit.form.get("side", ""), visit.files.get("file")
    content = file.file.read() if file is not None else b""
    content = content or visit.form.get("numbers", "").encode()
    try:
        added = _desk(visit).add_numbers(side, content)
    except Unfit as error:
        return _page(visit, error.problems, status=409)
    visit.console.people.record(visit.name, say("added {count} numbers to the pool", count=added), side)
    words = visit.words.texts("{count} number was added.", "{count} numbers were added.", added)
    return _page(visit, done=words)


# --- connecting -------------------------------------------------------------------------------------------


def act_connect(visit: Visit) -> Response:
    side, url = visit.request.path_params["side"], visit.request.url
    if side not in visit.link.sides:
        raise NotFound
    back = f"{url.scheme}://{url.netloc}/settings/connected/{side}"
    try:
        address = _desk(visit).connect(side, visit.name, back)
    except Unfit as error:
        return _page(visit, error.problems, status=409)
    name = _names(visit).get(side, side)
    return visit.render("settings_connect.html", address=address, back=back, name=name)


def show_connected(visit: Visit) -> Response:
    """The way back from the system. Its query proves itself, and is bound to whoever began."""
    side, raw = visit.request.path_params["side"], visit.request.scope["query_string"]
    if side not in visit.link.sides or len(raw) > QUERY_BYTES_MAX:
        raise NotFound
    query = parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)
    done, words = _desk(visit).connected(side, visit.name, query)
    if done:
        visit.console.people.record(visit.name, say("connected a side"), side)
    return visit.render("message.html", 200 if done else 400, headline=words)


PAGES = (
    Page("/settings", show, act, needs=Role.SUPPORT, acts=Role.MERCHANT),
    Page("/settings/draft/{draft}", show_draft, act_draft, needs=Role.MERCHANT, acts=Role.MERCHANT),
    Page("/settings/check", show_check, act_check, needs=Role.SUPPORT, acts=Role.SUPPORT),
    Page("/settings/pause", act=act_pause, acts=Role.MERCHANT),
    Page("/settings/pool", act=act_pool, acts=Role.MERCHANT, bytes_max=NUMBERS_BYTES_MAX),
    Page("/settings/connect/{side}", act=act_connect, acts=Role.MERCHANT),
    Page("/settings/connected/{side}", show_connected, needs=Role.MERCHANT),
)
