"""Account codes against the standard accounts of the Norwegian SAF-T (pure).

The Norwegian Tax Administration publishes the list as *General Ledger Standard Accounts*, four characters.
It is Regnskap Norge's and for the mapping of SAF-T only, so giftsync brings no copy along: the merchant
names the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sync.books.journal import Accounts

_ROW = re.compile(r'^"?(\d{4})"?;"?([^;"]*)', re.MULTILINE)


class NotAList(ValueError):
    """The file is no list of standard accounts."""


@dataclass(frozen=True)
class UnknownAccount:
    """An account of the settings that is no standard account, with the one of the nearest number."""

    setting: str
    code: str
    nearest: str
    nearest_name: str


def read_standard_accounts(data: bytes) -> dict[str, str]:
    """Names by code. The published files are in UTF-8 or in Windows-1252. Raises NotAList."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    found = {code: name.strip() for code, name in _ROW.findall(text)}
    if not found:
        raise NotAList("no line in it begins with an account of four digits and a semicolon")
    return found


def unknown_accounts(accounts: Accounts, standard: Mapping[str, str]) -> list[UnknownAccount]:
    """Those whose code does not begin with a standard account; what follows is the merchant's own division.

    Two digits, the list of two characters, are known when a standard account begins with them.
    """
    wrong = []
    for setting, code in vars(accounts).items():
        groups = {known[:2] for known in standard}
        if code[:4] in standard or (len(code) == 2 and code in groups):
            continue
        nearest = _nearest(code, standard)
        wrong.append(UnknownAccount(setting, code, nearest, standard[nearest]))
    return wrong


def _nearest(code: str, standard: Mapping[str, str]) -> str:
    """By number, within the same class of accounts where there is one."""
    digits = "".join(one for one in code if one in "0123456789")[:4].ljust(4, "0")
    return min(standard, key=lambda known: (known[0] != digits[0], abs(int(known) - int(digits)), known))
