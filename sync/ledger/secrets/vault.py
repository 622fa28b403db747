"""Serials and tokens at rest: ciphertext, and for serials a keyed hash for look-up and the last four."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mappings.contact import Contact
from mappings.serials import Serial
from sync.ledger.private_files import open_private

KEY_BYTES = 64
NONCE_BYTES = 16
_CONTACT = "contact"


class VaultError(Exception):
    """The key is missing, malformed or not the one that sealed the data; the message says what to do."""


class Vault:
    """Seals, opens and hashes under one key. Deterministic, so that equal serials have equal hashes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise VaultError(f"the key must have {KEY_BYTES} bytes; this one has {len(key)}")
        self._siv = AESSIV(_derive(key, b"giftsync serial seal"))
        self._secret_siv = AESSIV(_derive(key, b"giftsync secret seal"))
        self._index_key = _derive(key, b"giftsync serial index")
        self._chain_key = _derive(key, b"giftsync hash chain")
        self._head_key = _derive(key, b"giftsync hash chain head")
        self._create_key = _derive(key, b"giftsync create")

    def seal(self, serial: Serial) -> bytes:
        """Seal the number as it was written: a side may know it by that spelling only."""
        return self._siv.encrypt(serial.written.encode(), None)

    def open(self, sealed: bytes) -> Serial:
        try:
            return Serial(self._siv.decrypt(sealed, None).decode())
        except InvalidTag:
            raise VaultError(
                "a sealed serial does not open with this key; use the key file that belongs to the database"
            ) from None

    def seal_secret(self, secret: str, purpose: str) -> bytes:
        """Seal any other secret, such as an access token.

        Bound to its purpose, so that it opens nowhere else, and never the same twice.
        """
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._secret_siv.encrypt(secret.encode(), [purpose.encode(), nonce])

    def open_secret(self, sealed: bytes, purpose: str) -> str:
        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._secret_siv.decrypt(text, [purpose.encode(), nonce]).decode()
        except (InvalidTag, ValueError):
            raise VaultError(
                "a sealed secret does not open with this key; use the key file that belongs to the database"
            ) from None

    def seal_contact(self, contact: Contact | None) -> bytes | None:
        return None if contact is None else self.seal_secret(contact.dump(), _CONTACT)

    def open_contact(self, sealed: bytes | None) -> Contact | None:
        return None if sealed is None else Contact.load(self.open_secret(sealed, _CONTACT))

    def index(self, serial: Serial) -> str:
        """The keyed hash under which a serial is looked up."""
        return hmac.new(self._index_key, serial.reveal().encode(), hashlib.sha256).hexdigest()

    def create_marker(self, source: str, side: str, attempt: int) -> str:
        """The marker of the create that makes the card `source` on `side`; the same for equal keys."""
        made = hmac.digest(self._create_key, f"marker\0{source}\0{side}\0{attempt}".encode(), "sha256")
        return "gs-" + base64.b32encode(made[:10]).decode().lower()

    def create_digits(self, source: str, side: str, attempt: int, count: int) -> str:
        """`count` digits for the number of that card, where giftsync makes numbers itself."""
        made = hmac.digest(self._create_key, f"number\0{source}\0{side}\0{attempt}".encode(), "sha256")
        return str(int.from_bytes(made) % 10**count).zfill(count)

    def chain(self, previous: str, row: bytes) -> str:
        """The hash of an append-only row, bound to the head before it."""
        return hmac.digest(self._chain_key, previous.encode() + b"\x00" + row, "sha256").hex()

    def head(self, chain_hash: str) -> str:
        """The head after a row with this hash.

        It cannot be worked out from the rows without the key, so the newest ones cannot be taken away and the
        head put back to fit.
        """
        return hmac.digest(self._head_key, chain_hash.encode(), "sha256").hex()


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 64, salt=None, info=purpose).derive(key)


def make_key() -> bytes:
    return os.urandom(KEY_BYTES)


def key_from_text(text: str) -> bytes:
    """Read a base64 key, as `GIFTSYNC_KEY` and key files hold it."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raise VaultError("the key is not base64; copy the whole line of the key file") from None
    if len(key) != KEY_BYTES:
        raise VaultError(f"the key must have {KEY_BYTES} bytes; this one has {len(key)}")
    return key


def load_or_make_key(path: Path) -> bytes:
    """The key in `path`, made on first use with mode 0600.

    Raises VaultError when the file is readable by others or does not hold a key; it is never overwritten.
    """
    try:
        descriptor = open_private(path, os.O_WRONLY | os.O_EXCL)
    except FileExistsError:
        return _load_key(path)
    except OSError as error:
        raise VaultError(f"the key file {path} cannot be made: {error.strerror}") from None
    key = make_key()
    with os.fdopen(descriptor, "w") as file:
        file.write(base64.b64encode(key).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return key


def _load_key(path: Path) -> bytes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise VaultError(f"the key file {path} can be read by others; run: chmod 600 {path}")
        return key_from_text(path.read_text())
    except OSError as error:
        raise VaultError(f"the key file {path} cannot be read: {error.strerror}") from None
    except VaultError as error:
        raise VaultError(f"{path}: {error}") from None
