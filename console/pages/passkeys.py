"""Somebody's own passkeys: add one, take one out."""

from __future__ import annotations

from starlette.responses import Response

from console.visit import NotFound, Page, Visit
from sync.support.people import Refused, Role, TooManyTries


def show(visit: Visit) -> Response:
    return _page(visit)


def _page(visit: Visit, error: str = "", name: str = "", status: int = 200) -> Response:
    if visit.person is None:
        raise NotFound
    passkeys = visit.console.passkeys
    return visit.render(
        "passkeys.html",
        status,
        keys=passkeys.book.of(visit.person.id),
        options=passkeys.options_to_add(visit.person, visit.origin),
        error=error,
        name=name,
        now=visit.now,
    )


def act(visit: Visit) -> Response:
    form, passkeys = visit.form, visit.console.passkeys
    if visit.person is None:
        raise NotFound
    if form.get("do") == "remove":
        number = form.get("passkey", "")
        if number.isascii() and number.isdecimal() and len(number) < 18:
            passkeys.remove(visit.person, int(number))
        return visit.go("/passkeys")
    name = form.get("name", "")[:200]
    try:
        passkeys.add(
            visit.person, form.get("password", ""), visit.address, name, form.get("answer", ""), visit.origin
        )
    except Refused as error:
        return _page(visit, visit.words.why(error), name, 409)
    except TooManyTries:
        words = visit.words.text("Too many wrong passwords. Wait a quarter of an hour.")
        return _page(visit, words, name, 429)
    return visit.go("/passkeys")


PAGES = (Page("/passkeys", show, act, acts=Role.READ_ONLY),)
