"""Digests of new conflicts, and privacy requests: what goes out, once, without serials; what is erased."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import smtplib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from connectors.api.errors import SideClosed, Throttled
from connectors.api.webhooks import Delivery
from connectors.shopify.privacy import KINDS, PrivacyTopics
from connectors.shopify.webhooks import read_delivery
from console.reader import reader_of
from mappings.contact import Contact
from mappings.serials import Serial
from sync.decisions.resolutions import Action
from sync.ledger.database.marks import read_mark
from sync.ledger.database.tables import arrivals
from sync.ledger.incoming.deliveries import Inbox
from sync.ledger.support.buyers import Buyers
from sync.ledger.support.privacy_requests import answers
from sync.model import ConflictKind, NewConflict
from sync.support.finding import find
from sync.support.notices import CURSOR, LISTED_MAX, Notices
from sync.support.privacy import (
    Privacy,
)
from sync.support.senders import MailSender, NotDelivered, Notice, WebhookSender
from sync.support.settle import Resolution, resolve
from tests.faulty_server import faulty_server, whole
from tests.integration.console.norwegian import english_in
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop, hidden
from tests.support import Crashed

POOLED = "9900000000000001"
DATA_REQUEST, CUSTOMER_REDACT, SHOP_REDACT = KINDS
KARI = {"order": "#1007", "order_id": "gid://shopify/Order/7", "shipping_name": "Kari Nordmann"}
OLA = {"order": "#1008", "order_id": "gid://shopify/Order/8", "shipping_name": "Ola Nordmann"}


@dataclass
class Received:
    """Keeps what is sent; fails when told to."""

    notices: list[Notice] = field(default_factory=list)
    fails: bool = False

    def send(self, notice: Notice) -> None:
        if self.fails:
            raise NotDelivered("no connection")
        self.notices.append(notice)


@pytest.fixture
def inbox() -> Received:
    return Received()


def notices_of(shop: Shop, inbox: Received) -> Notices:
    return Notices(shop.engine, [inbox], shop.clock, 900.0)


def overdraw(shop: Shop, serial: str = SERIAL) -> int:
    card_id = shop.in_step(10_000, serial)
    shop.move(FLOW, -8_000, serial)
    shop.move(SHOPIFY, -5_000, serial)
    shop.work_until_quiet(card_id)
    return card_id


# --- Notices ------------------------------------------------------------------------------------------------


def test_a_new_conflict_is_told_of_once_in_money_and_without_serials(shop: Shop, inbox: Received) -> None:
    overdraw(shop)
    notices = notices_of(shop, inbox)

    assert notices.send_due()
    shop.clock.advance(10_000)
    assert not notices.send_due()

    (notice,) = inbox.notices
    assert notice.subject == "giftsync: 1 new conflict"
    assert "1 (overdraft, 30.00 NOK): The card was spent on several sides" in notice.text
    assert notice.data["opened"] == [{"id": 1, "kind": "overdraft", "amount_minor": 3_000}]
    assert SERIAL not in json.dumps([notice.text, dict(notice.data)])


def test_given_norwegian_staff_then_the_digest_is_in_norwegian(shop: Shop, inbox: Received) -> None:
    overdraw(shop)
    reader = reader_of("nb", ZoneInfo("Europe/Oslo"))

    assert replace(notices_of(shop, inbox), reader=reader).send_due()

    (notice,) = inbox.notices
    assert notice.subject == "giftsync: 1 nytt avvik"
    assert "1 (brukt to ganger, 30,00\xa0kr): " in notice.text
    assert english_in(notice.text) == []


def test_what_happens_within_the_interval_is_told_in_the_next_digest(shop: Shop, inbox: Received) -> None:
    notices = notices_of(shop, inbox)
    overdraw(shop)
    notices.send_due()
    overdraw(shop, "1000200030004001")

    assert not notices.send_due()
    shop.clock.advance(901)
    assert notices.send_due()
    assert [n.data["opened_count"] for n in inbox.notices] == [1, 1]


def test_a_digest_that_does_not_go_out_is_made_again(shop: Shop, inbox: Received) -> None:
    overdraw(shop)
    notices = notices_of(shop, inbox)
    inbox.fails = True
    assert not notices.send_due()
    assert read_mark(shop.engine, CURSOR) is None

    inbox.fails = False
    assert notices.send_due()


def test_a_conflict_that_closed_by_itself_is_said(shop: Shop, inbox: Received) -> None:
    notices = notices_of(shop, inbox)
    card_id = shop.in_step(10_000)
    card = shop.sides[SHOPIFY].cards.pop(shop.native(SHOPIFY))
    shop.work(card_id)
    notices.send_due()
    shop.sides[SHOPIFY].cards[card.native_id] = card
    shop.clock.advance(1_000)
    shop.work(card_id)

    assert notices.send_due()
    assert "Closed by themselves, because their cause is gone: 1." in inbox.notices[-1].text
    assert "Waiting for a decision: 0." in inbox.notices[-1].text


def test_of_many_conflicts_the_first_are_listed_and_the_rest_counted(shop: Shop, inbox: Received) -> None:
    for number in range(LISTED_MAX + 3):
        _report(shop, number)

    notices_of(shop, inbox).send_due()

    assert "and 3 more" in inbox.notices[0].text
    assert inbox.notices[0].data["opened_count"] == LISTED_MAX + 3


def _report(shop: Shop, number: int) -> None:
    shop.intake.report(NewConflict(ConflictKind.DUPLICATE, f"d:{number}", "Words."), shop.clock())


def test_a_webhook_gets_json_and_its_address_is_never_told() -> None:
    notice = Notice("s", "t", {"n": 1})
    with faulty_server(lambda: [whole(b"", status="500 Oops")]) as server:
        url = f"{server.url}/services/KEY"
        with pytest.raises(NotDelivered) as answered:
            WebhookSender(url).send(notice)
        assert json.loads(server.bodies[0]) == {"subject": "s", "text": "s\nt", "n": 1}
    with pytest.raises(NotDelivered) as unreached:
        WebhookSender(url).send(notice)
    for caught in (answered, unreached):
        assert "KEY" not in f"{caught.value} {WebhookSender(url)!r}"


def test_mail_goes_out_encrypted_unless_the_server_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Server:
        def __init__(self, *_: object, **__: object) -> None: ...
        def __enter__(self) -> Server:
            return self

        def __exit__(self, *_: object) -> None: ...
        def connect(self, host: str, port: int) -> None:
            calls.append(f"connect {host}:{port}")

        def starttls(self, **_: object) -> None:
            calls.append("starttls")

        def login(self, user: str, _: str) -> None:
            calls.append(f"login {user}")

        def send_message(self, message: object) -> None:
            calls.append("send")

    monkeypatch.setattr(smtplib, "SMTP", Server)
    sender = MailSender("mail.example.com", 587, "a@example.com", "b@example.com", "kari", "pw")
    sender.send(Notice("s", "t", {}))
    MailSender("localhost", 25, "a@example.com", "b@example.com", encrypts=False).send(Notice("s", "t", {}))

    encrypted = ["connect mail.example.com:587", "starttls", "login kari", "send"]
    assert calls == [*encrypted, "connect localhost:25", "send"]


# --- Privacy ------------------------------------------------------------------------------------------------


@pytest.fixture
def online(make_shop: Callable[..., Shop]) -> Shop:
    """Kari's card is in step, Ola's waits."""
    shop = make_shop(capabilities={SHOPIFY: hidden()})
    shop.pool.add(FLOW, [Serial(POOLED)])
    ref = shop.sell(SHOPIFY, 50_000, "abcd1234efgh5678")
    shop.matcher.match(shop.arrive(SHOPIFY, ref, last_chars="5678", details=KARI))
    shop.work_until_quiet(1)
    shop.arrive(SHOPIFY, shop.sell(SHOPIFY, 20_000, "abcd1234efgh9999"), last_chars="9999", details=OLA)
    return shop


def request(topic: str, *orders: int, key: str = "k1") -> Delivery:
    return Delivery(key, topic, json.dumps({"orders": orders}))


def everything_said(shop: Shop) -> str:
    """Everything in the ledger, what is sealed opened; as it lies there it names nobody."""
    names = ("presences", "intents", "origins", "arrivals", "movements", "conflicts", "privacy_requests")
    rows = {name: shop.rows(name) for name in names}
    assert not {"Kari", "Ola", "Eva", "Nordmann"} & set(re.findall(r"\w+", json.dumps(rows, default=str)))
    for row in (*rows["presences"], *rows["intents"]):
        row["note"] = shop.vault.open_words(row["note"])
    for row in rows["origins"]:
        row["holder"] = shop.vault.open_words(row["holder"])
    for row in rows["arrivals"]:
        row["details"] = shop.vault.open_details(row["details"])
    return json.dumps(rows, default=str)


def answered(shop: Shop, folder: Path, delivery: Delivery) -> bool:
    return asked_of(privacy_of(shop, folder), delivery)


def asked_of(privacy: Privacy, delivery: Delivery) -> bool:
    asked = PrivacyTopics().privacy_request(delivery)
    assert asked is not None
    return privacy.answer(SHOPIFY, delivery, asked)


def privacy_of(shop: Shop, folder: Path) -> Privacy:
    return Privacy(Buyers(shop.engine, shop.vault), shop.sides, shop.clock, folder)


def test_what_is_known_of_a_buyer_is_written_to_a_file_of_its_owner(online: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "privacy"

    assert answered(online, folder, request(DATA_REQUEST, 7))

    (path,) = folder.iterdir()
    told = json.loads(path.read_text())
    assert (path.stat().st_mode & 0o777, told["cards"][0]["shipping_name"]) == (0o600, "Kari Nordmann")
    assert told["cards"][0]["cards"] == {SHOPIFY: "••••5678", FLOW: "••••0001"}
    assert "Ola" not in path.read_text()
    assert POOLED not in path.read_text()
    assert answers(online.engine)[0].cards == 1


def test_a_buyer_is_erased_everywhere_and_the_balance_stays(online: Shop, tmp_path: Path) -> None:
    assert "Kari" in everything_said(online)
    assert [hit.card.id for hit in find(online.link, "kari nordmann").hits] == [1]

    assert answered(online, tmp_path, request(CUSTOMER_REDACT, 7))

    assert find(online.link, "kari nordmann").hits == ()
    assert online.rows("origin_names") == []

    said = everything_said(online)
    assert "Kari" not in said
    assert "Ola Nordmann" in said
    assert online.card(1).balance_minor == 50_000
    assert "#1007" in said, "staff still find the card by its order"
    (answer,) = answers(online.engine)
    assert answer.outcome.startswith(
        "What is known of the buyer was erased from 1 cards; balances stay. 1 of"
    )


def test_a_buyer_whose_card_waits_is_erased_too(online: Shop, tmp_path: Path) -> None:
    answered(online, tmp_path, request(CUSTOMER_REDACT, 8))

    said = everything_said(online)
    assert "Ola" not in said
    assert "Kari Nordmann" in said


def test_a_shop_that_leaves_takes_all_names_with_it_and_no_balance(online: Shop, tmp_path: Path) -> None:
    answered(online, tmp_path, request(SHOP_REDACT))

    assert "Nordmann" not in everything_said(online)
    assert online.card(1).balance_minor == 50_000


def test_a_request_given_twice_is_answered_once(online: Shop, tmp_path: Path) -> None:
    for _ in range(2):
        assert answered(online, tmp_path, request(CUSTOMER_REDACT, 7))

    assert len(answers(online.engine)) == 1


def newcomer(shop: Shop) -> None:
    """A buyer who came after everything so far."""
    shop.clock.advance(1)
    ref = shop.sell(SHOPIFY, 30_000, "abcd1234efgh7777")
    details = {"order": "#1009", "order_id": "gid://shopify/Order/9", "shipping_name": "Eva Nordmann"}
    shop.arrive(SHOPIFY, ref, last_chars="7777", details=details)


def test_a_shop_s_request_that_somebody_sends_again_under_a_new_id_erases_no_newer_name(
    online: Shop, tmp_path: Path
) -> None:
    privacy = privacy_of(online, tmp_path)
    assert asked_of(privacy, request(SHOP_REDACT, key="genuine"))
    newcomer(online)

    assert asked_of(privacy, request(SHOP_REDACT, key="genuine"))
    assert asked_of(privacy, request(SHOP_REDACT, key="made-up"))

    said = everything_said(online)
    assert ("Eva Nordmann" in said, "Kari" in said, "Ola" in said) == (True, False, False)
    first, again = answers(online.engine)
    assert (first.cards, again.cards) == (2, 0)
    assert "may be a copy" in again.outcome


def test_a_name_that_a_crash_left_is_erased_when_the_request_comes_again(
    online: Shop, tmp_path: Path, crash_at: Callable[..., None]
) -> None:
    privacy = privacy_of(online, tmp_path)
    crash_at("privacy.inside")
    with pytest.raises(Crashed):
        asked_of(privacy, request(SHOP_REDACT))
    assert "Kari" in everything_said(online)

    assert asked_of(privacy, request(SHOP_REDACT))
    assert "Nordmann" not in everything_said(online)


def test_a_shop_that_has_shut_giftsync_out_takes_the_newer_names_with_it_too(
    online: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    privacy = privacy_of(online, tmp_path)
    assert asked_of(privacy, request(SHOP_REDACT, key="first"))
    newcomer(online)

    answer = [Throttled("busy", 1.0), SideClosed("the app was uninstalled", "Install it again.")]

    def identify() -> None:
        raise answer.pop(0)

    monkeypatch.setattr(online.sides[SHOPIFY], "identify", identify)
    assert not asked_of(privacy, request(SHOP_REDACT, key="second")), "it waits until the shop answers"
    assert "Eva Nordmann" in everything_said(online)
    assert asked_of(privacy, request(SHOP_REDACT, key="second"))
    assert "Nordmann" not in everything_said(online)


def test_a_buyer_s_request_that_is_sent_again_leaves_how_they_are_reached_for_a_newer_card(
    online: Shop, tmp_path: Path
) -> None:
    contact = Contact("kari@example.com")
    asked = json.dumps({"orders": [7], "contacts": sorted(contact.digests())})
    privacy = privacy_of(online, tmp_path)
    assert asked_of(privacy, Delivery("genuine", CUSTOMER_REDACT, asked))
    newcomer(online)
    with online.engine.begin() as connection:
        newest = arrivals.c.last_chars == "7777"
        sealed = online.vault.seal_contact(contact)
        connection.execute(update(arrivals).where(newest).values(contact_sealed=sealed))

    assert asked_of(privacy, Delivery("made-up", CUSTOMER_REDACT, asked))
    kept = [row["contact_sealed"] for row in online.rows("arrivals") if row["last_chars"] == "7777"]
    assert kept == [sealed]
    other = json.dumps({"orders": [7, 9], "contacts": sorted(contact.digests())})
    assert asked_of(privacy, Delivery("new", CUSTOMER_REDACT, other))
    assert "Eva" not in everything_said(online)


def test_a_folder_that_cannot_be_written_keeps_the_request_waiting(online: Shop, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert not answered(online, tmp_path / "file" / "privacy", request(DATA_REQUEST, 7))
    assert answers(online.engine) == []


def test_the_worker_answers_a_stored_delivery(online: Shop, tmp_path: Path) -> None:
    online.worker.privacy = privacy_of(online, tmp_path)
    side = online.sides[SHOPIFY]
    side.abilities = replace(side.abilities, privacy=PrivacyTopics())
    box = Inbox(online.intake)
    box.store(SHOPIFY, [request(CUSTOMER_REDACT, 7)], online.clock())

    report = online.sync()
    assert online.worker.process_deliveries(report, SHOPIFY).processed == 1
    assert box.due(SHOPIFY, online.clock() + timedelta(days=1), 10) == []
    assert "Kari" not in everything_said(online)


@pytest.mark.parametrize(
    ("topic", "body", "orders"),
    [
        (CUSTOMER_REDACT, {"orders_to_redact": [7, "x", True], "customer": {}}, [7]),
        (
            DATA_REQUEST,
            {
                "orders_requested": [7, 8],
                "customer": {"email": "kari@example.com"},
                "data_request": {"id": 1},
            },
            [7, 8],
        ),
        (SHOP_REDACT, {}, []),
    ],
)
def test_of_a_delivery_only_the_orders_and_digests_of_the_contact_are_kept(
    topic: str, body: dict[str, object], orders: list[int]
) -> None:
    raw = json.dumps({"shop_id": 1, "shop_domain": "example.myshopify.com", **body}).encode()
    signature = base64.b64encode(hmac.new(b"secret", raw, hashlib.sha256).digest()).decode()
    headers = {
        "x-shopify-hmac-sha256": signature,
        "x-shopify-topic": topic,
        "x-shopify-shop-domain": "example.myshopify.com",
        "x-shopify-webhook-id": "w1",
    }

    delivery = read_delivery("example.myshopify.com", ["secret"], headers, raw)

    assert delivery is not None
    kept = PrivacyTopics().privacy_request(delivery)
    assert kept is not None
    assert kept.orders == [f"gid://shopify/Order/{n}" for n in orders]
    assert "kari" not in delivery.subject
    asked = Contact("kari@example.com").digests() if topic == DATA_REQUEST else frozenset()
    assert kept.contacts == asked


def test_settling_by_hand_is_not_told_as_closed_by_itself(shop: Shop, inbox: Received) -> None:
    overdraw(shop)
    notices = notices_of(shop, inbox)
    notices.send_due()
    resolve(shop.link, 1, Resolution(Action.WRITE_OFF, "kari", "seen"))
    shop.clock.advance(1_000)

    assert not notices.send_due()
