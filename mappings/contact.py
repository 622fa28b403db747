"""How the buyer of a card is reached. Personal data: never shown, and forgotten as soon as it was used."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Final

#: The longest address that mail can carry.
EMAIL_LENGTH_MAX: Final = 254

_EMAIL: Final = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s.,;<>]+")
#: With its country: a number without one is somebody else's in another country.
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_PHONE_FILLERS: Final = re.compile(r"[\s().-]")


@dataclass(frozen=True)
class Contact:
    """An e-mail address, a phone number with its country, or both."""

    email: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)

    def digests(self) -> frozenset[str]:
        """By which a request about somebody is matched, so that their address need not be kept for it."""
        return frozenset(digest_of(one) for one in (self.email, self.phone) if one)

    def dump(self) -> str:
        return json.dumps([self.email, self.phone])

    @staticmethod
    def load(text: str) -> Contact:
        email, phone = json.loads(text)
        return Contact(email, phone)


def digest_of(one: str) -> str:
    """The digest of an address or number in the spelling of `contact_of`."""
    return hashlib.sha256(one.encode()).hexdigest()


def contact_of(email: str, phone: str) -> Contact | None:
    """What can be used of an address and a number as people type them; None for nothing."""
    email = email.strip().lower()
    phone = _PHONE_FILLERS.sub("", phone)
    found = Contact(
        email if len(email) <= EMAIL_LENGTH_MAX and _EMAIL.fullmatch(email) else "",
        phone if _PHONE.fullmatch(phone) else "",
    )
    return found if found.email or found.phone else None
