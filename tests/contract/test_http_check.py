"""`giftsync contract check` says of each rule whether a shop keeps it; the example shop keeps them all."""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cli.main import run as giftsync
from connectors.api.card import CardRef
from connectors.http_side.conformance.asking import Caller
from connectors.http_side.conformance.money_rules import MONEY
from connectors.http_side.conformance.reading_rules import READING, THROTTLING
from connectors.http_side.conformance.receiver import Receiver
from connectors.http_side.conformance.rules import CheckRun, Outcome, Verdict, try_all
from connectors.http_side.side import HttpSide
from connectors.http_side.webhooks import key_of
from connectors.kit.contract import contract_for
from connectors.kit.fault_proxy import FaultProxy
from connectors.kit.http import HttpClient
from connectors.kit.world import PROXY_FAULTS, Mishap
from mappings.serials import Serial
from sandbox.http_side.emulator import _parts, _problem
from sandbox.http_side.shop import Refusal

from .test_http import KEY, SECRET, HttpWorld, http_world, is_write, side_at

EXAMPLE = Path(__file__).parents[2] / "examples" / "http-side"
ALL = (*READING, *MONEY, THROTTLING)


def checked(
    url: str,
    receiver: Receiver | None = None,
    pause: Callable[[float], object] = lambda seconds: None,
    *,
    may_move: bool = True,
    tell: Callable[[str], None] = lambda words: None,
) -> dict[str, Outcome]:
    """What came of each rule, by its name."""
    caller = Caller(url, KEY, lambda seconds: (bool(pause(seconds)) and None) or None, tell)
    try:
        outcomes = try_all(ALL, CheckRun(caller, may_move, caller._pause, receiver), set())
        return {one.rule.name: one for one in outcomes}
    finally:
        caller.close()


def named(outcomes: dict[str, Outcome], verdict: Verdict) -> set[str]:
    return {name for name, one in outcomes.items() if one.verdict is verdict}


def words_of(outcomes: dict[str, Outcome]) -> str:
    return "\n".join(f"{name}: {one.verdict} {one.why}" for name, one in outcomes.items())


def test_given_a_shop_that_keeps_the_contract_then_every_rule_passes_and_the_card_is_empty() -> None:
    with http_world() as world, Receiver(key_of(SECRET)).served("127.0.0.1", 0) as receiver:
        world.control("webhooks", {"url": receiver.url, "secret": SECRET})
        outcomes = checked(
            f"{world.loopback.url}/giftsync", receiver, lambda seconds: threading.Event().wait(0.05) or None
        )

        assert named(outcomes, Verdict.FAILED) == set(), words_of(outcomes)
        assert named(outcomes, Verdict.NOT_TRIED) == {"throttle"}
        (card,) = world.emulator.shop.cards.values()
        assert (card.minor, card.status) == (0, "closed")
        assert card.number not in words_of(outcomes)


def test_given_a_repeated_check_then_it_takes_the_next_number_and_passes_again() -> None:
    with http_world(number_digits_only=True) as world:
        for count in range(1, 6):
            outcomes = checked(f"{world.loopback.url}/giftsync")
            assert named(outcomes, Verdict.FAILED) == set(), words_of(outcomes)
            assert len(world.emulator.shop.cards) == count
        assert {card.minor for card in world.emulator.shop.cards.values()} == {0}


def test_given_a_check_that_was_killed_then_the_next_one_empties_its_card() -> None:
    with http_world() as world:
        url = f"{world.loopback.url}/giftsync"
        caller = Caller(url, KEY, lambda seconds: None, lambda words: None)
        for outcome in try_all(ALL, CheckRun(caller, True, caller._pause), set()):
            if outcome.rule.name == "once":
                break  # Nothing of it runs any more, as after SIGKILL.
        caller.close()
        (left,) = world.emulator.shop.cards.values()
        assert left.minor == 800

        outcomes = checked(url)

        assert outcomes["leftovers"].why == "8.00 NOK of an interrupted check were taken off its card."
        assert left.minor == 0
        assert named(outcomes, Verdict.FAILED) == set(), words_of(outcomes)


