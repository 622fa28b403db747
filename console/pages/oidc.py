"""Sign-in by an OpenID Connect provider: off to it, and back."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from console.pages.sign_in import sign_in_page
from console.visit import NotFound, Page, Visit, local_path
from sync.support.oidc import ATTEMPT_SECONDS, OidcSignIn
from sync.support.people import Refused, TooManyTries

QUERY_CHARS_MAX = 8_192
COOKIE_CHARS_MAX = 4_096


def _oidc(visit: Visit) -> OidcSignIn:
    if visit.console.oidc is None:
        raise NotFound
    return visit.console.oidc


def show(visit: Visit) -> Response:
    """Off to the provider. The browser takes a sealed cookie along, without which no answer is taken."""
    oidc, after = _oidc(visit), local_path(visit.asked("next", "/"))
    try:
        begun = oidc.begin(visit.origin, after)
    except Refused as error:
        return sign_in_page(visit, after, visit.words.why(error), status=502)
    response = RedirectResponse(begun.address, 303)
    secure = visit.request.url.scheme == "https"
    response.set_cookie(
        _cookie(visit), begun.cookie, ATTEMPT_SECONDS, path="/", secure=secure, httponly=True, samesite="lax"
    )
    return response


def show_back(visit: Visit) -> Response:
    oidc, url = _oidc(visit), visit.request.url
    if len(url.query) > QUERY_CHARS_MAX:
        raise NotFound
    cookie = visit.request.cookies.get(_cookie(visit), "")[:COOKIE_CHARS_MAX]
    try:
        token, after = oidc.finish(cookie, dict(visit.request.query_params), visit.origin, visit.address)
    except Refused as error:
        return _ended(visit, sign_in_page(visit, "/", visit.words.why(error), status=401))
    except TooManyTries:
        words = visit.words.text("Too many tries. Wait a quarter of an hour.")
        return _ended(visit, sign_in_page(visit, "/", words, status=429))
    if visit.session:
        # Whoever was signed in here before leaves nothing behind.
        visit.console.people.sign_out(visit.session)
    return _ended(visit, visit.let_in(after, token))


def _ended(visit: Visit, response: Response) -> Response:
    """An attempt is for one answer."""
    secure = visit.request.url.scheme == "https"
    response.delete_cookie(_cookie(visit), path="/", secure=secure, httponly=True, samesite="lax")
    return response


def _cookie(visit: Visit) -> str:
    return "__Host-giftsync-oidc" if visit.request.url.scheme == "https" else "giftsync-oidc"


PAGES = (
    Page("/sign-in/oidc", show, needs=None),
    Page("/sign-in/oidc/back", show_back, needs=None),
)
