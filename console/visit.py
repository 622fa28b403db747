"""One request of a person: who they are, what they sent, and how they are answered."""

from __future__ import annotations

import hmac
import secrets
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, urlsplit

import structlog
from jinja2 import Environment
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from connectors.api.capabilities import Place
from console import sealed
from console.device import device_words
from console.link_settings import SettingsDesk
from console.pulse import Pulse
from console.reader import reader_of
from console.rendering import environment
from console.words import Words
from mappings.readers import Reader
from sync.importer.desk import ImportDesk
from sync.ledger.database.engine import LedgerUnavailable
from sync.ledger.support.people import Person
from sync.reconcile.work import Link
from sync.support.bookkeeping import Bookkeeper
from sync.support.cases import places_of
from sync.support.oidc import OidcSignIn
from sync.support.passkeys import Passkeys
from sync.support.people import SESSION_MAX, People, Role, form_token
from sync.support.proving import ProofDesk

log = structlog.get_logger(__name__)

FORM_BYTES_MAX = 64 * 1024
FIELDS_MAX = 600
#: Of the page that somebody goes on to after signing in.
ADDRESS_LENGTH_MAX = 3_000
#: As long as browsers keep a cookie.
BROWSER_DAYS = timedelta(days=400)


@dataclass(frozen=True)
class Console:
    """What the pages read and act on."""

    people: People
    link: Callable[[], Link]
    pulse: Pulse
    #: The language of whoever has chosen none.
    language: str = "en"
    #: Called when something was decided, so that it is carried out at once.
    wake: Callable[[], None] = lambda: None
    #: None: files are imported in the terminal alone.
    imports: ImportDesk | None = None
    #: None: the books are kept in the terminal alone.
    books: Bookkeeper | None = None
    #: None: no OpenID Connect provider lets people in.
    oidc: OidcSignIn | None = None
    #: None: settings are changed in their file alone.
    settings: SettingsDesk | None = None
    environment: Environment = field(default_factory=environment)

    @cached_property
    def proofs(self) -> ProofDesk:
        return ProofDesk(self.link)

    @cached_property
    def passkeys(self) -> Passkeys:
        return Passkeys(self.people)

    @property
    def places(self) -> dict[str, Place]:
        return places_of(self.link().sides)

    def words(self, person: Person | None) -> Words:
        chosen = None if person is None else person.language
        return Words.of(chosen or self.language, self.link().timezone)