def test_given_a_shop_with_a_limit_then_the_check_waits_as_told() -> None:
    with http_world(requests_per_minute=30) as world:
        outcomes = checked(
            f"{world.loopback.url}/giftsync",
            pause=lambda seconds: world.control("clock", {"pass_s": 60}) and None,
        )
        assert named(outcomes, Verdict.FAILED) == set(), words_of(outcomes)
        assert outcomes["throttle"].verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("retry_after", "last_words", "waits"),
    [
        ("7", "answered 429 to each of 5 requests", 8),
        ("3600", "asks to wait 300 s; a check waits 60 s at most", 0),
        (None, "answered 429 to each of 5 requests", 8),
    ],
)
def test_given_a_shop_that_only_throttles_from_some_moment_on_then_each_wait_is_told_and_the_check_ends(
    monkeypatch: pytest.MonkeyPatch, retry_after: str | None, last_words: str, waits: int
) -> None:
    told: list[str] = []
    slept: list[float] = []
    with http_world() as world:
        _throttle_after(world, monkeypatch, 4, retry_after)

        outcomes = checked(f"{world.loopback.url}/giftsync", pause=slept.append, tell=told.append)

    assert named(outcomes, Verdict.PASSED) == {"answers", "shop", "key.missing", "key.wrong"}
    assert named(outcomes, Verdict.FAILED) == {"card.missing", "number.missing"}, words_of(outcomes)
    assert last_words in outcomes["card.missing"].why
    assert outcomes["card.missing"].remedy.startswith("See in the shop's log")
    assert outcomes["once"].why == "The shop let the check go no further."
    assert (len(slept), len(told)) == (waits, waits)
    if waits:
        wish = "asks to wait 7 s" if retry_after else "does not say for how long to wait"
        assert told[0].startswith("The shop answers 429 to GET /cards/check-")
        assert told[0].endswith(f"and {wish}: waiting, attempt 1 of 5.")


def _throttle_after(
    world: HttpWorld, patch: pytest.MonkeyPatch, requests: int, retry_after: str | None
) -> None:
    api, left = world.emulator.api, [None] * requests

    async def limited(request: web.Request, body: bytes, operation: Any) -> web.Response:
        if left:
            left.pop()
            return await api(request, body, operation)
        answer = _problem(429, "too_many_requests")
        if retry_after is not None:
            answer.headers["Retry-After"] = retry_after
        return answer

    patch.setattr(world.emulator, "api", limited)


def test_given_a_shop_that_throttles_now_and_then_for_ever_then_the_check_waits_a_quarter_of_an_hour_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    with http_world() as world:
        api, calls = world.emulator.api, []

        async def every_second_one(request: web.Request, body: bytes, operation: Any) -> web.Response:
            calls.append(request.path)
            if len(calls) % 2:
                return await api(request, body, operation)
            answer = _problem(429, "too_many_requests")
            answer.headers["Retry-After"] = "60"
            return answer

        monkeypatch.setattr(world.emulator, "api", every_second_one)
        outcomes = checked(f"{world.loopback.url}/giftsync", pause=slept.append)

    assert sum(slept) == 900
    assert "the check has waited 900 s after others" in words_of(outcomes)
    assert "The shop let the check go no further." in words_of(outcomes)


