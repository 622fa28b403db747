"""The books' arithmetic: periods, lines, first in first out, settlement, journal, exports and seals."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mappings.money import minor_from_decimal
from mappings.readers import ENGLISH
from sync.books import periods
from sync.books.ageing import estimate_breakage
from sync.books.classify import Context, UnknownMovement, classify
from sync.books.entries import HEAD_OFFICE, LABELS, Entry, Facts, Line, Movement, Place, Receipt
from sync.books.journal import Accounts, journal
from sync.books.lots import Bearer, Rules, Use, uses_of
from sync.books.periods import PeriodError
from sync.books.render.csv_files import csv_of, harmless
from sync.books.render.fonts import printable
from sync.books.render.pages import pdf_of
from sync.books.render.tables import Table, shown, tables_of
from sync.books.render.workbook import workbook_of
from sync.books.rollforward import BooksBroken, CardBook, Key, Summed, keep_books
from sync.books.seal import NotAStatement, Sealed, canonical, fingerprint, read_content, read_file
from sync.books.settlement import Settlement
from sync.books.statement import (
    Frame,
    LatePart,
    LedgerPart,
    SideInfo,
    Statement,
    faults,
    make_statement,
    rules_part,
)
from sync.ledger.secrets.vault import KEY_BYTES, Vault
from sync.support.bookkeeping import verify

OSLO = ZoneInfo("Europe/Oslo")
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
CONTEXT = Context(OSLO, {"flow": BEGAN, "shopify": BEGAN})
CARD = Facts(1, "NOK", "Gavekort", "flow")
A, B = Place("flow", "A"), Place("flow", "B")
ACCOUNTS = Accounts("2900", "2990", "1570", "1571", "1572", "3900", "7830", "7790")
VAULT = Vault(bytes(range(KEY_BYTES)))


def movement(
    kind: str, side: str | None, amount: int, n: int = 1, at: datetime = AT, **more: object
) -> Movement:
    return Movement(n, 1, n, side, kind, amount, at, bool(more.get("now", True)), more.get("evidence"))  # type: ignore[arg-type]


def receipt(kind: str, amount: int, store: str = "A", at: datetime = AT, side: str = "flow") -> Receipt:
    return Receipt(1, side, kind, at, amount, store, "1", "500001", "100001")


def lines(
    *movements: Movement, receipts: tuple[Receipt, ...] = (), card: Facts = CARD
) -> list[tuple[Line, int]]:
    found = classify(card, movements, sorted(receipts, key=lambda r: r.at), CONTEXT).entries
    return [(e.line, e.amount_minor) for e in found]


# --- Periods ------------------------------------------------------------------------------------------------


def test_given_a_month_with_a_change_of_clocks_then_it_is_an_hour_longer_or_shorter() -> None:
    october, march = periods.month("2026-10", OSLO), periods.month("2026-03", OSLO)

    assert october.from_at == datetime(2026, 9, 30, 22, tzinfo=UTC)
    assert october.until_at - october.from_at == timedelta(days=31, hours=1)
    assert march.until_at - march.from_at == timedelta(days=31, hours=-1)


def test_given_clocks_that_skip_midnight_then_the_day_begins_when_they_do() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # 24 April 2026: from 00:00 to 01:00.

    one = periods.days(date(2026, 4, 23), date(2026, 4, 23), cairo)
    other = periods.days(date(2026, 4, 24), date(2026, 4, 24), cairo)

    assert one.until_at == other.from_at == datetime(2026, 4, 23, 22, tzinfo=UTC)
    assert other.until_at - other.from_at == timedelta(hours=23)


def test_given_months_then_each_ends_where_the_next_begins() -> None:
    assert periods.month_after("2026-12") == "2027-01"
    assert periods.month("2026-12", OSLO).until_at == periods.month("2027-01", OSLO).from_at
    assert periods.month("2028-02", OSLO).last_day == date(2028, 2, 29)


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "2026-1", "26-11", "11-2026", "november", "", "2026-11-01"]
)
def test_given_no_month_then_it_says_how_one_is_written(text: str) -> None:
    with pytest.raises(PeriodError, match="2026-11"):
        periods.month(text, OSLO)


def test_given_a_day_that_an_earlier_month_lacks_then_its_last_one_is_taken() -> None:
    moment = datetime(2026, 5, 31, 12, tzinfo=UTC)

    assert periods.months_before(moment, 3) == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert periods.months_before(moment, 24) == datetime(2024, 5, 31, 12, tzinfo=UTC)


# --- Lines --------------------------------------------------------------------------------------------------


def test_given_receipts_that_add_up_then_one_movement_falls_on_their_lines() -> None:
    moved = movement("observed", "flow", 150)

    found = lines(moved, receipts=(receipt("payment", -50), receipt("sale", 180), receipt("refund", 20)))

    assert sorted(found) == [(Line.LOADED, 180), (Line.REDEEMED, -50), (Line.REFUNDED, 20)]


def test_given_receipts_that_do_not_add_up_then_the_sign_decides() -> None:
    assert lines(movement("observed", "flow", -70), receipts=(receipt("payment", -50),)) == [
        (Line.REDEEMED, -70)
    ]
    assert lines(movement("observed", "flow", 70)) == [(Line.LOADED, 70)]


def test_given_the_sides_own_entries_then_they_tell_what_the_sum_hides() -> None:
    evidence = {"unexplained_minor": 0, "entries": [{"amount_minor": -30}, {"amount_minor": 100}]}

    assert lines(movement("observed", "shopify", 70, evidence=evidence)) == [
        (Line.REDEEMED, -30),
        (Line.LOADED, 100),
    ]


def test_given_a_list_of_entries_that_was_cut_off_then_it_is_not_believed() -> None:
    evidence = {"unexplained_minor": 0, "entries": [{"amount_minor": -30}]}

    assert lines(movement("observed", "shopify", 70, evidence=evidence)) == [(Line.LOADED, 70)]


def test_given_a_receipt_of_an_earlier_look_then_it_explains_nothing_again() -> None:
    old = receipt("payment", -50, at=AT - timedelta(days=3))
    earlier = movement("observed", "flow", -50, 1, AT - timedelta(days=2), now=False)

    found = classify(CARD, [earlier, movement("observed", "flow", -50, 2)], [old], CONTEXT)

    assert found.used_before_minor == 50
    assert [(e.amount_minor, e.happened_at) for e in found.entries] == [(-50, None)]


def test_given_a_card_sold_since_giftsync_began_then_it_is_issued_else_taken_over() -> None:
    opening = movement("opening", "flow", 500)
    before = receipt("sale", 500, at=BEGAN - timedelta(days=1))

    assert lines(opening, receipts=(receipt("sale", 500),)) == [(Line.ISSUED, 500)]
    assert lines(opening, receipts=(before,)) == [(Line.TAKEN_OVER, 500)]
    assert lines(opening) == [(Line.ISSUED, 500)]
    assert lines(movement("opening", "flow", 500, at=BEGAN)) == [(Line.TAKEN_OVER, 500)]
    assert lines(opening, card=CARD._replace(imported=True)) == [(Line.TAKEN_OVER, 500)]
    assert lines(opening, card=CARD._replace(bought_at=AT)) == [(Line.ISSUED, 500)]


def test_given_a_card_that_was_used_before_the_hub_met_it_then_both_are_told() -> None:
    opening = movement("opening", "flow", 400)
    sale, payment = receipt("sale", 500), receipt("payment", -100)

    assert lines(opening, receipts=(sale, payment)) == [(Line.ISSUED, 500), (Line.REDEEMED, -100)]
    bought = CARD._replace(bought_at=AT - timedelta(hours=1))
    assert lines(opening, receipts=(payment,), card=bought) == [(Line.ISSUED, 500), (Line.REDEEMED, -100)]


def test_given_more_on_a_card_than_was_paid_then_the_rest_is_a_discount() -> None:
    found = classify(CARD, [movement("opening", "flow", 500)], [receipt("sale", 400)], CONTEXT).entries

    assert [(e.line, e.amount_minor, e.discount_minor) for e in found] == [(Line.ISSUED, 500, 100)]


def test_given_a_closed_card_then_its_last_day_says_whether_it_expired() -> None:
    card = CARD._replace(expires_on=date(2026, 11, 9))

    assert lines(movement("closed", "flow", -90), card=card) == [(Line.EXPIRED, -90)]
    assert lines(movement("observed", "flow", -90), card=card) == [(Line.EXPIRED, -90)]
    assert lines(movement("observed", "flow", -90), receipts=(receipt("payment", -90),), card=card) == [
        (Line.REDEEMED, -90)
    ]
    part = lines(movement("resolution", None, 90), movement("observed", "flow", -30), card=card)
    assert part == [(Line.ADJUSTED, 90), (Line.REDEEMED, -30)], "a lenient till, and no receipt that tells"
    assert lines(movement("closed", "flow", -90)) == [(Line.CLOSED, -90)]
    on_its_day = CARD._replace(expires_on=date(2026, 11, 10))
    assert lines(movement("closed", "flow", -90), card=on_its_day) == [(Line.CLOSED, -90)]


def test_given_a_person_or_a_write_off_then_each_has_its_line() -> None:
    assert lines(movement("resolution", None, 40)) == [(Line.ADJUSTED, 40)]
    assert lines(movement("write_off", None, 40)) == [(Line.WRITTEN_OFF, 40)]
    assert lines(movement("resolution", None, -40), card=CARD._replace(given_away_at=AT)) == [
        (Line.TRANSFERRED, -40)
    ]
    assert lines(movement("resolution", None, 40), card=CARD._replace(given_by=7)) == [(Line.TRANSFERRED, 40)]


def test_given_a_kind_that_giftsync_does_not_write_then_it_is_named() -> None:
    with pytest.raises(UnknownMovement, match="'gift'"):
        lines(movement("gift", "flow", 10))


# --- First in, first out ------------------------------------------------------------------------------------


def uses(*booked: tuple[Line, int, Place], rules: Rules = Rules(), discount: int = 0) -> list[Use]:
    made = [Entry(n, 1, line, amount, place, AT, True) for n, (line, amount, place) in enumerate(booked)]
    made[0] = made[0]._replace(discount_minor=discount)
    return uses_of(classify(CARD, [], [], CONTEXT)._replace(entries=made), rules)[0]


def test_given_value_from_two_stores_then_the_older_is_used_first() -> None:
    found = uses((Line.ISSUED, 100, A), (Line.LOADED, 50, B), (Line.REDEEMED, -120, B))

    assert found == [Use(A, B, 100), Use(B, B, 20)]


def test_given_money_that_was_spent_twice_then_the_settings_say_who_bears_it() -> None:
    spent = (
        (Line.ISSUED, 100, A),
        (Line.REDEEMED, -60, A),
        (Line.REDEEMED, -60, B),
        (Line.WRITTEN_OFF, 20, HEAD_OFFICE),
    )

    def owed(bearer: Bearer) -> Use:
        return uses(*spent, rules=Rules(write_offs=bearer))[-1]

    assert owed(Bearer.HEAD_OFFICE) == Use(HEAD_OFFICE, B, 20)
    assert owed(Bearer.ISSUING) == Use(A, B, 20)
    assert owed(Bearer.REDEEMING) == Use(B, B, 20)


def test_given_a_discount_then_what_was_paid_is_used_first_and_the_settings_say_who_bears_the_rest() -> None:
    spent = (Line.ISSUED, 100, A), (Line.REDEEMED, -100, B)

    assert uses(*spent, discount=30, rules=Rules(discounts=Bearer.ISSUING)) == [Use(A, B, 70), Use(A, B, 30)]
    by_head_office = uses(*spent, discount=30, rules=Rules(discounts=Bearer.HEAD_OFFICE))
    assert by_head_office == [Use(A, B, 70), Use(HEAD_OFFICE, B, 30)]
    assert uses(*spent, discount=30, rules=Rules(discounts=Bearer.REDEEMING)) == [
        Use(A, B, 70),
        Use(B, B, 30),
    ]


def test_given_value_that_moved_to_another_card_then_its_origin_moves_along() -> None:
    taken = CardBook(
        CARD._replace(given_away_at=AT),
        [movement("opening", "flow", 100, 1), movement("resolution", None, -100, 2)],
        [receipt("sale", 100, "A")],
    )
    given = CardBook(
        Facts(2, "NOK", "Gavekort", "flow", given_by=1),
        [
            Movement(3, 2, 1, None, "resolution", 100, AT, True, None),
            Movement(4, 2, 2, "flow", "observed", -40, AT, True, None),
        ],
        [Receipt(2, "flow", "payment", AT, -40, "B", "", "", "")],
    )
    total = Summed(Key("NOK", "Gavekort", "flow"), 0, 0, False, 1, 0, 60, 100, 60, 0, 0)

    books = keep_books([total], [taken, given], CONTEXT, Rules(), BEGAN)

    assert books.currencies["NOK"].settlement.matrix == {(A, B): 40}


def test_given_rows_that_do_not_come_to_the_balances_then_the_books_are_broken() -> None:
    total = Summed(Key("NOK", "Gavekort", "flow"), 0, 0, False, 1, 0, 99, 100, 99, 0, 0)
    card = CardBook(CARD, [movement("opening", "flow", 100)], [])

    with pytest.raises(BooksBroken, match="come to 100, the balances to 99"):
        keep_books([total], [card], CONTEXT, Rules(), BEGAN)


def test_given_uses_both_ways_then_a_pair_has_one_net_line_and_all_positions_are_zero() -> None:
    settlement = Settlement()
    settlement.add([Use(A, B, 100), Use(B, A, 30), Use(A, A, 500), Use(HEAD_OFFICE, A, 7)])

    assert [(p.debtor, p.creditor, p.net_minor) for p in settlement.pairs()] == [
        ("flow, A", "flow, B", 70),
        ("head office", "flow, A", 7),
    ]
    positions = {p.place: p.position_minor for p in settlement.places()}
    assert positions == {"flow, A": -63, "flow, B": 70, "head office": -7}
    assert sum(positions.values()) == 0


@pytest.mark.parametrize(
    ("sold_at", "line"),
    [
        (BEGAN, Line.ISSUED),
        (BEGAN - timedelta(seconds=1), Line.TAKEN_OVER),
        (BEGAN - timedelta(minutes=4), Line.TAKEN_OVER),
    ],
)
def test_given_a_card_of_the_second_in_which_giftsync_began_then_it_is_new_and_one_before_it_is_not(
    sold_at: datetime, line: Line
) -> None:
    within_the_second = Context(OSLO, {"flow": BEGAN + timedelta(microseconds=700_000)})
    met = movement("opening", "flow", 100)

    for card, receipts in (
        (CARD, [receipt("sale", 100, at=sold_at)]),
        (CARD._replace(bought_at=sold_at), []),
    ):
        assert [e.line for e in classify(card, [met], receipts, within_the_second).entries] == [line]


# --- Estimates and journal ----------------------------------------------------------------------------------


def test_given_old_cards_then_what_stays_on_them_tells_of_the_younger_ones() -> None:
    found = estimate_breakage(
        24, old_put_on=1_000, old_left=80, young_put_on=500, young_left=400, old_owed=80
    )

    assert found is not None
    assert (found.rate_per_mille, found.estimate_minor) == (80, 80 + 40)
    assert estimate_breakage(24, 0, 0, 500, 400, 0) is None
    nearly_empty = estimate_breakage(24, 1_000, 900, 500, 3, 900)
    assert nearly_empty is not None
    assert nearly_empty.estimate_minor == 900 + 3


def test_given_a_months_lines_then_debits_are_credits_and_the_liability_moves_by_their_sum() -> None:
    sums = {
        Line.ISSUED: 700,
        Line.REDEEMED: -500,
        Line.WRITTEN_OFF: 20,
        Line.CLOSED: -30,
        Line.TRANSFERRED: -40,
    }

    made = journal(sums, ACCOUNTS, "2026-11")

    assert sum(j.debit_minor for j in made) == sum(j.credit_minor for j in made) == 1_250
    moved = sum(j.credit_minor - j.debit_minor for j in made if j.account == "2900")
    assert moved == 700 - 500 + 20 - 30
    assert next((j.account, j.debit_minor) for j in made if j.debit_minor) == ("1570", 700)
    assert all(j.debit_minor >= 0 and j.credit_minor >= 0 for j in made)


# --- The document and its exports ---------------------------------------------------------------------------


def a_statement(number: int | None = 1, store: str = "A", currency: str = "NOK") -> Statement:
    card = CardBook(
        CARD._replace(currency=currency),
        [movement("opening", "flow", 10_000, 1), movement("observed", "shopify", -2_550, 2)],
        [receipt("sale", 10_000, store)],
    )
    total = Summed(Key(currency, "Gavekort", "flow"), 0, 0, False, 1, 0, 7_450, 10_000, 7_450, 0, 0)
    frame = Frame(
        periods.month("2026-11", OSLO),
        "Europe/Oslo",
        datetime(2026, 12, 1, 8, tzinfo=UTC),
        (SideInfo("flow", "7/70", currency),),
        rules_part(Rules(), "multi_purpose", 24, ACCOUNTS, expiry_ends_debt=True),
        LedgerPart("ab" * 32, 2, 2),
        {},
        number,
    )
    return make_statement(keep_books([total], [card], CONTEXT, Rules(), BEGAN), frame)


def sealed(statement: Statement) -> Sealed:
    content = canonical(statement)
    return Sealed(statement, content, VAULT.signs_as, VAULT.sign(content))


def test_given_a_sealed_statement_then_its_file_reads_back_as_signed_and_is_the_same_each_time() -> None:
    one = sealed(a_statement())

    again = read_file(one.to_file())

    assert again == one
    assert again.is_as_signed
    assert read_content(one.content) == one.statement
    assert sealed(a_statement()).to_file() == one.to_file()
    assert faults(one.statement) == []


def test_given_one_changed_amount_then_neither_signature_nor_sums_hold() -> None:
    file = json.loads(sealed(a_statement()).to_file())
    file["statement"]["currencies"][0]["total"]["closing_minor"] += 1

    changed = read_file(json.dumps(file).encode())

    assert not changed.is_as_signed
    assert any("come to 7450, and the closing says 7451" in words for words in faults(changed.statement))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not the JSON"),
        (b"\xff\xfe", "not the JSON"),
        (b"[1]", "no `statement`"),
        (b'{"statement": {}, "statement": {}, "signature": {}}', "stands twice"),
        (b'{"statement": {"format": 1.5}}', "not a whole number"),
        (
            b'{"statement": {}, "signature": {"algorithm": "none", "public_key": "", "value": ""}}',
            "signed with",
        ),
        (
            b'{"statement": {}, "signature": {"algorithm": "Ed25519", "public_key": "x", "value": ""}}',
            "hexadecimal",
        ),
        (
            b'{"statement": {}, "signature": {"algorithm": "Ed25519", "public_key": "", "value": ""}}',
            "its format",
        ),
        (b"[" * 100_000, "not the JSON"),
        (
            b'{"statement": {"a":"\\ud800"},"signature":{"algorithm":"Ed25519","public_key":"","value":""}}',
            "half a character",
        ),
    ],
)
def test_given_what_is_no_statement_then_it_says_why(data: bytes, words: str) -> None:
    with pytest.raises(NotAStatement, match=words):
        read_file(data)


def test_given_a_statement_with_a_field_missing_or_of_another_type_then_it_is_refused() -> None:
    file = json.loads(sealed(a_statement()).to_file())
    without, wrong = json.loads(json.dumps(file)), json.loads(json.dumps(file))
    del without["statement"]["ledger"]
    wrong["statement"]["currencies"][0]["total"]["opening_minor"] = "0"

    for one in (without, wrong):
        with pytest.raises(NotAStatement, match="not a complete statement"):
            read_file(json.dumps(one).encode())


def test_given_any_one_byte_of_a_file_changed_or_any_end_missing_then_it_does_not_hold() -> None:
    data = sealed(a_statement()).to_file()
    assert verify(data, None).wrong == ()

    for at in range(len(data)):
        assert verify(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], None).wrong, at
    for end in range(0, len(data) - 1, 50):
        assert verify(data[:end], None).wrong, end


def test_given_another_key_then_its_fingerprint_is_another_one() -> None:
    other = Vault(bytes(reversed(range(KEY_BYTES))))

    assert fingerprint(VAULT.signs_as) != fingerprint(other.signs_as)
    assert not replace(sealed(a_statement()), public_key=other.signs_as).is_as_signed
    assert not replace(sealed(a_statement()), public_key=b"short").is_as_signed


def test_given_a_currency_without_decimals_or_with_three_then_amounts_are_written_so() -> None:
    assert ENGLISH.figure(-1_234_567, 0) == "-1 234 567"
    assert ENGLISH.figure(5, 3) == "0.005"
    for currency, words in (("JPY", "7450"), ("KWD", "7.450"), ("NOK", "74.50")):
        table = tables_of(a_statement(currency=currency), narrow=False)[0]
        assert list(csv.reader(io.StringIO(csv_of(table).decode("utf-8-sig"))))[-1] == ["Closing", words]


def test_given_a_store_with_a_formula_for_a_name_then_no_spreadsheet_runs_it() -> None:
    statement = a_statement(store='=HYPERLINK("http://x","pay")')
    label = harmless("=1+1"), harmless("-1"), harmless("Storgata")

    assert label == ("'=1+1", "'-1", "Storgata")
    book = zipfile.ZipFile(io.BytesIO(workbook_of(statement)))
    sheets = "".join(book.read(n).decode() for n in book.namelist() if "worksheets/sheet" in n)
    assert "HYPERLINK" not in sheets
    assert "hyperlink" not in sheets


def test_given_a_spreadsheet_then_its_totals_are_formulas_with_the_right_values() -> None:
    book = zipfile.ZipFile(io.BytesIO(workbook_of(a_statement())))
    sheet = book.read("xl/worksheets/sheet2.xml").decode()

    assert "<f>SUM(B4:B14)</f><v>74.50</v>" in sheet


def test_given_journal_lines_then_their_day_and_statement_are_named_and_a_zero_is_left_blank_to_readers() -> (
    None
):
    statement = a_statement()
    wide = next(t for t in tables_of(statement, narrow=False) if t.name == "journal-NOK")
    narrow = next(t for t in tables_of(statement, narrow=True) if t.name == "journal-NOK")

    first = list(csv.reader(io.StringIO(csv_of(wide).decode("utf-8-sig"))))[:2]
    assert first == [
        ["Date", "Statement", "Account", "Text", "Debit", "Credit", "Currency"],
        ["2026-11-30", "1", "1570", "Gift cards 2026-11: issued", "100.00", "0.00", "NOK"],
    ]
    assert [shown(narrow, n, cell) for n, cell in enumerate(narrow.rows[0])][-2:] == ["100.00", ""]
    book = zipfile.ZipFile(io.BytesIO(workbook_of(statement)))
    assert "#,##0.00;[Red]-#,##0.00;" in html.unescape(book.read("xl/styles.xml").decode())
    draft = next(t for t in tables_of(a_statement(None), narrow=False) if t.name == "journal-NOK")
    assert draft.rows[0][1] == ""


def test_given_late_news_then_each_currency_has_its_amounts_and_their_total_unless_some_are_not_listed() -> (
    None
):
    booked = datetime(2026, 12, 3, tzinfo=UTC)
    one = LatePart(AT, booked, "redeemed", -2_550, "NOK", 41_096, 2, "r")
    statement = a_statement()
    (part,) = statement.currencies

    def late(count: int) -> Table:
        told = replace(part, late_count=count, late_minor=-2_550)
        changed = replace(statement, late=(one,), currencies=(told,))
        return next(t for t in tables_of(changed, narrow=False) if t.name == "late-NOK")

    assert list(csv.reader(io.StringIO(csv_of(late(1)).decode("utf-8-sig"))))[1:] == [
        ["2026-11-10 13:00 CET", "2026-12-03 01:00 CET", "Redeemed", "41096", "2", "r", "-25.50"],
        ["Total", "", "", "", "", "", "-25.50"],
    ]
    assert shown(late(1), 3, late(1).rows[0][3]) == "41096"
    assert (len(late(2).rows), late(2).sums_down) == (1, False)
    assert late(2).note.startswith("1 more")


def test_given_the_same_statement_then_every_export_has_the_same_bytes() -> None:
    assert pdf_of(a_statement(), "signed") == pdf_of(a_statement(), "signed")
    assert workbook_of(a_statement()) == workbook_of(a_statement())


def test_given_letters_of_europe_then_they_are_printed_and_what_the_fonts_lack_is_a_question_mark() -> None:
    assert printable("Łódź Ήπειρος Київ 日本") == "Łódź Ήπειρος Київ ??"

    pages = pdf_of(a_statement(store="Łódź 日本 <b>&amp;"))

    assert pages.startswith(b"%PDF")
    assert b"SourceSansPro-Regular" in pages


def test_given_the_example_of_the_page_then_it_adds_up_as_it_says() -> None:
    page = (Path(__file__).parents[3] / "docs/explanation/books.md").read_text(encoding="utf-8")
    told = {
        row.split("|")[1].strip(): minor_from_decimal(row.split("|")[2].strip(), "NOK")
        for row in page.splitlines()
        if re.fullmatch(r"\| [A-Z][a-z ]+ \| -?\d+\.\d\d \|", row)
    }
    storgata, online = Place("flow", "Storgata"), Place("shopify", "online")
    booked = [
        (Line.ISSUED, 50_000, storgata),
        (Line.LOADED, 10_000, online),
        (Line.REDEEMED, -35_000, storgata),
        (Line.REDEEMED, -30_000, online),
        (Line.WRITTEN_OFF, 5_000, HEAD_OFFICE),
        (Line.REFUNDED, 2_000, storgata),
    ]

    assert sum(told.values()) - told["Closing"] == told["Closing"] == sum(amount for _, amount, _ in booked)
    for line in {line for line, _, _ in booked}:
        assert told[LABELS[line]] == sum(amount for one, amount, _ in booked if one is line)
    assert uses(*booked) == [
        Use(storgata, storgata, 35_000),
        Use(storgata, online, 15_000),
        Use(online, online, 10_000),
        Use(HEAD_OFFICE, online, 5_000),
    ]
    for words in ("Storgata owes online 150.00", "the head office owes online 50.00"):
        assert words in " ".join(page.split())


def test_given_callers_of_the_api_then_their_locations_are_places_and_what_never_was_cancels() -> None:
    told = (
        Receipt(1, "api", "issue", AT, None, "Kiosk", "", "k-1", "iss_1"),
        Receipt(1, "api", "completed", AT, None, "Café", "", "c-1", "red_1"),
        Receipt(1, "api", "voided", AT, None, "Café", "", "c-2", "red_2"),
    )
    moved = [
        movement("load", None, 500, 1, evidence={"load": "iss_1"}),
        movement("redemption", None, -200, 2, evidence={"redemption": "red_1"}),
        movement("redemption", None, -90, 3, evidence={"redemption": "red_2"}),
        movement("reversal", None, 90, 4, evidence={"redemption": "red_2", "why": ""}),
        movement("reversal", None, 50, 5, evidence={"redemption": "red_1", "why": ""}),
        movement("reversal", None, 10, 6, evidence={"redemption": "red_1", "why": "captured for less"}),
    ]

    booked = classify(CARD._replace(channel="api"), moved, told, CONTEXT)

    kiosk, cafe = Place("api", "Kiosk"), Place("api", "Café")
    assert [(e.line, e.amount_minor, e.place) for e in booked.entries] == [
        (Line.ISSUED, 500, kiosk),
        (Line.REDEEMED, -200, cafe),
        (Line.REDEEMED, -90, cafe),
        (Line.REDEEMED, 90, cafe),
        (Line.REFUNDED, 50, cafe),
        (Line.REDEEMED, 10, cafe),
    ]
    assert booked.entries[0].receipt == "k-1"
    assert uses_of(booked, Rules())[0] == [Use(kiosk, cafe, 200), Use(kiosk, cafe, 90)]
