"""Redemptions and validations through the API, against the calls that they need.

    python -m bench authority

Emulators with 100 ms before every answer, and `giftsync run` in each mode. A few redemptions without HTTP and
without a worker count the calls that one needs. Then a caller asks one after the other, and several at once.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import requests

from bench.pace import p99
from bench.processes import emulators
from bench.redemption import EMULATED, LATENCY_MS, _free_port, _until, _worker
from cli.api import PREFIX
from cli.build import now, open_ledger
from cli.demo.control import Control
from cli.sandbox_config import Pace, parse_ready_line, sandbox_values
from cli.session import opened_worker
from config.load import load
from config.template import render_toml
from mappings.serials import Serial
from sync.authority.redemptions import Redemptions, Wish
from sync.authority.work import Hands, Terms
from sync.decisions.authority import Mode
from sync.ledger.hub.requests import Requests
from sync.ledger.hub.tokens import ApiTokens
from sync.ledger.support.receipt_lines import cards_by_number
from sync.model import Caller

CARDS = 40
ALONE = 5
CARD_MINOR, SPENT_MINOR = 100_000, 100
AT_ONCE = 16
READY_SECONDS_MAX = 60.0


def main() -> None:
    """A line for each kind of request."""
    for mode in Mode:
        with tempfile.TemporaryDirectory() as text, emulators(*EMULATED) as ready:
            folder, address = Path(text), parse_ready_line(ready)
            flow = Control(address.flow_url, "NOK")
            port = _free_port()
            values = {
                **sandbox_values(address, Pace(quiet_seconds=5, poll_seconds=5, threads=AT_ONCE)),
                ("database",): f"sqlite:///{folder / 'ledger.db'}",
                ("console", "port"): port,
                ("console", "pages"): False,
                ("api", "enabled"): True,
                ("api", "mode"): mode.value,
            }
            (folder / "giftsync.toml").write_text(render_toml(values), encoding="utf-8")
            numbers = [str(flow.move("sell", CARD_MINOR)["number"]) for _ in range(CARDS)]
            calls, looks = _alone(folder, mode, numbers[:ALONE])
            with open_ledger(load(folder / "giftsync.toml")) as ledger:
                tokens = ApiTokens(ledger.engine, ledger.vault)
                _, secret = tokens.add("bench", ["validate", "redeem"], (), 1_000_000, now())
            with _worker(folder):
                caller = _Caller(f"http://127.0.0.1:{port}{PREFIX}", secret)
                _until(partial(caller.works, numbers[0]), READY_SECONDS_MAX)
                if mode is Mode.AUTHORISE:
                    _measure("validate, from the ledger", caller.validate, numbers * 5, 0)
                    _measure("validate, with a fresh look", caller.validate_at_sides, numbers, looks)
                _measure(f"redemption, mode {mode}", caller.redeem, numbers, calls)
                began = time.monotonic()
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    list(pool.map(caller.redeem, numbers * 3))
                rate = 3 * CARDS / (time.monotonic() - began)
            print(f"redemptions a second, mode {mode}, {AT_ONCE} at once on {CARDS} cards: {rate:.1f}")


def _alone(folder: Path, mode: Mode, numbers: Sequence[str]) -> tuple[float, float]:
    """Bring all cards in step, then redemptions one by one: calls of one, and of a look."""
    with opened_worker(load(folder / "giftsync.toml"), threading.Event()) as (worker, ledger):
        worker.sync_once()
        redemptions = Redemptions(Hands(lambda: worker.link, Terms(mode=mode)))
        sides, calls = worker.link.sides.values(), []
        for number in numbers:
            (card_id,) = cards_by_number(ledger.engine, ledger.vault.index(Serial(number)))
            Requests(ledger.engine).begin("alone", number, "", now())
            before = sum(side.usage().calls for side in sides)
            redemptions.redeem(card_id, Wish(SPENT_MINOR, "NOK"), Caller("alone", key=number))
            calls.append(sum(side.usage().calls for side in sides) - before)
        worker.sync_once()
        return median(calls), float(len(sides))


class _Caller:
    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._session = threading.local()
        self._headers = {"Authorization": f"Bearer {secret}"}

    def works(self, number: str) -> bool:
        """Whether the service has begun to work."""
        answer = self._post("/redemptions", _payment(number), {"Idempotency-Key": f"first-{number[-4:]}"})
        return answer.status_code == 201

    def validate(self, number: str) -> None:
        _check(self._post("/giftcards/validate", {"number": number}), 200)

    def validate_at_sides(self, number: str) -> None:
        _check(self._post("/giftcards/validate", {"number": number, "look": "sides"}), 200)

    def redeem(self, number: str) -> None:
        """Until it is answered for good."""
        key = {"Idempotency-Key": f"{number[-6:]}-{time.monotonic_ns()}"}
        while (answer := self._post("/redemptions", _payment(number), key)).status_code in (202, 503):
            continue
        _check(answer, 201)

    def _post(
        self, path: str, body: dict[str, str], headers: dict[str, str] | None = None
    ) -> requests.Response:
        session = getattr(self._session, "session", None)
        if session is None:
            session = self._session.session = requests.Session()
            session.trust_env = False
        answer: requests.Response = session.post(
            self._url + path, json=body, headers={**self._headers, **(headers or {})}, timeout=60
        )
        return answer


def _payment(number: str) -> dict[str, str]:
    return {"number": number, "amount": "1.00", "currency": "NOK"}


def _check(answer: requests.Response, status: int) -> None:
    if answer.status_code != status:
        raise SystemExit(f"HTTP {answer.status_code}: {answer.text[:200]}")


def _measure(what: str, ask: Callable[[str], None], numbers: Sequence[str], calls: float) -> None:
    """One after the other; what they took, and how that compares with the sides' own time."""
    took = []
    for number in numbers:
        began = time.monotonic()
        ask(number)
        took.append(time.monotonic() - began)
    own = calls * LATENCY_MS / 1000
    line = f"{what}: p50 {median(took) * 1000:.1f} ms, p99 {p99(took) * 1000:.1f} ms, {len(took)} requests"
    if calls:
        line += f". Each needs {calls:.0f} calls, {own * 1000:.0f} ms: "
        line += f"p50 is {median(took) / own:.2f} of that, p99 {p99(took) / own:.2f}"
    print(line)