def test_given_a_shop_that_never_answers_then_what_is_waited_for_is_told_and_nothing_else_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    monkeypatch.setattr("connectors.http_side.conformance.asking.SLOW_SECONDS", 0.0)
    monkeypatch.setattr(
        "connectors.http_side.conformance.asking.HttpClient",
        partial(HttpClient, connect_seconds=0.5, read_seconds=0.5),
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert giftsync(["contract", "check", url, "--yes", "--key-file", str(key)]) == 3

    said = capsys.readouterr()
    assert "Waiting for the answer to GET /shop, 1 s at most." in said.err
    assert "No answer to GET /shop that could be read: the host did not answer in time." in said.out
    assert "0 passed, 1 failed, 0 not tried." in said.out


def test_given_no_yes_then_nothing_is_made_and_it_says_so() -> None:
    with http_world() as world:
        outcomes = checked(f"{world.loopback.url}/giftsync", may_move=False)
        assert named(outcomes, Verdict.FAILED) == set()
        assert named(outcomes, Verdict.PASSED) == {rule.name for rule in READING}
        assert "say --yes" in outcomes["once"].why
        assert world.emulator.shop.cards == {}


# Each breaks one rule: what to change of the shop, and the rules that have to find it.


def _forget_keys(world: HttpWorld, patch: pytest.MonkeyPatch) -> None:
    world.emulator.behaviour.keys_kept = False


def _take_any_key(world: HttpWorld, patch: pytest.MonkeyPatch) -> None:
    async def let_in(request: web.Request, body: bytes, operation: Any) -> web.Response:
        try:
            return world.emulator._route(request, _parts(request), body)
        except Refusal as error:
            return _problem(error.status, error.code, error.card)

    patch.setattr(world.emulator, "api", let_in)


def _answer_pages(world: HttpWorld, patch: pytest.MonkeyPatch) -> None:
    api = world.emulator.api

    async def page(request: web.Request, body: bytes, operation: Any) -> web.Response:
        answer = await api(request, body, operation)
        missing = web.Response(status=404, text="<html>No</html>", content_type="text/html")
        return missing if answer.status == 404 else answer

    patch.setattr(world.emulator, "api", page)


def _show(**change: object) -> Callable[[HttpWorld, pytest.MonkeyPatch], None]:
    def broken(world: HttpWorld, patch: pytest.MonkeyPatch) -> None:
        card = world.emulator._card
        patch.setattr(world.emulator, "_card", lambda one: {**card(one), **change})

    return broken


def _compare_exactly(world: HttpWorld, patch: pytest.MonkeyPatch) -> None:
    look_up = world.emulator.shop.by_number

    def exactly(number: str) -> Any:
        card = look_up(number)
        if card.number != number:
            raise Refusal(404, "not_found")
        return card

    patch.setattr(world.emulator.shop, "by_number", exactly)


def _give_another_reason(world: HttpWorld, patch: pytest.MonkeyPatch) -> None:
    move = world.emulator.shop.move

    def not_active(card: Any, minor: int, **more: Any) -> Any:
        if card.minor + minor < 0:
            raise Refusal(409, "not_active")
        return move(card, minor, **more)

    patch.setattr(world.emulator.shop, "move", not_active)


def _lose_changes(world: HttpWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(world.emulator.shop, "_changed", lambda card: None)


def _take_floats(world: HttpWorld, patch: pytest.MonkeyPatch) -> None:
    minor = world.emulator._minor

    def lax(body: dict[str, object]) -> int:
        amount = body.get("amount")
        return round(amount * 100) if isinstance(amount, float) else minor(body)

    patch.setattr(world.emulator, "_minor", lax)


def _ignore_status(world: HttpWorld, patch: pytest.MonkeyPatch) -> None:
    move = world.emulator.shop.move

    def anyway(card: Any, minor: int, **more: Any) -> Any:
        status, card.status = card.status, "active"
        try:
            return move(card, minor, **more)
        finally:
            card.status = status

    patch.setattr(world.emulator.shop, "move", anyway)


def _ignore_expiry(world: HttpWorld, patch: pytest.MonkeyPatch) -> None:
    move = world.emulator.shop.move

    def anyway(card: Any, minor: int, **more: Any) -> Any:
        day, card.expires_on = card.expires_on, None
        try:
            return move(card, minor, **more)
        finally:
            card.expires_on = day

    patch.setattr(world.emulator.shop, "move", anyway)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (_forget_keys, {"create.once", "once", "once.together"}),
        (_take_any_key, {"key.missing", "key.wrong"}),
        (_answer_pages, {"card.missing", "number.missing"}),
        (_show(balance=10.0), {"create"}),
        (_show(key=None), {"create"}),
        (_show(movements=[]), {"create"}),
        (_compare_exactly, {"number.spelling"}),
        (_give_another_reason, {"funds"}),
        (_lose_changes, {"changes.told"}),
        (_take_floats, {"amounts"}),
        (_ignore_status, {"suspend", "closed"}),
        (_ignore_expiry, {"expired"}),
    ],
)
def test_given_a_shop_that_breaks_a_rule_then_that_rule_fails_in_words(
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[HttpWorld, pytest.MonkeyPatch], None],
    found: set[str],
) -> None:
    with http_world() as world:
        spoil(world, monkeypatch)

        outcomes = checked(f"{world.loopback.url}/giftsync")

        assert named(outcomes, Verdict.FAILED) == found, words_of(outcomes)
        assert all(outcomes[name].why and outcomes[name].remedy for name in found)


