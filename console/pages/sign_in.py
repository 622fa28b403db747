"""Sign in by password or passkey, sign out, and the one-time link."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from console.visit import ADDRESS_LENGTH_MAX, NotFound, Page, Visit, local_path, without_session
from console.words import LANGUAGES
from sync.support.people import Refused, TooManyTries


def show(visit: Visit) -> Response:
    if visit.person is not None:
        return visit.go(local_path(visit.asked("next", "/", ADDRESS_LENGTH_MAX)))
    error = ""
    if visit.asked("ended"):
        error = visit.words.text(
            "You are not signed in any more, so nothing of what you sent was done. Sign in and send it again."
        )
    return sign_in_page(visit, local_path(visit.asked("next", "/", ADDRESS_LENGTH_MAX)), error)


def sign_in_page(visit: Visit, after: str, error: str = "", name: str = "", status: int = 200) -> Response:
    provider = None if visit.console.oidc is None else visit.console.oidc.label
    options = visit.console.passkeys.options_to_sign_in(visit.origin)
    return visit.render(
        "sign_in.html",
        status,
        next=after,
        error=error,
        name=name,
        options=options,
        provider=provider,
    )


def act(visit: Visit) -> Response:
    name, people = visit.form.get("name", "")[:200], visit.console.people
    return _let_in(visit, lambda: people.sign_in(name, visit.form.get("password", ""), visit.address), name)


def act_passkey(visit: Visit) -> Response:
    answer = visit.form.get("answer", "")
    return _let_in(visit, lambda: visit.console.passkeys.sign_in(answer, visit.origin, visit.address))


def _let_in(visit: Visit, prove: Callable[[], str], name: str = "") -> Response:
    after = local_path(visit.form.get("next", "/"))
    try:
        token = prove()
    except Refused as error:
        return sign_in_page(visit, after, visit.words.why(error), name, 401)
    except TooManyTries:
        words = visit.words.text("Too many wrong passwords. Wait a quarter of an hour.")
        return sign_in_page(visit, after, words, name, 429)
    if visit.session:
        # Whoever was signed in here before leaves nothing behind.
        visit.console.people.sign_out(visit.session)
    return visit.let_in(after, token)


def sign_out(visit: Visit) -> Response:
    visit.console.people.sign_out(visit.session)
    return without_session(visit.go("/sign-in"), visit.request)


def show_link(visit: Visit) -> Response:
    token = visit.request.path_params["token"]
    invited = visit.console.people.invitation(token)
    if invited is None:
        return visit.render("join.html", 410, token="", invited=None, error="", name="")
    return visit.render("join.html", token=token, invited=invited, error="", name="")


def act_link(visit: Visit) -> Response:
    token, form = visit.request.path_params["token"], visit.form
    invited = visit.console.people.invitation(token)
    name = form.get("name", "")
    try:
        session = visit.console.people.join(token, name, form.get("password", ""), form.get("again", ""))
    except Refused as error:
        words = visit.words.why(error)
        return visit.render("join.html", 400, token=token, invited=invited, error=words, name=name[:200])
    if visit.session:
        visit.console.people.sign_out(visit.session)
    return visit.let_in("/", session)


def set_language(visit: Visit) -> Response:
    chosen = visit.form.get("language", "")
    if chosen not in LANGUAGES or visit.person is None:
        raise NotFound
    visit.console.people.book.set_language(visit.person.id, chosen)
    return visit.go(local_path(visit.form.get("next", "/")))


PAGES = (
    Page("/sign-in", show, act, needs=None, acts=None),
    Page("/sign-in/passkey", act=act_passkey, acts=None),
    Page("/sign-out", act=sign_out, acts=None),
    Page("/join/{token}", show_link, act_link, needs=None, acts=None),
    Page("/language", act=set_language, acts=None),
)
