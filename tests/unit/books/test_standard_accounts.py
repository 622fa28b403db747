"""Account codes are compared with the standard accounts that the merchant names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync.books.journal import Accounts
from sync.books.standard_accounts import (
    NotAList,
    UnknownAccount,
    read_standard_accounts,
    unknown_accounts,
)

#: In the form of the published file, not its list.
PUBLISHED = "AccountID;DescriptionNOR;DescriptionENG\r\n" + "".join(
    f"{code};Konto {code} på norsk;In English\r\n" for code in (1570, 1579, 2900, 2999, 3900, 7798, 7830)
)
STANDARD = read_standard_accounts(PUBLISHED.encode())
MINE = Accounts("2900", "2999", "1579", "1579", "1579", "3900", "7830", "7798")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_given_the_published_file_in_any_encoding_then_its_names_are_read(encoding: str) -> None:
    assert read_standard_accounts(PUBLISHED.encode(encoding))["2900"] == "Konto 2900 på norsk"


def test_given_codes_of_the_list_and_own_divisions_of_them_then_all_are_known() -> None:
    assert unknown_accounts(MINE, STANDARD) == []
    assert (
        unknown_accounts(replace(MINE, liability="290010", breakage="3900-1", adjusted="77"), STANDARD) == []
    )


@pytest.mark.parametrize(
    ("code", "nearest"),
    [("1571", "1570"), ("2901", "2900"), ("7790", "7798"), ("9999", "7830"), ("ABC", "1570")],
)
def test_given_a_code_that_is_not_in_the_list_then_the_nearest_is_named(code: str, nearest: str) -> None:
    found = unknown_accounts(replace(MINE, adjusted=code), STANDARD)

    assert found == [UnknownAccount("adjusted", code, nearest, f"Konto {nearest} på norsk")]


def test_given_another_file_then_it_is_refused() -> None:
    with pytest.raises(NotAList, match="no line in it"):
        read_standard_accounts(b"%PDF-1.4 \xff\xfe")
