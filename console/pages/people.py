"""Who may use the console: let people in, give a new link, take them out."""

from __future__ import annotations

from starlette.responses import Response

from console.visit import Page, Visit
from sync.support.people import Refused, Role


def show(visit: Visit) -> Response:
    return _page(visit)


def _page(visit: Visit, link: str = "", whom: str = "", error: str = "", status: int = 200) -> Response:
    return visit.render(
        "people.html",
        status,
        people=visit.console.people.book.list(),
        roles=list(reversed(Role)),
        link=link,
        whom=whom,
        error=error,
        now=visit.now,
    )


def act(visit: Visit) -> Response:
    form, people = visit.form, visit.console.people
    try:
        if form.get("do") == "invite" and form.get("role") in set(Role):
            token = people.invite(Role(form["role"]), visit.name)
            return _page(visit, _address(visit, token), visit.words.text("the new person"))
        if form.get("do") == "link":
            person = people.book.by_name(form.get("name", ""))
            if person is None or person.altered:
                # Whose row was changed has a role that nobody gave them.
                raise Refused(visit.words.text("There is nobody of that name."))
            token = people.invite(Role(person.role), visit.name, person)
            return _page(visit, _address(visit, token), person.name)
        if form.get("do") == "remove":
            people.remove(form.get("name", ""), visit.name)
            return visit.go("/people")
    except Refused as error:
        return _page(visit, error=visit.words.why(error), status=409)
    return visit.go("/people")


def _address(visit: Visit, token: str) -> str:
    """Shown once, to be given to the person by another way."""
    url = visit.request.url
    return f"{url.scheme}://{url.netloc}/join/{token}"


PAGES = (Page("/people", show, act, needs=Role.MERCHANT, acts=Role.MERCHANT),)
