"""One pooled HTTP session per side, with one deadline for each call, that sorts every failure by what may be
done next.

Nothing here repeats a request: whether a repetition is safe is known only to the caller. Reads use `retried`.
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
import requests
import tenacity
import urllib3.exceptions as urllib3_errors
from requests.structures import CaseInsensitiveDict
from requests.utils import default_headers

from connectors.api.capabilities import Usage
from connectors.api.errors import InDoubt, NoAnswer, NotSent, Throttled
from connectors.kit.exchange import BODY_BYTES_MAX, WIRE_BYTES_MAX, ExchangeAdapter, Headers
from connectors.kit.strict_json import NotJson, read_json
from connectors.kit.timeouts import CALL_SECONDS as CALL_SECONDS
from connectors.kit.timeouts import CONNECT_SECONDS as CONNECT_SECONDS
from connectors.kit.timeouts import READ_SECONDS as READ_SECONDS
from connectors.kit.wire import Budget, limited

T = TypeVar("T")

_CHUNK_BYTES = 65_536
RETRY_AFTER_SECONDS_DEFAULT = 2.0
RETRY_AFTER_SECONDS_MAX = 300.0
READ_ATTEMPTS_MAX = 4
#: A read is begun anew for so long; a longer wait is its caller's, who has other work meanwhile.
READ_RETRY_SECONDS = 30.0
#: The longest that a read takes, whatever the side does: the last attempt begins within READ_RETRY_SECONDS.
READ_TOTAL_SECONDS = READ_RETRY_SECONDS + CALL_SECONDS
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
#: As every request of the library has them, and the one way of compressing answers that is read here.
_HEADERS = {name: str(value) for name, value in default_headers().items()} | {"Accept-Encoding": "gzip"}
_NO_URL = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)
_WITH_BODY = frozenset({"POST", "PUT"})
#: How many sets of headers are put together once only.
HEADERS_KEPT = 512

# urllib3 writes each path that it asks for, and a path can hold a serial: nothing of it reaches a log.
logging.getLogger("urllib3.connectionpool").addFilter(lambda _: False)


@dataclass
class HttpClient:
    """A session bound to one base URL. Thread-safe; redirects are never followed, so that no token strays."""

    base_url: str
    #: Sent with every request; left out of the repr, because a token is usually among them.
    headers: Mapping[str, str] = field(repr=False)
    connect_seconds: float = CONNECT_SECONDS
    read_seconds: float = READ_SECONDS
    #: For Retry-After dates.
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    _session: requests.Session = field(default_factory=requests.Session, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _usage: Usage = field(default_factory=Usage, init=False)

    def __post_init__(self) -> None:
        adapter = ExchangeAdapter()
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        # Proxies and .netrc of the machine must not see or replace the side's token.
        self._session.trust_env = False

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: object | None = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request, once, and return whatever HTTP answer comes.

        `content` goes as it is; its `Content-Type` is the caller's.

        Raises NotSent when no connection could be made and InDoubt for every other transport failure.
        """
        self.count(calls=1)
        prepared = self._prepared(method, path, params, json, form, content, headers or {})
        timeout = (self.connect_seconds, self.read_seconds)
        # By way of the session's own `send` every call would cost a third more.
        try:
            return self._session.get_adapter(str(prepared.url)).send(prepared, timeout=timeout)
        except requests.RequestException as error:
            raise classify_transport_error(error) from None

    def _prepared(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None,
        json: object | None,
        form: Mapping[str, str] | None,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> requests.PreparedRequest:
        """The request as it goes out. By way of `Session.request` every call would cost a quarter more."""
        request = requests.PreparedRequest()
        request.method = method
        request.url = self.base_url.rstrip("/") + path + (f"?{urlencode(params)}" if params else "")
        request.body, kind = content, None
        if json is not None:
            request.body, kind = msgspec.json.encode(json), "application/json"
        elif form:
            request.body, kind = urlencode(form), "application/x-www-form-urlencoded"
        length = len(request.body or b"") if request.body is not None or method in _WITH_BODY else None
        request.headers = _headers(tuple(self.headers.items()), tuple(headers.items()), kind, length)
        return request

    def count(self, *, calls: int = 0, points: int = 0, throttled: int = 0) -> None:
        with self._lock:
            used = self._usage
            self._usage = Usage(used.calls + calls, used.points + points, used.throttled + throttled)

    @property
    def usage(self) -> Usage:
        return self._usage

    def close(self) -> None:
        self._session.close()


@lru_cache(HEADERS_KEPT)
def _headers(
    of_client: tuple[tuple[str, str], ...],
    of_request: tuple[tuple[str, str], ...],
    kind: str | None,
    length: int | None,
) -> Headers:
    """All headers of a request: hardly one has any that none had before."""
    headers = CaseInsensitiveDict({**_HEADERS, **dict(of_client), **dict(of_request)})
    if kind is not None:
        headers["Content-Type"] = kind
    if length is not None:
        headers["Content-Length"] = str(length)
    return Headers(headers)


def send_once(
    session: requests.Session, request: requests.PreparedRequest, timeout: tuple[float, float]
) -> requests.Response:
    """Send one request and read its whole answer, within the sum of both timeouts and the limits on bytes.

    Raises NotSent when no connection could be made and InDoubt for every other failure.
    """
    with limited(Budget(sum(timeout), WIRE_BYTES_MAX)):
        try:
            response = session.send(request, timeout=timeout, allow_redirects=False, stream=True)
            response._content = _body_of(response)
            response._content_consumed = True  # type: ignore[attr-defined]
        except requests.RequestException as error:
            raise classify_transport_error(error) from None
        except (urllib3_errors.HTTPError, OSError):
            raise InDoubt("the connection broke before the answer was whole") from None
    return response


def _body_of(response: requests.Response) -> bytes:
    """The body, decompressed piece by piece: a limit on compressed bytes alone would let a bomb through."""
    pieces, size = [], 0
    for piece in response.iter_content(_CHUNK_BYTES):
        size += len(piece)
        if size > BODY_BYTES_MAX:
            response.close()  # The rest of it is not read, so its connection is of no more use.
            raise InDoubt("the answer is larger than any answer may be")
        pieces.append(piece)
    return b"".join(pieces)


def classify_transport_error(error: requests.RequestException) -> NotSent | InDoubt:
    """Not sent only when the connection itself was never made; whatever cannot be told is in doubt.

    `requests.ConnectionError` covers both, so its cause decides. The message of the cause is left out: it can
    hold the URL, and a URL can hold a serial.
    """
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NotSent("the host did not accept a connection in time")
    if isinstance(error, _NO_URL):
        return NotSent("the address is not a URL")
    for cause in _causes(error):
        # Any other TLS failure can also strike while the answer is read, and is in doubt.
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NotSent("no secure connection could be made: the host's certificate was not accepted")
        if isinstance(cause, urllib3_errors.NewConnectionError | urllib3_errors.NameResolutionError):
            return NotSent("no connection to the host could be made")
        if isinstance(cause, urllib3_errors.ConnectTimeoutError):
            return NotSent("the host did not accept a connection in time")
        if isinstance(cause, urllib3_errors.ReadTimeoutError):
            return InDoubt("the host did not finish its answer in time")
    if isinstance(error, requests.exceptions.ReadTimeout):
        return InDoubt("the host did not answer in time")
    return InDoubt("the connection broke before an answer came")


def _causes(error: BaseException) -> list[BaseException]:
    """The exceptions inside a requests error: its arguments, reasons and causes, a few levels deep."""
    found: list[BaseException] = []
    queue: list[Any] = [error]
    while queue and len(found) < 16:
        item = queue.pop(0)
        if not isinstance(item, BaseException):
            continue
        found.append(item)
        queue += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
    return found


def retry_after_seconds(response: requests.Response, now: datetime) -> float:
    """How long a `Retry-After` header asks to wait: seconds or an HTTP date; bounded, with a default."""
    text = response.headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            seconds = (parsedate_to_datetime(text) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            seconds = RETRY_AFTER_SECONDS_DEFAULT
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)


def object_in(answer: requests.Response, whose: str) -> dict[str, Any]:
    """The JSON object of an answer; `whose` it is stands in errors. Raises InDoubt."""
    try:
        said = read_json(answer.content)
    except NotJson as error:
        raise InDoubt(f"{whose} answer cannot be read: {error}") from None
    if not isinstance(said, dict):
        raise InDoubt(f"{whose} answer is no object")
    return said


def retried(read: Callable[[], T], pause: Callable[[float], None]) -> T:
    """Repeat a read that was not sent, throttled or got no believable answer; never for writes.

    All attempts begin within READ_RETRY_SECONDS. `pause` waits the given seconds; a worker passes one that
    raises NotSent when it is shut down.
    """

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Throttled):
            return error.wait_seconds
        return float(tenacity.wait_exponential_jitter(multiplier=0.2, max=5.0, jitter=0.2)(state))

    try:
        # Nearly every read succeeds at once, and the machinery costs as much as the read.
        return read()
    except NoAnswer as error:
        failed: list[Exception] = [error]

    def again() -> T:
        if failed:
            raise failed.pop()
        return read()

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(NoAnswer),
        stop=tenacity.stop_after_attempt(READ_ATTEMPTS_MAX) | tenacity.stop_before_delay(READ_RETRY_SECONDS),
        wait=wait,
        sleep=pause,
        reraise=True,
    )(again)