@pytest.mark.parametrize("wrong", ["secret", "nothing", "once"])
def test_given_webhooks_that_are_not_as_agreed_then_the_rule_fails(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr("connectors.http_side.conformance.money_rules._WEBHOOK_SECONDS", 0.3)
    monkeypatch.setattr("connectors.http_side.conformance.money_rules._WEBHOOK_AGAIN_SECONDS", 3.0)
    retries = 0 if wrong == "once" else 4
    with (
        http_world(webhook_retries_max=retries) as world,
        Receiver(key_of(SECRET)).served("127.0.0.1", 0) as receiver,
    ):
        if wrong != "nothing":
            other = "whsec_" + base64.b64encode(b"another secret of twenty").decode()
            secret = other if wrong == "secret" else SECRET
            world.control("webhooks", {"url": receiver.url, "secret": secret})
        outcomes = checked(f"{world.loopback.url}/giftsync", receiver)

    failed = "webhook.again" if wrong == "once" else "webhook"
    assert named(outcomes, Verdict.FAILED) == {failed}, words_of(outcomes)


def test_given_no_shop_or_a_page_or_a_wrong_key_then_the_command_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("another-key\n")
    with http_world() as world:
        url = f"{world.loopback.url}/giftsync"
        assert giftsync(["contract", "check", url, "--yes", "--key-file", str(key)]) == 3
        words = capsys.readouterr().out
        assert "HTTP 401 (unauthorized)" in words
        assert "another-key" not in words
        assert "Nothing else can be tried" in words
    assert giftsync(["contract", "check", "http://127.0.0.1:9/x", "--yes", "--key-file", str(key)]) == 3
    assert "no connection to the host could be made" in capsys.readouterr().out
    for arguments in (
        ["http://shop.example/x", "--key-file", str(key)],
        ["https://shop.example/x", "--key-file", str(tmp_path / "none")],
        ["https://shop.example/x", "--key-file", str(key), "--webhook-port", "1"],
    ):
        assert giftsync(["contract", "check", *arguments]) == 3
    assert giftsync(["contract", "show"]) == 0
    assert "openapi: 3.1.0" in capsys.readouterr().out


def test_given_json_then_the_answer_has_each_rule_and_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIFTSYNC_CONTRACT_KEY", KEY)
    with http_world(keys_kept=False) as world:
        assert giftsync(["contract", "check", f"{world.loopback.url}/giftsync", "--yes", "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert (answer["schema"], answer["exit_code"]) == ("giftsync/contract-check/1", 2)
    assert answer["failed"] == 3
    assert {one["rule"] for one in answer["rules"]} == {rule.name for rule in ALL}


# --- The example shop ---------------------------------------------------------------------------------------


def _load(name: str) -> Any:
    """A module of the example, which is no package of this repository."""
    spec = util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


CARDS, SHOP, SERVER = _load("cards"), _load("shop"), _load("server")


class ExampleWorld:
    """The example shop, its customers, and the accidents on the way to it."""

    currency = "NOK"
    brand = None
    lists_now = True

    def __init__(self, shop: Any, proxy: FaultProxy) -> None:
        self.shop, self.proxy = shop, proxy
        self.side: HttpSide = side_at(proxy.url, path="")
        self._numbers = 0

    def sell(self, amount_minor: int) -> CardRef:
        number = self.shop.sell(amount_minor)
        return CardRef(self.shop.cards.by_number(number)["id"], Serial(number))

    def spend(self, card: CardRef, amount_minor: int) -> None:
        assert card.serial is not None
        order = self.shop.order(amount_minor, card.serial.reveal())
        assert (order.by_card, order.to_pay) == (amount_minor, 0)

    def load(self, card: CardRef, amount_minor: int) -> None:
        assert card.serial is not None
        self.shop.goodwill(card.serial.reveal(), amount_minor)

    def balance(self, card: CardRef) -> int:
        cards = self.shop.cards
        shown = cards.by_id(card.native_id) if card.native_id else cards.by_number(card.serial.reveal())  # type: ignore[union-attr]
        return round(float(shown["balance"]) * 100)

    def unknown_card(self) -> CardRef:
        return CardRef("card-999999", self.new_serial())

    def new_serial(self) -> Serial:
        self._numbers += 1
        return Serial(f"ab{self._numbers * 7919:014d}")

    def fail_next(self, kind: Mishap) -> None:
        self.proxy.fail_next(PROXY_FAULTS[kind], is_write)

    def settle_late(self) -> None:
        self.proxy.land_late()

    def unreachable(self) -> HttpSide:
        return side_at("http://127.0.0.1:9")


@contextmanager
def example_server(folder: Path, features: list[str] | None = None) -> Iterator[tuple[Any, str]]:
    shop = SHOP.Shop(CARDS.Cards(folder / "shop.db"))
    shop.prepare()
    handler = SERVER.make_handler(SERVER.Api(shop.cards, "example", features or SERVER.FEATURES), KEY)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield shop, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


@contextmanager
def example_world() -> Iterator[ExampleWorld]:
    import tempfile

    with (
        tempfile.TemporaryDirectory() as folder,
        example_server(Path(folder)) as (shop, url),
        FaultProxy(url).served() as proxy,
    ):
        yield ExampleWorld(shop, proxy)


TestExampleShop = contract_for(example_world)


def test_given_the_example_shop_then_it_keeps_every_rule_with_webhooks(tmp_path: Path) -> None:
    stopping = threading.Event()
    with (
        example_server(tmp_path, [*SERVER.FEATURES, "webhooks"]) as (shop, url),
        Receiver(key_of(SECRET)).served("127.0.0.1", 0) as receiver,
    ):
        webhooks = SERVER.Webhooks(shop.cards, receiver.url, SECRET, stopping)
        teller = threading.Thread(target=webhooks.run, daemon=True)
        teller.start()
        outcomes = checked(url, receiver, lambda seconds: threading.Event().wait(0.05) or None)
        stopping.set()
        teller.join(30)

    assert named(outcomes, Verdict.FAILED) == set(), words_of(outcomes)
    assert named(outcomes, Verdict.NOT_TRIED) == {"throttle"}


def test_given_an_order_of_the_example_shop_then_the_card_is_a_line_of_it_and_a_movement(
    tmp_path: Path,
) -> None:
    with example_server(tmp_path) as (shop, _):
        number = shop.sell(250_00)
        order = shop.order(199_00, number.lower())
        assert (order.by_card, order.to_pay) == (199_00, 0)
        assert shop.lines(order.number) == [("goods", 199_00), ("Gift card", -199_00)]
        part = shop.order(100_00, number)
        assert (part.by_card, part.to_pay) == (51_00, 49_00)
        with pytest.raises(CARDS.Refused):
            shop.order(10_00, number)
        assert shop.cancel(order.number) == 199_00
        with pytest.raises(CARDS.Refused):
            shop.cancel(order.number)

        card = shop.cards.by_number(number)
        assert card["balance"] == "199.00"
        assert [one["label"] for one in card["movements"]] == [
            "sold",
            f"order {order.number}",
            f"order {part.number}",
            f"order {order.number} cancelled",
        ]


def test_the_example_is_short_enough_to_be_read() -> None:
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in EXAMPLE.glob("*.py"))
    assert lines < 800
