"""Files as tills, shops and spreadsheets write them: each comes out right, or stops with what to do."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import date
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

import pytest

from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.importer.files import CardFile, FileProblem, Stated, layout_of, open_card_file
from sync.importer.layout_file import layout_text
from sync.importer.numbers_file import read_numbers
from sync.importer.sheets import cells
from sync.importer.sheets.cells import CellError, DateForm
from sync.importer.sheets.formats import recognise, suggests
from sync.importer.sheets.rows import FileCard, FileTotal, OnlineCard, Reject, Terms

OSLO = ZoneInfo("Europe/Oslo")
TERMS = Terms("NOK", OSLO)
A, B, C, D = "8800112233440001", "8800112233440002", "8800112233440003", "8800112233440004"

PACKED = gzip.compress(f"number;balance\n{A};5,00\n".encode())
TRUE_WORDS = ("SANN", "WAHR", "VRAI", "VERDADERO", "VERO", "WAAR", "TOSI", "SAND", "SANT", "TRUE", "ja", "1")
FALSE_WORDS = (
    "USANN",
    "FALSCH",
    "FAUX",
    "FALSO",
    "ONWAAR",
    "EPÄTOSI",
    "FALSK",
    "FALSKT",
    "FALSE",
    "nei",
    "0",
)


def opened(
    folder: Path, content: str | bytes, layout: str = "auto", name: str = "cards.csv", **stated: object
) -> CardFile:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    file = open_card_file(path, layout_of(layout), stated=Stated(**stated))  # type: ignore[arg-type]
    file.check_columns()
    return file


def read(folder: Path, content: str | bytes, layout: str = "auto", **stated: Any) -> list[object]:
    return list(opened(folder, content, layout, **stated).cards(TERMS))


def good(found: list[object]) -> list[FileCard]:
    assert all(isinstance(one, FileCard) for one in found), found
    return [one for one in found if isinstance(one, FileCard)]


def workbook(*rows: tuple[object, ...]) -> bytes:
    """A small .xlsx."""

    def cell(value: object) -> str:
        match value:
            case bool():
                return f'<c t="b"><v>{int(value)}</v></c>'
            case int() | float():
                return f"<c><v>{value}</v></c>"
        return f'<c t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'

    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    lines = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{types}">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kinds}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="Cards" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}"><Relationship Id="r1" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>',
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return made.getvalue()


# --- What layouts do ----------------------------------------------------------------------------------------


def test_given_an_id_and_a_code_then_they_are_not_shopifys() -> None:
    assert getattr(recognise(["ID", "Code", "Balance"]), "name", None) == "flow"


def test_given_a_till_with_flags_pins_and_currencies_then_each_is_heeded(tmp_path: Path) -> None:
    text = (
        "Number;Kind;Active;PinCode;Balance;ExpiresUtc;StoreNumber;CurrencyCode;GiftCardTypeName\n"
        f"{A};x;True;1;500,00;2028-12-31T22:59:59.0000000+00:00;7;NOK;Gave\n"
        f"{B};x;False;2;250,00;2028-12-31T22:59:59.0000000+00:00;7;NOK;Gave\n"
        f"{C};x;True;3;300,00;2028-12-31T22:59:59.0000000+00:00;7;SEK;Gave\n"
    )
    one, two, three = read(tmp_path, text)

    assert isinstance(one, FileCard)
    assert (one.expires_on, one.cvc, one.brand, one.store) == (date(2028, 12, 31), "1", "Gave", "7")
    assert isinstance(two, FileCard)
    assert two.status is CardStatus.SUSPENDED
    assert isinstance(three, Reject)
    # Not in the link's currency, so it is not counted in it either.
    assert three.balance_minor is None


def test_given_a_shop_plugin_with_zero_dates_and_seconds_then_cards_never_expire_or_on_the_day(
    tmp_path: Path,
) -> None:
    text = (
        "plugin_id,number,active,create_date,expiration_date,balance\n"
        f"1,{A},1,2024-01-02 10:00:00,0000-00-00,50.00\n2,{B},0,2024-01-02 10:00:00,NULL,25.00\n"
        f"3,{C},1,2024-01-02 10:00:00,1924905600,25.00\n4,{D},1,x,0,25.00\n"
    )
    found = good(read(tmp_path, text))

    assert [card.expires_on for card in found] == [None, None, date(2030, 12, 31), None]
    assert [card.status.value for card in found] == ["active", "suspended", "active", "active"]


def test_given_balances_of_both_signs_then_the_plan_stops_until_somebody_says_which_is_money(
    tmp_path: Path,
) -> None:
    text = f"Code,Balance,Archived\n{A},25.00,false\n{B},-30.00,false\n{C},0.00,true\n"

    with pytest.raises(FileProblem, match=r"lightspeed-r if those below are.*--format lightspeed-r"):
        read(tmp_path, text)
    one, two, three = read(tmp_path, text, "flow")
    assert isinstance(one, FileCard)
    assert isinstance(two, Reject)
    assert "negative" in two.reason
    assert isinstance(three, FileCard)
    assert three.status is CardStatus.CLOSED
    one, two, three = read(tmp_path, text, "lightspeed-r")
    assert isinstance(two, FileCard)
    assert (one.__class__, two.balance_minor) == (Reject, 3_000)


def test_given_a_column_that_sounds_as_if_it_mattered_then_the_plan_stops_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    text = f"Number,Balance,Card blocked?,Colour\n{A},5.00,no,red\n"

    with pytest.raises(FileProblem, match=r"Card blocked\? \(sounds like status\).*import layout") as caught:
        read(tmp_path, text)
    assert '--ignore "Card blocked?"' in str(caught.value)
    file = opened(tmp_path, text, ignored=frozenset({"card BLOCKED"}))
    assert file.habits.unused == ("Card blocked?", "Colour")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("Account State", "status"),
        ("ExpDate", "expiry"),
        ("Gyldig til", "expiry"),
        ("WÄHRUNG", "currency"),
        ("PIN", "PIN"),
        ("Saldo (kr)", "balance"),
        ("Initial Balance", None),
        ("Original saldo", None),
        ("Shipping", None),
        ("Weekend", None),
        ("Created", None),
        ("Customer Name", None),
    ],
)
def test_given_a_columns_name_then_it_is_told_what_it_sounds_like(name: str, what: str | None) -> None:
    assert suggests(name) == what


def test_given_a_file_of_another_layout_then_a_mapping_is_written_that_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "till.csv"
    path.write_text(f"Kort;Rest;Zustand;Ablauf\n{A};5,00;frei;31.12.28\n{B};5,00;zu;Dec 31, 2028\n")

    text = layout_text(path)

    assert "# ignore = " in text
    assert A not in text
    filled = (
        text.replace("# number = ?", 'number = "Kort" #')
        .replace("# balance = ?", 'balance = "Rest" #')
        .replace("# fields", 'status = "Zustand"\nvalid_to = "Ablauf"\n# fields')
        .replace('# dates = "DD.MM.YY"', 'dates = "DD.MM.YY"')
    )
    mapping = tmp_path / "till.toml"
    mapping.write_text(filled + '[statuses]\nfrei = "active"\nzu = "closed"\n')
    one, two = open_card_file(path, layout_of(str(mapping))).cards(TERMS)
    assert isinstance(one, FileCard)
    assert (one.balance_minor, one.expires_on) == (500, date(2028, 12, 31))
    assert isinstance(two, Reject)


def test_given_status_words_then_the_mapping_lists_them_and_never_a_number(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(f"Code,Balance,Status\n{A},5.00,Available\n{B},5.00,Odd\n{C},5.00,{D}\n")

    text = layout_text(path)

    assert '"Available" = "active"\n"Odd" = "?"\n' in text
    assert D not in text
    mapping = tmp_path / "m.toml"
    mapping.write_text(text)
    with pytest.raises(FileProblem, match="a status is one of"):
        layout_of(str(mapping))


# --- Lines that are no cards --------------------------------------------------------------------------------


@pytest.mark.parametrize("total", ["Sum;750,00;;", "Totalt;750,00;;", "I alt: ;750,00;;"])
def test_given_a_title_and_a_total_then_neither_is_a_card(tmp_path: Path, total: str) -> None:
    text = (
        "Kortrapport;;;\r\nUtskrift 28.11.2026 10:00;;;\r\n;;;\r\nKortnummer;Saldo;Gyldig til;Status\r\n"
        f"{A};500,00;31.12.2028;Aktiv\r\n{B};250,00;31.12.2028;Sperret\r\n{total}\r\n"
    )
    one, two, three = read(tmp_path, text)

    assert isinstance(one, FileCard)
    assert (one.line, one.balance_minor, one.expires_on) == (5, 50_000, date(2028, 12, 31))
    assert isinstance(two, FileCard)
    assert two.status is CardStatus.SUSPENDED
    assert three == FileTotal(7, 75_000)


def test_given_columns_that_are_there_twice_then_only_those_that_are_read_matter(tmp_path: Path) -> None:
    (card,) = good(read(tmp_path, f"Number,Balance,Name,Email,Name\n{A},5.00,a,b,c\n"))
    assert card.balance_minor == 500
    with pytest.raises(FileProblem, match="the same name, Balance"):
        read(tmp_path, f"Number,Balance,Balance\n{A},5.00,6.00\n")


# --- One bad row is one rejected row ------------------------------------------------------------------------


def test_given_quotes_behind_backslashes_then_rows_are_whole(tmp_path: Path) -> None:
    text = f'Number,Balance,Note\n{A},500.00,"She said \\"hi\\", twice"\n{B},250.00,"C:\\"\n'
    one, two = good(read(tmp_path, text))
    assert (one.note, two.note, two.balance_minor) == ('She said "hi", twice', "C:\\", 25_000)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (f'{B};5,00;"never ends', "a quote"),
        (f'{B};5,00;"ends" not', "a quote"),
        (f"{B};5,00\x00;x", "zero byte"),
        (f"{B};5,00;{'x' * 200_000}", "longer than 131,072"),
        (f"{B};5,00;{'x' * 2_000_000}", "longer than 131,072"),
        (f"{B};5,00", "cut off"),
        (f"{B};5,00;a;b", "delimiter"),
        (f"{B};€ 5,00;x", "nothing is converted"),
        (f"{B};USD 5,00;x", "nothing is converted"),
    ],
)
def test_given_one_bad_row_then_it_alone_is_rejected(tmp_path: Path, bad: str, reason: str) -> None:
    one, reject, two = read(tmp_path, f'number;balance;note\n{A};1,00;a\n{bad}\n{C};2,00;"x\ny"\n')

    assert isinstance(one, FileCard)
    assert isinstance(reject, Reject)
    assert (reject.line, reason in reject.reason) == (3, True), reject
    assert B not in reject.reason
    assert isinstance(two, FileCard)
    assert (two.line, two.balance_minor) == (4, 200)


def test_given_a_row_that_is_rejected_then_its_money_is_told(tmp_path: Path) -> None:
    (reject,) = read(tmp_path, f"number;balance;validTo\n{A};1 234,50;31.02.2028\n")
    assert isinstance(reject, Reject)
    assert (reject.balance_minor, reject.last_chars) == (123_450, "0001")


# --- What spreadsheets do -----------------------------------------------------------------------------------


def test_given_shopifys_export_from_a_norwegian_excel_then_spoiled_cells_are_named_with_the_cure(
    tmp_path: Path,
) -> None:
    text = (
        "sep=;\r\nId;Last Characters;Order Name;Expires On;Initial Balance;Current Balance;Currency;Expired?;"
        "Enabled?\r\n6,639E+11;a1b2;#1;01.05.2028;500;120,5;NOK;USANN;SANN\r\n"
        "2;42;#2;;300;300;NOK;USANN;SANN\r\n3;1,00E+10;#3;;300;300;NOK;USANN;SANN\r\n"
        "4;03.mai;#4;;300;300;NOK;USANN;SANN\r\n5;c3d4;#5;31.12.2028;300;1\u00a0250,00;NOK;USANN;USANN\r\n"
    )
    *spoiled, card = read(tmp_path, text)

    assert all(isinstance(one, Reject) and "format that column as text" in one.reason for one in spoiled[1:2])
    reasons = [one.reason for one in spoiled if isinstance(one, Reject)]
    for words, reason in zip(("scientific", "leading zeros", "scientific", "a date"), reasons, strict=True):
        assert words in reason
    assert isinstance(card, OnlineCard)
    assert (card.balance_minor, card.enabled, card.expires_on) == (125_000, False, date(2028, 12, 31))


@pytest.mark.parametrize("word", TRUE_WORDS)
def test_given_true_in_any_language_then_it_is_true(word: str) -> None:
    assert cells.flag(word)


@pytest.mark.parametrize("word", FALSE_WORDS)
def test_given_false_in_any_language_then_it_is_false(word: str) -> None:
    assert not cells.flag(word)


@pytest.mark.parametrize(
    ("written", "words"),
    [("7,01E+15", "scientific"), ("7012345678900001.0", "decimals"), ("05.mar", "a date"), ("Sum", "a word")],
)
def test_given_a_number_that_is_spoiled_then_the_cure_is_named(written: str, words: str) -> None:
    with pytest.raises(CellError, match=words):
        cells.number(written)


def test_given_numbers_that_lost_their_zeros_then_they_are_named_unless_lengths_are_mixed(
    tmp_path: Path,
) -> None:
    text = "number;balance\n" + "".join(f"{n};1,00\n" for n in (11112222, 11112223, 11112224, 1112225, 777))
    *_, short, old = read(tmp_path, text)
    assert isinstance(short, Reject)
    assert "leading zeros" in short.reason
    assert isinstance(old, FileCard)
    assert good(read(tmp_path, text, mixed_lengths=True))
    # Where a zero leads, none was lost.
    assert good(read(tmp_path, text.replace("11112222", "01112222")))


@pytest.mark.parametrize(
    ("form", "written", "day"),
    [
        ("DD.MM.YY", "31.12.28", date(2028, 12, 31)),
        ("Mon D, YYYY", "Dec 31, 2028", date(2028, 12, 31)),
        ("D. month YYYY", "3. desember 2028", date(2028, 12, 3)),
        ("MM/DD/YYYY", "04/05/2028", date(2028, 4, 5)),
        ("DD.MM.YY", "2028-12-31", date(2028, 12, 31)),
    ],
)
def test_given_how_dates_are_written_then_they_are_read_so(form: str, written: str, day: date) -> None:
    assert cells.day(written, OSLO, None, DateForm(form)) == day


@pytest.mark.parametrize("written", ["31.12.28", "Dec 31, 2028", "31 Dec 2028"])
def test_given_a_date_that_could_be_taken_wrongly_then_the_option_is_named(written: str) -> None:
    with pytest.raises(CellError, match="--dates"):
        cells.day(written, OSLO, None)


@pytest.mark.parametrize("form", ["YYYY", "DD.MM", "x", "DD.DD.YYYY"])
def test_given_no_form_of_a_date_then_it_is_refused(tmp_path: Path, form: str) -> None:
    with pytest.raises(FileProblem, match="--dates"):
        read(tmp_path, f"number;balance\n{A};1,00\n", dates=form)


# --- Workbooks and gzip -------------------------------------------------------------------------------------


def test_given_a_workbook_then_it_is_read_as_it_is(tmp_path: Path) -> None:
    book = workbook(
        ("Number", "Balance", "Active", "Note"),
        (A, 500, True, ""),
        (B, 1234.5, False, "x"),
        (7.012345678900001e15, 10, True, ""),
        (D, 0.1 + 0.2, True, ""),
    )
    one, two, lost, sum_of_parts = read(tmp_path, book)

    assert isinstance(one, FileCard)
    assert (one.serial, one.balance_minor, one.status.value) == (Serial(A), 50_000, "active")
    assert isinstance(two, FileCard)
    assert (two.balance_minor, two.status.value) == (123_450, "suspended")
    assert isinstance(lost, Reject)
    assert "scientific" in lost.reason
    assert isinstance(sum_of_parts, FileCard)
    assert sum_of_parts.balance_minor == 30


@pytest.mark.parametrize("packed", [PACKED, b""], ids=["csv", "xlsx"])
def test_given_gzip_then_it_is_unpacked_on_the_way(tmp_path: Path, packed: bytes) -> None:
    content = packed or gzip.compress(workbook(("Number", "Balance"), (A, "5,00")))
    (card,) = good(read(tmp_path, content, name="cards.csv.gz"))
    assert (card.serial, card.balance_minor) == (Serial(A), 500)


def test_given_a_damaged_archive_then_it_says_so(tmp_path: Path) -> None:
    for content in (gzip.compress(b"number;balance\n" * 99)[:-20], b"PK\x03\x04 and no more"):
        with pytest.raises(FileProblem, match=r"damaged"):
            read(tmp_path, content)


# --- Lists of numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        f"# from the till\n{A}\n\n{B}\n".encode(),
        f"\ufeff{A}\r\n{B}".encode(),
        f"{A}\n{B}\n".encode("utf-16"),
        f"Kortnummer;Merke\n{A};\n{B};".encode("cp1252"),
        gzip.compress(f"{A}\n{B}\n".encode()),
        workbook((A,), (B,)),
    ],
    ids=["plain", "mark", "utf-16", "table", "gzip", "workbook"],
)
def test_given_numbers_in_any_file_then_one_reader_takes_them(content: bytes) -> None:
    assert [one.serial for one in read_numbers(Path("-"), content)] == [Serial(A), Serial(B)]


def test_given_a_spoiled_number_in_a_list_then_its_line_is_told() -> None:
    one, two = read_numbers(Path("-"), f"{A}\n8,80E+15\n".encode())
    assert one.serial == Serial(A)
    assert (two.serial, two.line, "scientific" in two.reason) == (None, 2, True)
