"""The page for customers: a balance for whoever has number and CVC, one answer for everybody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from structlog.testing import capture_logs

from console.app import create_app
from console.balance import ADDRESS_PER_MINUTE, BalancePage
from console.receiver import create_receiver
from console.server import serve
from sync.authority.cards import Cards, Issued, Wanted
from sync.ledger.hub.guesses import CARD_MAX, TOKEN_MAX, Guesses
from sync.ledger.incoming.deliveries import Inbox
from tests.integration.authority.till import Till
from tests.integration.shop import SERIAL, Shop

NUMBER = "6399000000001234"


def cards_of(shop: Shop) -> Cards:
    return Cards(Till(shop).hands, shop.pool, Guesses(shop.engine))


@contextmanager
def serving(shop: Shop, *, without_cvc: bool = False, monotonic: float = 0.0) -> Iterator[str]:
    page = BalancePage(cards_of(shop), "en", without_cvc)
    moment = iter(float(60 * n) for n in range(1_000_000))
    if not monotonic:
        # Each try comes a minute after the one before.
        page.buckets.monotonic = lambda: next(moment)
    else:
        page.buckets.monotonic = lambda: monotonic
    receiver = create_receiver({}, Inbox(shop.intake), shop.clock, lambda side, kept: None)
    with serve(create_app(receiver, balance=page), "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}/balance"


@pytest.fixture
def issued(shop: Shop) -> Issued:
    return cards_of(shop).issue(Wanted(50_000, "NOK", NUMBER, with_cvc=True), Till(shop).caller("i1"))


def ask(url: str, number: str, cvc: str | None) -> requests.Response:
    return requests.post(url, data={"number": number, **({} if cvc is None else {"cvc": cvc})}, timeout=30)


def test_given_number_and_cvc_then_the_balance_is_shown_and_no_number(shop: Shop, issued: Issued) -> None:
    with serving(shop) as url:
        form = requests.get(url, timeout=30)
        answer = ask(url, "6399 0000 0000 1234", issued.cvc)

    assert form.status_code == 200
    assert form.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.status_code == 200
    assert "500" in answer.text
    assert "••••1234" in answer.text
    assert NUMBER not in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_given_the_token_of_a_qr_code_then_the_cvc_is_asked_for_alone(shop: Shop, issued: Issued) -> None:
    token = shop.vault.card_ref(issued.card_id)
    with serving(shop) as url:
        form = requests.get(f"{url}/{token}", timeout=30)
        answer = requests.post(url, data={"token": token, "cvc": issued.cvc}, timeout=30)

    assert 'name="number"' not in form.text
    assert (answer.status_code, "500" in answer.text) == (200, True)


def test_given_what_does_not_fit_then_every_answer_is_the_same(shop: Shop, issued: Issued) -> None:
    shop.in_step(10_000)
    assert issued.cvc is not None
    wrong = str((int(issued.cvc) + 1) % 10_000).zfill(len(issued.cvc))
    with serving(shop) as url:
        answers = [
            ask(url, number, cvc)
            for number, cvc in (
                (NUMBER, wrong),
                (NUMBER, None),
                ("6399000000009999", issued.cvc),
                (SERIAL, "123"),
                (SERIAL, None),
                ("", ""),
                ("<script>", "x" * 50),
            )
        ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("by_hand", "status"),
    [
        ("UPDATE hub_entries SET with_cvc = false", 404),
        ("DELETE FROM hub_entries", 404),
        ("""UPDATE movements SET evidence = '{"load": "iss_1", "with_cvc": false}'""", 503),
    ],
)
def test_given_a_cvc_that_somebody_took_off_a_card_then_it_is_asked_for_all_the_same(
    shop: Shop, issued: Issued, by_hand: str, status: int
) -> None:
    shop.by_hand(by_hand)

    with serving(shop, without_cvc=True) as url:
        assert ask(url, NUMBER, None).status_code == status


def test_given_the_merchant_allows_it_then_a_card_without_a_cvc_is_shown(shop: Shop) -> None:
    shop.in_step(10_000)
    with serving(shop, without_cvc=True) as url:
        assert ask(url, SERIAL, None).status_code == 200


def test_given_guesses_then_the_right_cvc_is_not_heard_either_and_it_is_logged(
    shop: Shop, issued: Issued
) -> None:
    assert issued.cvc is not None
    wrong = str((int(issued.cvc) + 1) % 10_000).zfill(len(issued.cvc))
    with serving(shop) as url, capture_logs() as logs:
        for _ in range(CARD_MAX):
            ask(url, NUMBER, wrong)
        assert ask(url, NUMBER, issued.cvc).status_code == 404
        for n in range(TOKEN_MAX):
            last = ask(url, f"63990000000{n:05d}", "123")
        assert last.status_code == 429
        shop.clock.advance(16 * 60)
        assert ask(url, NUMBER, issued.cvc).status_code == 200

    assert "api.guessing" in {line.get("action") for line in logs}
    assert NUMBER not in str(logs)


def test_given_many_tries_in_a_minute_then_an_address_has_to_wait(shop: Shop, issued: Issued) -> None:
    with serving(shop, monotonic=1.0) as url:
        statuses = [ask(url, NUMBER, issued.cvc).status_code for _ in range(ADDRESS_PER_MINUTE + 1)]

    assert statuses == [200] * ADDRESS_PER_MINUTE + [429]


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a" * 5000, b"&".join(b"a=1" for _ in range(50))])
def test_given_a_malformed_form_then_it_is_refused(shop: Shop, body: bytes) -> None:
    with serving(shop) as url:
        assert requests.post(url, data=body, timeout=30).status_code == 400
