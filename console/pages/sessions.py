"""Where somebody is signed in, and to end what they do not use any more."""

from __future__ import annotations

from starlette.responses import Response

from console.visit import NotFound, Page, Visit, local_path
from mappings.sentences import say
from sync.ledger.support.people import Person
from sync.support.people import Refused, Role, TooManyTries


def show(visit: Visit) -> Response:
    return _page(visit)


def _page(visit: Visit, error: str = "", status: int = 200) -> Response:
    person = _person(visit)
    return visit.render(
        "sessions.html",
        status,
        sessions=visit.console.people.sessions_of(person, visit.session),
        # Somebody who comes in by OIDC or a passkey alone has none.
        has_password=person.password_hash is not None,
        error=error,
        now=visit.now,
    )


def act(visit: Visit) -> Response:
    person, people = _person(visit), visit.console.people
    if visit.form.get("do") == "known":
        people.know_browsers(person, visit.browser)
        return visit.go(local_path(visit.form.get("next", "/")))
    try:
        if person.password_hash is not None:
            people.confirm(person, visit.form.get("password", ""), visit.address)
    except Refused as error:
        return _page(visit, visit.words.why(error), 409)
    except TooManyTries:
        words = visit.words.text("Too many wrong passwords. Wait a quarter of an hour.")
        return _page(visit, words, 429)
    people.end_others(person, visit.session, visit.browser)
    people.record(person.name, say("ended their other sessions"))
    return visit.go("/sessions")


def _person(visit: Visit) -> Person:
    if visit.person is None:
        raise NotFound
    return visit.person


PAGES = (Page("/sessions", show, act, acts=Role.READ_ONLY),)
