"""A card by mail: the words of its brand's template, and the card to print."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

from mappings.readers import ENGLISH, Reader
from mappings.sentences import marked
from sync.handover.printed import Printed

#: As a template is written: its first line is the subject.
DEFAULT = marked("""\
Your gift card of {{ amount }}
Hello,

here is your gift card{% if brand %} of {{ brand }}{% endif %}.

    Number      {{ number }}
{% if cvc %}    CVC         {{ cvc }}
{% endif %}    Worth       {{ amount }}
{% if expires_on %}    Valid until {{ expires_on }}
{% endif %}

Show the attached page in the store, or enter the number at the checkout online. Whoever has the number can
spend the card: keep this mail to yourself.
""")
#: The template of brands that have none of their own.
ANY_BRAND = "default"
_SUBJECT_MAX = 200


class BadTemplate(ValueError):
    """A template cannot be used; the message names it and says why, and holds nothing of a card."""


def template_of(folder: Path | None, brand: str | None) -> str:
    """The template of a brand: `<brand>.txt` of the folder, else its `default.txt`, else ours."""
    if folder is None:
        return DEFAULT
    for name in (brand, ANY_BRAND):
        # A brand's name is data: it names a file of this folder and no other.
        path = folder / f"{name}.txt"
        if name is not None and path.parent == folder and path.is_file():
            try:
                return path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                raise BadTemplate(f"{path} cannot be read") from None
    return DEFAULT


def mail_of(card: Printed, template: str, brand: str | None, reader: Reader = ENGLISH) -> EmailMessage:
    """The mail without its addresses; our own template is in the reader's language.

    Raises BadTemplate and NotPrintable.
    """
    # The templates and the fonts of a page: half a second, for those who send a card.
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    from sync.handover.printing import labels

    environment = SandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    try:
        text = environment.from_string(reader.said(template)).render(
            number=card.grouped,
            cvc=card.cvc or "",
            amount=reader.money(card.amount_minor, card.currency),
            expires_on="" if card.expires_on is None else card.expires_on.isoformat(),
            brand=brand or "",
            title=card.title,
        )
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        where = f" in line {line}" if line else ""
        raise BadTemplate(f"the mail's template is wrong{where} ({type(error).__name__})") from None
    subject, _, body = text.partition("\n")
    if not subject.strip() or not body.strip():
        raise BadTemplate("the mail's template has no subject in its first line, or no text below it")
    message = EmailMessage()
    message["Subject"] = " ".join(subject.split())[:_SUBJECT_MAX]
    message.set_content(body.lstrip("\n"))
    message.add_attachment(
        labels([card], reader), maintype="application", subtype="pdf", filename="gift-card.pdf"
    )
    return message