@dataclass(frozen=True)
class Visit:
    """A request with its person. `session` is the token of their cookie."""

    console: Console
    request: Request
    person: Person | None
    session: str
    words: Words
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, UploadFile] = field(default_factory=dict)
    #: Every value of a field that was sent several times.
    chosen: Callable[[str], Sequence[str]] = lambda name: ()

    @property
    def link(self) -> Link:
        return self.console.link()

    @property
    def reader(self) -> Reader:
        """Of the files that the person takes away."""
        return reader_of(self.words.language, self.words.zone, lambda: self.console.places)

    @property
    def now(self) -> datetime:
        return self.link.clock()

    @property
    def origin(self) -> str:
        """Where the browser is, as it says of itself."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}"

    @property
    def address(self) -> str:
        """Where the request comes from."""
        return self.request.client.host if self.request.client is not None else ""

    @property
    def name(self) -> str:
        return "" if self.person is None else self.person.name

    @property
    def role(self) -> Role:
        return Role.READ_ONLY if self.person is None else Role(self.person.role)

    def may(self, role: str) -> bool:
        return self.person is not None and self.role.covers(Role(role))

    def number(self, name: str) -> int:
        """A number in the path. Raises NotFound."""
        text = self.request.path_params[name]
        if not text.isascii() or not text.isdecimal() or len(text) > 18:
            raise NotFound
        return int(text)

    def asked(self, name: str, default: str = "", length: int = 200) -> str:
        """A value of the query, cut to a sane length."""
        return self.request.query_params.get(name, default)[:length]

    def render(self, template: str, status: int = 200, **context: object) -> Response:
        person = self.person
        page = self.console.environment.get_template(template).render(
            v=self,
            w=self.words,
            t=self.words.text,
            ts=self.words.texts,
            places=self.console.places,
            waiting=self.console.pulse.picture().waiting if self.person is not None else 0,
            csrf=form_token(self.session) if self.session else "",
            new_browsers=[] if person is None else self.console.people.new_browsers(person, self.browser),
            path=self.request.url.path,
            **context,
        )
        return HTMLResponse(page, status)

    def go(self, path: str) -> Response:
        """On to another page of the console."""
        return RedirectResponse(path, 303)

    def let_in(self, path: str, token: str) -> Response:
        """On to a page with a new session, on a browser that is remembered."""
        response = with_session(self.go(path), self.request, token)
        people, browser = self.console.people, self.browser or secrets.token_urlsafe(32)
        person = people.who(token, self.device)
        if person is not None:
            people.meet_browser(person, browser, self.device)
        return _with_cookie(response, self.request, browser_cookie_name(self.request), browser, BROWSER_DAYS)

    @property
    def browser(self) -> str:
        """What the browser keeps to be known again; empty: nobody has signed in on it."""
        return self.request.cookies.get(browser_cookie_name(self.request), "")[:200]

    @property
    def device(self) -> str:
        return device_words(self.request.headers.get("user-agent", "")[:400])

    def go_typed(self, path: str, typed: Mapping[str, str]) -> Response:
        """On to the page that shows what follows from what was typed."""
        person_id = 0 if self.person is None else self.person.id
        return self.go(f"{path}?typed={sealed.seal(self.link.store.vault, person_id, typed)}")

    def typed(self) -> Mapping[str, str] | None:
        """What was typed before this page was asked for; None: nothing."""
        text = self.request.query_params.get("typed", "")
        return sealed.unseal(self.link.store.vault, 0 if self.person is None else self.person.id, text)

    def csv(self, name: str, lines: Sequence[Sequence[object]]) -> Response:
        text = "".join(",".join(_cell(cell) for cell in line) + "\r\n" for line in lines)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response("\ufeff" + text, media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not text[1:].replace(".", "", 1).isdecimal():
        # A spreadsheet would take it for a formula.
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


class NotFound(Exception):
    """There is no such thing."""


Handler = Callable[[Visit], Response]


@dataclass(frozen=True)
class Page:
    """One address. `needs` is the role that sees it, `acts` the one that may send its form; None: anybody."""

    path: str
    show: Handler | None = None
    act: Handler | None = None
    needs: Role | None = Role.READ_ONLY
    acts: Role | None = Role.SUPPORT
    bytes_max: int = FORM_BYTES_MAX

    def route(self, console: Console) -> Route:
        methods = [*(["GET"] if self.show else []), *(["POST"] if self.act else [])]

        async def endpoint(request: Request) -> Response:
            return await _answer(console, self, request)

        return Route(self.path, endpoint, methods=methods)


async def _answer(console: Console, page: Page, request: Request) -> Response:
    visit = Visit(console, request, None, "", console.words(None))
    forms: list[FormData] = []
    try:
        visit = await _signed_in(visit)
        needed = page.acts if request.method == "POST" else page.needs
        if needed is not None and visit.person is None:
            return await run_in_threadpool(_sign_in_first, visit, page)
        if needed is not None and not visit.may(needed):
            words = visit.words.text("Your role does not allow this.")
            return await run_in_threadpool(_refuse, visit, 403, words)
        if request.method != "POST":
            return await run_in_threadpool(page.show or _not_found, visit)
        return await _act(visit, page, forms)
    except NotFound:
        return await run_in_threadpool(_not_found, visit)
    except ClientDisconnect:
        return Response(status_code=400)
    except Exception as error:  # noqa: BLE001 the person gets a page, and the log says where to look
        return _failed(visit, page, error)
    finally:
        for form in forms:
            await form.close()


async def _signed_in(visit: Visit) -> Visit:
    """The visit with the person whose session the request carries, if it carries one."""
    request, console = visit.request, visit.console
    token = request.cookies.get(cookie_name(request), "")[:200]
    person = await run_in_threadpool(console.people.who, token, visit.device)
    return replace(visit, person=person, session=token if person else "", words=console.words(person))


async def _act(visit: Visit, page: Page, forms: list[FormData]) -> Response:
    """What the page does with a form that this site's own page has sent. `forms`: what the caller closes."""
    request = visit.request
    if not from_here(request):
        words = visit.words.text("This was sent by another site.")
        return await run_in_threadpool(_refuse, visit, 403, words)
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length[:12]) > page.bytes_max:
        return Response(status_code=413, headers={"Connection": "close"})
    forms.append(await request.form(max_fields=FIELDS_MAX, max_part_size=page.bytes_max))
    visit = _with_form(visit, forms[-1])
    given = visit.form.get("csrf", "")
    if visit.session and not hmac.compare_digest(given.encode(), form_token(visit.session).encode()):
        words = visit.words.text(
            "This page was open for too long. Go back, load it again, and try once more."
        )
        return await run_in_threadpool(_refuse, visit, 403, words)
    return await run_in_threadpool(page.act or _not_found, visit)


