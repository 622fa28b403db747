"""Cards on paper and by mail."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from console.reader import reader_of
from mappings.serials import Serial
from sync.handover.mail import BadTemplate, mail_of, template_of
from sync.handover.printed import NotPrintable, Printed, printers_file
from sync.handover.printing import labels, sheets

CARD = Printed(
    Serial("6300000000004000"), "crd_abc", 50_000, "NOK", "Café Łódź", date(2027, 11, 30), cvc="0412"
)


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", pdf))


def test_given_cards_then_each_has_a_label_and_ten_stand_on_a_sheet() -> None:
    cards = [CARD] * 11

    assert labels(cards).startswith(b"%PDF-")
    assert (pages(labels(cards)), pages(sheets(cards))) == (11, 2)
    assert labels(cards) == labels(cards)


def test_given_a_number_of_any_length_that_sides_take_then_it_has_a_bar_code() -> None:
    for number in ("12345678", "abcd1234efgh5678", "1" * 20):
        assert pages(labels([replace(CARD, serial=Serial(number))])) == 1
    with pytest.raises(NotPrintable) as refused:
        labels([replace(CARD, serial=Serial("A1B2" * 10))])
    assert "A1B2" not in str(refused.value)


def test_given_a_printers_file_then_a_line_says_what_goes_on_a_card() -> None:
    (line,) = csv.DictReader(io.StringIO(printers_file([CARD])))

    assert line == {
        "title": "Café Łódź",
        "number": "6300000000004000",
        "cvc": "0412",
        "amount": "500.00",
        "currency": "NOK",
        "expires_on": "2027-11-30",
        "qr": "crd_abc",
    }


def test_given_a_card_then_its_secrets_are_not_in_how_it_is_shown() -> None:
    assert "4000000" not in repr(CARD)
    assert "0412" not in repr(CARD)


def test_given_brands_then_each_has_its_template_and_the_others_the_default(tmp_path: Path) -> None:
    (tmp_path / "default.txt").write_text("Any\nbody")
    (tmp_path / "Spa.txt").write_text("Spa\nbody")
    (tmp_path.parent / "outside.txt").write_text("Outside\nbody")

    assert template_of(tmp_path, "Spa").startswith("Spa")
    assert template_of(tmp_path, "Other").startswith("Any")
    assert template_of(tmp_path, "../outside").startswith("Any")
    assert template_of(None, "Spa").startswith("Your gift card")


def test_given_our_own_words_then_the_mail_says_all_and_has_the_card_to_print() -> None:
    mail = mail_of(CARD, template_of(None, None), "Spa")

    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert mail["Subject"] == "Your gift card of 500.00 NOK"
    for words in ("6300 0000 0000 4000", "0412", "2027-11-30", "of Spa"):
        assert words in text
    (page,) = mail.iter_attachments()
    assert (page.get_content_type(), page.get_filename()) == ("application/pdf", "gift-card.pdf")


def test_given_norwegian_customers_then_our_mail_is_in_norwegian_and_the_merchants_as_it_was_written() -> (
    None
):
    reader = reader_of("nb", ZoneInfo("Europe/Oslo"))

    ours = mail_of(CARD, template_of(None, None), "Spa", reader)
    theirs = mail_of(CARD, "Ett kort\nVerdi {{ amount }}", "Spa", reader)

    bodies = [mail.get_body(("plain",)) for mail in (ours, theirs)]
    first, second = (str(body.get_content()) for body in bodies if body is not None)
    assert ours["Subject"] == "Gavekortet ditt på 500,00 kr"
    assert "Gyldig til  2027-11-30" in first
    assert "fra Spa" in first
    assert theirs["Subject"] == "Ett kort"
    assert second.strip() == "Verdi 500,00\xa0kr"


@pytest.mark.parametrize(
    "template",
    [
        "Only a subject",
        "Subject\n{{ nmber }}",
        "Subject\n{% if %}",
        "Subject\n{{ ''.__class__.__mro__ }}",
        "\nbody",
    ],
)
def test_given_a_wrong_template_then_no_mail_is_made_of_it_and_no_number_is_told(template: str) -> None:
    with pytest.raises(BadTemplate) as refused:
        mail_of(CARD, template, None)

    assert "6300" not in str(refused.value)
