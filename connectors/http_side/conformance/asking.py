"""Requests of the tester: every answer as it came, so that a rule can say what is wrong with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from requests import Response

from connectors.api.errors import SideError
from connectors.http_side.client import PROBLEM_TYPE
from connectors.kit.http import HttpClient, retry_after_seconds
from connectors.kit.strict_json import NotJson, read_json

#: How often one request is sent while the answer is 429.
THROTTLES_MAX: Final = 5
#: The longest wait that a 429 may ask for, and the longest that a whole check waits after 429s, in seconds.
THROTTLE_SECONDS_MAX: Final = 60.0
THROTTLED_SECONDS_MAX: Final = 900.0
#: A request that has no answer after so long is told, in seconds.
SLOW_SECONDS: Final = 5.0


class RuleBroken(Exception):
    """The shop does not keep the rule; the message says what it did."""


class Unanswered(RuleBroken):
    """The shop gave no answer to judge the rule by: none at all, one that breaks off, or nothing but 429."""


class RuleNotTried(Exception):
    """The rule cannot be tried here; the message says why."""


@dataclass(frozen=True)
class Answer:
    """One answer. `said` is None for a body that is no JSON object."""

    status: int
    kind: str
    said: dict[str, Any] | None
    begins: str

    @property
    def code(self) -> str:
        """Of a problem; empty for everything else."""
        code = (self.said or {}).get("code") if self.kind == PROBLEM_TYPE else None
        return code if isinstance(code, str) else ""

    def in_words(self) -> str:
        """`HTTP 409 (insufficient_funds)`, `HTTP 404 with text/html instead of a problem`."""
        if self.code:
            return f"HTTP {self.status} ({self.code[:40]})"
        what = f" with {self.kind[:60]}" if self.kind else " without a content type"
        return f"HTTP {self.status}{what}" + (" instead of a problem" if self.status >= 400 else "")

    def done(self) -> dict[str, Any]:
        """The body of a success. Raises RuleBroken."""
        if self.status not in (200, 201):
            raise RuleBroken(f"The answer is {self.in_words()}.")
        if self.kind != "application/json":
            raise RuleBroken(f"The answer is {self.in_words()}, not application/json.{self.begins}")
        if self.said is None:
            raise RuleBroken(f"The answer is no JSON object.{self.begins}")
        return self.said

    def refused(self, status: int, *codes: str) -> None:
        """Check that it is a refusal with this status and one of these codes. Raises RuleBroken."""
        wanted = f"HTTP {status} with the code {' or '.join(codes)}"
        if self.status != status or self.code not in codes:
            raise RuleBroken(f"The answer is {self.in_words()}, not {wanted}.{self.begins}")


class Caller:
    """Asks one shop. One thread, but for `ask`, which several may call."""

    def __init__(
        self, url: str, key: str, pause: Callable[[float], None], tell: Callable[[str], None]
    ) -> None:
        """`tell` takes what is being waited for, in words, from any thread."""
        self.http = HttpClient(url, {"Accept": f"application/json, {PROBLEM_TYPE}"})
        self._key, self._pause, self.tell = key, pause, tell
        #: Whether each 429 said for how long to wait.
        self.throttles: list[bool] = []
        self._throttled_seconds = 0.0

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        params: Mapping[str, str | int] | None = None,
        bearer: str | None = "",
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask once, and again as told after a 429. Raises Unanswered where no whole answer comes.

        `bearer` is another key than the shop's; None: none at all.
        """
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer or self._key}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        request = f"{method} {path}"
        for attempt in range(1, THROTTLES_MAX + 1):
            try:
                with self._waiting_told(request):
                    answer = self.http.request(
                        method, path, params=params, json=body, form=form, headers=headers
                    )
            except SideError as error:
                raise Unanswered(f"No answer to {request} that could be read: {error}.") from None
            if answer.status_code != 429:
                break
            self.throttles.append("Retry-After" in answer.headers)
            self._wait(request, attempt, answer)
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        try:
            said = read_json(answer.content)
        except NotJson:
            said = None
        page = kind.endswith("html") or answer.content.lstrip()[:1] == b"<"
        begins = (
            " It is a web page: is this the address of the contract, and not of the shop?" if page else ""
        )
        return Answer(answer.status_code, kind, said if isinstance(said, dict) else None, begins)

    def get(self, path: str, **params: str | int) -> dict[str, Any]:
        """A read that has to succeed. Raises RuleBroken."""
        return self.ask("GET", path, params=params or None).done()

    def close(self) -> None:
        self.http.close()

    def _wait(self, request: str, attempt: int, answer: Response) -> None:
        """Wait after a 429. Raises Unanswered where the check would wait too long."""
        seconds = retry_after_seconds(answer, self.http.clock())
        wish = f"asks to wait {seconds:.0f} s" if self.throttles[-1] else "does not say for how long to wait"
        asks = f"The shop answers 429 to {request} and {wish}"
        if seconds > THROTTLE_SECONDS_MAX:
            raise Unanswered(f"{asks}; a check waits {THROTTLE_SECONDS_MAX:.0f} s at most.")
        if attempt == THROTTLES_MAX:
            raise Unanswered(f"The shop answered 429 to each of {attempt} requests {request}.")
        self._throttled_seconds += seconds
        if self._throttled_seconds > THROTTLED_SECONDS_MAX:
            raise Unanswered(f"{asks}; the check has waited {THROTTLED_SECONDS_MAX:.0f} s after others.")
        if seconds >= 1:
            self.tell(f"{asks}: waiting, attempt {attempt} of {THROTTLES_MAX}.")
        self._pause(seconds)

    @contextmanager
    def _waiting_told(self, request: str) -> Iterator[None]:
        """Say what is waited for while an answer does not come."""
        seconds = self.http.connect_seconds + self.http.read_seconds
        words = f"Waiting for the answer to {request}, {seconds:.0f} s at most."
        timer = threading.Timer(SLOW_SECONDS, self.tell, (words,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