def _failed(visit: Visit, page: Page, error: Exception) -> Response:
    """The page for an error that nobody has foreseen, or of the ledger; the log says where it was raised.

    Where, but not with what: a form may hold a password or a number.
    """
    why = type(error).__name__
    if isinstance(error, LedgerUnavailable | SQLAlchemyError):
        log.error("a page could not read the ledger", action="console.failed", page=page.path, why=why)
        words = visit.words.text("The ledger cannot be read now. Try again in a moment.")
        return plain_page(visit.words, 503, words)
    place = traceback.extract_tb(error.__traceback__)[-1]
    at = f"{Path(place.filename).name}:{place.lineno}"
    log.error("a page failed", action="console.failed", page=page.path, why=why, at=at)
    return plain_page(visit.words, 500, visit.words.text("Something went wrong here. The log says what."))


def _with_form(visit: Visit, form: FormData) -> Visit:
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    files = {name: value for name, value in form.multi_items() if isinstance(value, UploadFile)}

    def chosen(name: str) -> Sequence[str]:
        return [value for value in form.getlist(name) if isinstance(value, str)]

    return replace(visit, form=fields, files=files, chosen=chosen)


def _sign_in_first(visit: Visit, page: Page) -> Response:
    """To the sign-in, and from there to where they were; a form that was sent says that nothing was done."""
    url, is_form = visit.request.url, visit.request.method == "POST"
    after = url.path if page.show is not None else "/"
    if url.query and not is_form:
        after = f"{after}?{url.query}"
    if after == "/" and not is_form:
        return visit.go("/sign-in")
    return visit.go(f"/sign-in?next={quote(after, safe='/')}{'&ended=yes' if is_form else ''}")


def _refuse(visit: Visit, status: int, words: str) -> Response:
    if visit.person is None:
        return plain_page(visit.words, status, words)
    return visit.render("message.html", status, headline=words)


def _not_found(visit: Visit) -> Response:
    return _refuse(visit, 404, visit.words.text("There is no such page."))


def plain_page(words: Words, status: int, text: str) -> Response:
    """For whoever is not signed in, or when nothing else works."""
    page = environment().get_template("plain.html").render(w=words, t=words.text, headline=text)
    return HTMLResponse(page, status)


# --- Cookies, and where a form comes from ------------------------------------------------------------------


def cookie_name(request: Request) -> str:
    """With the prefix that no other host and no plain connection can set, where there is HTTPS."""
    return "__Host-giftsync" if request.url.scheme == "https" else "giftsync"


def browser_cookie_name(request: Request) -> str:
    return f"{cookie_name(request)}-browser"


def with_session(response: Response, request: Request, token: str) -> Response:
    return _with_cookie(response, request, cookie_name(request), token, SESSION_MAX)


def _with_cookie(response: Response, request: Request, name: str, value: str, valid: timedelta) -> Response:
    response.set_cookie(
        name,
        value,
        max_age=int(valid.total_seconds()),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return response


def without_session(response: Response, request: Request) -> Response:
    response.delete_cookie(
        cookie_name(request), path="/", secure=request.url.scheme == "https", httponly=True, samesite="lax"
    )
    return response


def from_here(request: Request) -> bool:
    """Whether a form was sent by a page of this console, as far as the browser says."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")


def local_path(text: str) -> str:
    """Where to go on after sign-in: a path of the console, never another site."""
    plain = (
        text.startswith("/")
        and not text.startswith(("//", "/\\"))
        and text.isprintable()
        and "\\" not in text
    )
    return text if plain and not urlsplit(text).netloc else "/"
