"""Serials at rest: what is sealed opens with its key alone, and the key file is its owner's alone."""

from __future__ import annotations

import base64
import hmac
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.serials import Serial
from sync.ledger.secrets.keyed_hash import KeyedHash
from sync.ledger.secrets.vault import (
    KEY_BYTES,
    Vault,
    VaultError,
    keys_from_text,
    load_or_make_keys,
    make_key,
)

SERIAL = Serial("1000200030004000")
VAULT = Vault(bytes(range(KEY_BYTES)))
OTHER = Vault(bytes(reversed(range(KEY_BYTES))))


@given(st.from_regex(r"[a-z0-9]{1,64}", fullmatch=True))
def test_given_any_serial_then_it_opens_to_itself_and_is_not_in_its_seal(text: str) -> None:
    sealed = VAULT.seal(Serial(text))

    assert VAULT.open(sealed) == Serial(text)
    assert VAULT.open(VAULT.seal(Serial(f" AB-{text[:40].upper()}"))).written == f"AB-{text[:40].upper()}"
    assert len(text) < 4 or text.encode() not in sealed
    assert VAULT.index(Serial(text)) == VAULT.index(Serial(text.upper()))


def test_given_another_key_then_nothing_opens_and_nothing_is_found() -> None:
    with pytest.raises(VaultError, match="use the key file that belongs to the database"):
        OTHER.open(VAULT.seal(SERIAL))
    assert OTHER.index(SERIAL) != VAULT.index(SERIAL)
    assert OTHER.chain("", b"row") != VAULT.chain("", b"row")
    assert OTHER.head("hash") != VAULT.head("hash")


@pytest.mark.parametrize("position", [0, 8, -1])
def test_given_a_seal_that_was_tampered_with_then_it_does_not_open(position: int) -> None:
    sealed = bytearray(VAULT.seal(SERIAL))
    sealed[position] ^= 1

    with pytest.raises(VaultError, match="does not open with this key") as refusal:
        VAULT.open(bytes(sealed))
    assert "1000" not in str(refusal.value)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 20])
def test_given_a_seal_that_was_cut_then_it_does_not_open(length: int) -> None:
    with pytest.raises(VaultError, match="does not open with this key"):
        VAULT.open(VAULT.seal(SERIAL)[:length])


def test_given_a_row_then_its_hash_depends_on_the_row_and_on_the_head_before_it() -> None:
    hashes = {
        VAULT.chain("", b"row"),
        VAULT.chain("", b"raw"),
        VAULT.chain("a", b"row"),
        VAULT.chain("", b"\x00row"),
        VAULT.head("row"),
    }

    assert len(hashes) == 5
    assert all(len(h) == 64 for h in hashes)


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_given_a_key_of_another_length_then_it_is_refused(length: int) -> None:
    with pytest.raises(VaultError, match=f"the key must have 64 bytes; this one has {length}"):
        Vault(bytes(length))
    with pytest.raises(VaultError, match=f"the key must have 64 bytes; this one has {length}"):
        keys_from_text(base64.b64encode(bytes(length)).decode())


@pytest.mark.parametrize("text", ["not base64!", "abc"])
def test_given_a_key_that_was_copied_badly_then_it_is_said(text: str) -> None:
    with pytest.raises(VaultError, match="the key is not base64; copy the whole line"):
        keys_from_text(text)


# --- The key file -------------------------------------------------------------------------------------------


def test_given_no_key_file_then_one_is_made_for_its_owner_alone_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "giftsync.key"

    first = load_or_make_keys(path)

    assert [len(one) for one in first] == [KEY_BYTES]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make_keys(path) == first
    assert keys_from_text(path.read_text()) == first


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_given_a_key_file_that_others_can_read_then_it_is_refused_with_the_remedy(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "giftsync.key"
    load_or_make_keys(path)
    path.chmod(mode)

    with pytest.raises(VaultError, match=r"can be read by others; run: chmod 600"):
        load_or_make_keys(path)


@pytest.mark.parametrize("text", ["", "hello", "aGVsbG8="])
def test_given_a_file_that_is_no_key_then_it_is_refused_and_never_overwritten(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "giftsync.key"
    path.write_text(text)
    path.chmod(0o600)

    with pytest.raises(VaultError, match=r"giftsync\.key: the key"):
        load_or_make_keys(path)
    assert path.read_text() == text


def test_given_a_folder_that_is_not_there_then_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="cannot be made: No such file or directory"):
        load_or_make_keys(tmp_path / "keys" / "giftsync.key")


def test_given_two_keys_then_they_differ() -> None:
    assert make_key() != make_key()


@given(st.text(), st.binary(min_size=1, max_size=64))
def test_given_any_text_then_its_keyed_hash_is_the_standard_one(text: str, key: bytes) -> None:
    """HMAC-SHA-256: the numbers that ledgers of earlier releases hold are found."""
    assert KeyedHash(key).hex(text) == hmac.digest(key, text.encode("utf-8"), "sha256").hex()


def test_given_a_longer_key_than_a_block_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        KeyedHash(bytes(65))
