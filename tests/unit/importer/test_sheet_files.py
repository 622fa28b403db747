"""Whole card files: layouts, encodings, delimiters, habits, and every way in which a file can be broken."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.importer.files import CardFile, FileProblem, layout_of, open_card_file
from sync.importer.sheets.custom import MappingError, read_mapping
from sync.importer.sheets.formats import FORMATS, Role, recognise
from sync.importer.sheets.rows import FileCard, OnlineCard, Reject, Terms
from sync.importer.sheets.text import EncodingFinder, NotText

TERMS = Terms("NOK", ZoneInfo("Europe/Oslo"))
FLOW = "number;CVC;balance;brand;validTo;status;legacy number;note\n"
A, B = "0012345678901234", "1234567890123457"


def opened(folder: Path, content: str | bytes, layout: str = "auto", encoding: str = "utf-8") -> CardFile:
    path = folder / "cards.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return open_card_file(path, layout_of(layout))


def read(folder: Path, content: str | bytes, layout: str = "auto", terms: Terms = TERMS) -> list[object]:
    return list(opened(folder, content, layout).cards(terms))


def card(folder: Path, content: str | bytes, layout: str = "auto") -> FileCard:
    (found,) = read(folder, content, layout)
    assert isinstance(found, FileCard), found
    return found


def reject(folder: Path, row: str, head: str = FLOW) -> Reject:
    (found,) = read(folder, head + row)
    assert isinstance(found, Reject), found
    return found


# --- Layouts ------------------------------------------------------------------------------------------------


def test_given_flows_export_then_every_column_is_taken(tmp_path: Path) -> None:
    row = f"{A};123;500,00;Gavekort;2027-12-31T22:59:59.999Z;ACTIVE;12345678;til Kari\n"

    found = card(tmp_path, FLOW + row)

    assert found == FileCard(
        2,
        Serial(A),
        50_000,
        CardStatus.ACTIVE,
        date(2027, 12, 31),
        "Gavekort",
        "",
        "til Kari",
        Serial("12345678"),
        "123",
    )
    assert A not in repr(found)
    assert "123'" not in repr(found)


def test_given_maestra_cards_then_pools_decide_about_cvvs(tmp_path: Path) -> None:
    pools = opened(tmp_path, "PoolName,PoolSystemName,IsCvvRequired\nJul,jul,true\nStd,std,false\n")
    assert (pools.role, pools.pools()) == (Role.POOLS, {"jul": True, "std": False})
    head = "Card number,Pool system name,Gift card CVV,Card balance,Gift card status\n"
    rows = f"{A},jul,77,10.01,CanBeUsed\n{A},jul,,10.01,CanBeUsed\n"
    rows += f"{A},std,,10.01,Inactive\n{A},no,,1.00,Blocked\n"

    terms = Terms("NOK", TERMS.zone, pools.pools())
    first, second, third, fourth = read(tmp_path, head + rows, terms=terms)

    assert isinstance(first, FileCard)
    assert (first.balance_minor, first.status, first.brand) == (1_001, CardStatus.ACTIVE, "jul")
    assert second == Reject(
        3, 3, "Gift card CVV", "the pool needs a CVV (IsCvvRequired), and the row has none"
    )
    assert isinstance(third, FileCard)
    assert third.status is CardStatus.INACTIVE
    assert isinstance(fourth, Reject)
    assert "not in the file of pools" in fourth.reason


def test_given_lightspeed_r_then_stored_value_is_negative_and_archived_cards_are_closed(
    tmp_path: Path,
) -> None:
    head = "creditAccountID,code,balance,archived,description\n"
    one, two, three = read(tmp_path, f"{head}1,{A},-100.00,false,x\n2,{B},-5,true,y\n3,{B},5,false,z\n")
    assert isinstance(one, FileCard)
    assert (one.balance_minor, one.status) == (10_000, CardStatus.ACTIVE)
    assert isinstance(two, FileCard)
    assert two.status is CardStatus.CLOSED
    assert isinstance(three, Reject)
    assert "owe money" in three.reason


def test_given_codes_of_gift_local_then_they_are_read_as_whole_numbers(tmp_path: Path) -> None:
    head = "voucherID,voucherCode,remainingValue,validTo\n"
    rows = "g,012345678901,70.00,2027-01-01T00:00:00Z\nh,123456789012,5.50,\n"
    first, second = read(tmp_path, head + rows)

    assert isinstance(first, FileCard)
    assert (first.serial, first.balance_minor) == (Serial("012345678901"), 7_000)
    assert isinstance(second, FileCard)


def test_given_lightspeed_x_then_its_statuses_are_known(tmp_path: Path) -> None:
    head = "id,number,balance,total_sold,total_redeemed,status,expires_at\n"
    found = read(
        tmp_path, f"{head}u,{A},70.00,100.00,30.00,ACTIVE,2027-01-01T00:00:00Z\nv,{B},0,5,5,VOIDED,\n"
    )
    assert [c.status for c in found if isinstance(c, FileCard)] == [CardStatus.ACTIVE, CardStatus.CLOSED]


def test_given_shopifys_export_then_cards_have_ids_and_last_characters(tmp_path: Path) -> None:
    head = "Id,Last Characters,Customer Name,Order,Current Balance,Currency,Expires On,Enabled?\n"
    file = opened(tmp_path, f"{head}663920574770,7H3K,Kari,#1001,250.00,NOK,,true\n77,9,x,,1,NOK,,true\n")
    assert file.role is Role.ONLINE
    one, two = file.cards(TERMS)
    assert one == OnlineCard(2, 663920574770, "7h3k", 25_000, True, None, "#1001", "")
    assert isinstance(two, Reject)
    assert two.column_name == "Last Characters"


def test_given_each_layouts_own_names_then_it_is_recognised() -> None:
    for layout in FORMATS:
        header = [names[0] for names in layout.columns.values()]
        assert recognise(header) is layout, layout.name


def test_given_a_mapping_file_then_any_layout_is_read(tmp_path: Path) -> None:
    mapping = tmp_path / "till.toml"
    mapping.write_text(
        'name = "old till"\namounts = "minor"\ndates = "day first"\ndelimiter = "|"\n'
        '[columns]\nnumber = "Kort nr"\nbalance = "Rest"\nstatus = "Tilstand"\nvalid_to = "Til"\n'
        '[statuses]\n"I bruk" = "active"\n"Stoppet" = "suspended"\n'
    )
    text = f"Kort nr|Rest|Tilstand|Til|Annet\n{A}|50000|i bruk|04/05/2027|x\n{B}|1,5|Stoppet||\n"

    one, two = read(tmp_path, text, str(mapping))

    assert isinstance(one, FileCard)
    assert (one.balance_minor, one.expires_on) == (50_000, date(2027, 5, 4))
    assert isinstance(two, Reject)
    assert "whole number" in two.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[columns]\nnumber = 'a'", "columns.balance is missing"),
        ("x = 1\n[columns]\nnumber='a'\nbalance='b'", "x is not known"),
        ("[columns]\nnumber='a'\nbalance='b'\ncolour='c'", "columns.colour is not known"),
        ("amounts='pounds'\n[columns]\nnumber='a'\nbalance='b'", "amounts must be one of"),
        ("[columns]\nnumber='a'\nbalance='b'\n[statuses]\nok='fine'", "a status is one of"),
        ("columns = 1", "must be a table"),
        ("[columns", "not TOML"),
    ],
)
def test_given_a_broken_mapping_file_then_it_says_where(text: str, reason: str) -> None:
    with pytest.raises(MappingError, match=reason):
        read_mapping(text)


# --- Encodings, delimiters, habits --------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_given_any_encoding_and_delimiter_then_both_are_found(
    tmp_path: Path, encoding: str, delimiter: str
) -> None:
    text = f"Number;Balance;Brand\r\n{A};50.00;Blåbærgrøt\r\n".replace(";", delimiter)

    found = card(tmp_path, text.encode(encoding))

    assert (found.serial, found.balance_minor, found.brand) == (Serial(A), 5_000, "Blåbærgrøt")


def test_given_excels_hint_and_blank_lines_then_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    text = f'sep=;\n\nnumber;balance;note\n\n;;\n{A};1,00;"two\nlines"\n   ;  ;\n{B};x;\n'
    one, two = read(tmp_path, text)
    assert isinstance(one, FileCard)
    assert one.line == 6
    assert two == Reject(9, 2, "balance", "the amount is not a number")


@pytest.mark.parametrize("before", [0, 1, 47, 48, 49, 98])
def test_given_a_note_over_several_lines_then_every_row_keeps_its_line(tmp_path: Path, before: int) -> None:
    """Rows are split many lines at a time; a record may begin in one lot and end in the next."""
    row = "{number};;10,00;Gavekort;;ACTIVE;;{note}\n".format
    notes = ["til Kari"] * before + ['"til\nOla, med ""hilsen""\nfra oss"', "", '"åpen\n'] + ["", "x"]
    numbers = [str(1234567890123400 + place) for place in range(len(notes))]
    body = "".join(row(number=number, note=note) for number, note in zip(numbers, notes, strict=True))

    found = read(tmp_path, FLOW + body)

    good = [one for one in found if isinstance(one, FileCard)]
    assert [one.serial.reveal() for one in good] == numbers[: before + 2] + numbers[before + 3 :]
    assert [one.line for one in good] == [*range(2, before + 3), before + 5, before + 8, before + 9]
    assert good[before].note == 'til\nOla, med "hilsen"\nfra oss'
    (bad,) = (one for one in found if not isinstance(one, FileCard))
    assert isinstance(bad, Reject)
    assert (bad.line, bad.reason) == (before + 6, "a quote that opens here never closes")


def test_given_a_file_that_shows_its_habit_then_unclear_cells_follow_it(tmp_path: Path) -> None:
    text = f"number;balance;validTo\n{A};1.234;04/05/2027\n{B};7,50;31/12/2027\n"
    one, two = read(tmp_path, text)
    assert isinstance(one, FileCard)
    assert (one.balance_minor, one.expires_on) == (123_400, date(2027, 5, 4))
    assert isinstance(two, FileCard)


# --- Broken files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (f"{A};1;abc;;;ACTIVE;;\n", 3, "not a number"),
        ("1,23E+15;1;5;;;ACTIVE;;\n", 1, "formatted as text"),
        (f"{A};1;5;;;SOMETIMES;;\n", 6, "the status is not one of"),
        (f"{A};1;5;;2027-02-30;ACTIVE;;\n", 5, "does not exist"),
        (f"{A};1;-5;;;ACTIVE;;\n", 3, "negative"),
        (f"{A};1;5\n", 0, "cut off"),
        (f"{A};1;5;;;ACTIVE;;;;;\n", 0, "delimiter stands inside"),
        (";1;5;;;ACTIVE;;\n", 1, "missing"),
    ],
)
def test_given_a_bad_row_then_line_column_and_reason_are_told(
    tmp_path: Path, row: str, column: int, reason: str
) -> None:
    found = reject(tmp_path, row)
    assert (found.line, found.column) == (2, column)
    assert reason in found.reason
    assert A not in found.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n\n\n", "is empty"),
        (b"PK\x03\x04 ...", "Excel workbook"),
        (b"\xd0\xcf\x11\xe0 ...", "old Excel workbook"),
        (b"%PDF-1.7", "PDF"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"number\n123456789\n", "no known layout has these columns: number"),
        (b"number;balance\n" + b"\x00" * 40 + b"1;2\n", "zero bytes"),
        (b"number;balance\n", ":1: the file names its columns, and has no rows"),
        (b"number;balance\n\x81\x8d;\xff\n", "neither UTF-8"),
        (b"number;number;balance\n1;2;3\n", ":1: two columns"),
        (b"name;colour\nx;y\n", "no known layout has these columns: name, colour"),
        (b"x" * 2_000_000, "longer than a megabyte"),
        ("number;balance\n1;5".encode("utf-16")[:-1], "damaged"),
    ],
)
def test_given_a_file_that_is_no_table_of_cards_then_it_says_what_it_is(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(FileProblem, match=reason) as caught:
        list(opened(tmp_path, content).cards(TERMS))
    assert str(caught.value).startswith(str(tmp_path / "cards.csv"))


def test_given_a_file_without_a_header_then_no_number_is_shown(tmp_path: Path) -> None:
    with pytest.raises(FileProblem) as caught:
        opened(tmp_path, f"{A};500,00;ACTIVE\n{B};1,00;ACTIVE\n")
    said = str(caught.value)
    assert A not in said
    assert "no line names the columns. Write one above the rows" in said
    assert "import layout" not in said, "that needs a line with names, too"


def test_given_numbers_that_a_spreadsheet_has_rounded_then_the_file_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"{123456789012345 + n}0;5,00\n" for n in range(30))
    with pytest.raises(FileProblem, match="15 digits only"):
        opened(tmp_path, f"number;balance\n{rows}")
    assert opened(tmp_path, f"number;balance\n{rows}{A};5,00\n").habits.rows == 31


def test_given_no_such_file_or_layout_then_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="No such file"):
        open_card_file(tmp_path / "none.csv", None)
    with pytest.raises(FileProblem, match="directory"):
        open_card_file(tmp_path, None)
    with pytest.raises(FileProblem, match="is no layout"):
        layout_of("tills")
    with pytest.raises(FileProblem, match="needs columns that are not there"):
        opened(tmp_path, "number;balance\n1;2\n", "maestra-cards")


def test_given_chunks_that_cut_a_letter_in_two_then_it_is_still_utf_8() -> None:
    finder = EncodingFinder()
    for byte in "blåbær".encode():
        finder.feed(bytes([byte]))
    assert finder.encoding() == "utf-8-sig"
    cut = EncodingFinder()
    cut.feed("blå".encode()[:-1])
    assert cut.encoding() == "cp1252"
    with pytest.raises(NotText):
        EncodingFinder().feed(b"PK\x03\x04")


# --- Rejects ------------------------------------------------------------------------------------------------


def test_given_rejects_then_their_rows_can_be_corrected_and_read_again(tmp_path: Path) -> None:
    file = opened(tmp_path, f"{FLOW}{A};1;5,00;;;ACTIVE;;ok\n{B};1;five;;;ACTIVE;;æ\n{B};2\n")
    found = [item for item in file.cards(TERMS) if isinstance(item, Reject)]
    out = tmp_path / "plan.rejects-cards.csv"

    written = file.write_rejects(
        out, [(r.line, f"{r.column} {r.column_name}".strip(), r.reason) for r in found]
    )

    assert (written, out.stat().st_mode & 0o777) == (2, 0o600)
    text = out.read_text(encoding="utf-8-sig")
    assert text.splitlines()[1].endswith(";3;3 balance;the amount is not a number")
    again = open_card_file(out, None)
    assert again.habits.layout.name == "flow"
    out.write_text(text.replace("five", "5,00"), encoding="utf-8-sig")
    first, second = open_card_file(out, None).cards(TERMS)
    assert isinstance(first, FileCard)
    assert isinstance(second, Reject)
    # Read again and rejected again, a row has only its newest reason.
    once_more = tmp_path / "again.csv"
    open_card_file(out, None).write_rejects(once_more, [(second.line, "", "still bad")])
    assert once_more.read_text(encoding="utf-8-sig").count("giftsync reason") == 1
    assert file.write_rejects(out, []) == 0
    assert not out.exists()


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("1234567890123459," + "9" * 1_000_000 + "\n", "longer than"),
        ('"1234567890123480,100\n', "quote"),
    ],
)
def test_given_a_file_whose_only_row_is_broken_then_that_row_is_rejected_and_told(
    tmp_path: Path, rows: str, reason: str
) -> None:
    found = reject(tmp_path, rows, "Card number,Balance\n")

    assert reason in found.reason
