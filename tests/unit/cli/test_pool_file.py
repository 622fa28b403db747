"""Files of pool numbers: plain, or with a header; nothing of a CVC is kept or shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cli.errors import OperatorError
from cli.pool_file import PoolFile
from cli.pool_file import read_pool_file as read
from connectors.memory import CAPABILITIES
from mappings.serials import Serial

CAN = replace(CAPABILITIES, serial_length_min=16, serial_length_max=16, serial_digits_only=True)
ONE, OTHER = "1000200030004000", "1000200030004001"
BRANDS = ("Gavekort", "Tilgodelapp")


def read_pool_file(lines: Sequence[str]) -> PoolFile:
    return read(Path("-"), CAN, BRANDS, "\n".join(lines).encode())


def test_given_plain_lines_then_each_is_a_number_for_any_brand() -> None:
    found = read_pool_file(["# from Flow", ONE, "", OTHER, ONE])

    assert found.brands == {Serial(ONE): None, Serial(OTHER): None}
    assert found.cvcs == 0


@pytest.mark.parametrize(
    "lines",
    [
        ["number,cvc,brand", f"{ONE},123,tilgodelapp", f"{OTHER},,"],
        ["Kortnummer;CVC;Merke", f'"{ONE}";123;Tilgodelapp', f"{OTHER};;"],
        ["brand\tnumber\tcvc", f"TILGODELAPP\t{ONE}\t123", f"\t{OTHER}\t"],
    ],
)
def test_given_a_csv_then_its_header_says_where_number_and_brand_are_and_no_cvc_is_kept(
    lines: list[str],
) -> None:
    found = read_pool_file(lines)

    assert found.of_brand("Tilgodelapp") == [Serial(ONE)]
    assert found.of_brand(None) == [Serial(OTHER)]
    assert found.cvcs == 1
    assert "123" not in repr(found)


def test_given_a_brand_that_nobody_named_then_nothing_is_added_and_the_line_is_told() -> None:
    lines = ["number,brand", f"{ONE},Gavekort", f"{OTHER},Bonus"]

    with pytest.raises(OperatorError, match="line 3 has a brand that the settings do not name") as caught:
        read_pool_file(lines)

    assert OTHER not in str(caught.value)


def test_given_a_file_without_numbers_then_it_is_said() -> None:
    with pytest.raises(OperatorError, match="no numbers"):
        read_pool_file(["# nothing", ""])
