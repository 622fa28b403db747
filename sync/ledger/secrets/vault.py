"""Serials, tokens and buyers' names at rest: ciphertext, and a keyed hash where they are looked up."""

from __future__ import annotations

import base64
import hmac
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mappings.contact import Contact
from mappings.serials import Serial
from sync.ledger.database.private_files import open_private
from sync.ledger.secrets.keyed_hash import KeyedHash

KEY_BYTES = 64
NONCE_BYTES = 16
CVC_DIGITS = 4
CARD_REF_PREFIX = "crd_"
_CONTACT = "contact"
_WORDS = "words"
#: Of the details of an order, the one that names a person.
_NAME = "shipping_name"
#: The numbers of that name's words, by which it is found.
_NAME_WORDS = "shipping_name_words"


class VaultError(Exception):
    """The key is missing, malformed or not the one that sealed the data; the message says what to do."""


class Vault:
    """Seals, opens and hashes under one key. Deterministic, so that equal serials have equal hashes.

    Keys that it had before go on with what others hold by now: public tokens and CVCs of cards, ids in other
    systems, the marks of cards that were made. What is looked up is hashed under each key in turn, the oldest
    first, so that no key alone finds it.
    """

    def __init__(self, key: bytes, *former: bytes) -> None:
        """`former` are the keys before this one, the newest first."""
        if len(key) != KEY_BYTES:
            raise VaultError(f"the key must have {KEY_BYTES} bytes; this one has {len(key)}")
        self.former = tuple(Vault(one) for one in former)
        self._first = self.former[-1] if self.former else self
        self._siv = AESSIV(_derive(key, b"giftsync serial seal"))
        self._secret_siv = AESSIV(_derive(key, b"giftsync secret seal"))
        self._index = KeyedHash(_derive(key, b"giftsync serial index"))
        self._chain_key = _derive(key, b"giftsync hash chain")
        self._head_key = _derive(key, b"giftsync hash chain head")
        self._contact_key = _derive(key, b"giftsync contact index")
        self._name_key = _derive(key, b"giftsync name words")
        self._create_key = _derive(key, b"giftsync create")
        self._fingerprint_key = _derive(key, b"giftsync fingerprint")
        self._cvc_key = _derive(key, b"giftsync cvc")
        self._ref_siv = AESSIV(_derive(key, b"giftsync card reference"))
        self._digest_key = _derive(key, b"giftsync card digest")
        self._archive_key = _derive(key, b"giftsync link export")
        self._signing = Ed25519PrivateKey.from_private_bytes(_derive(key, b"giftsync statement sign")[:32])

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

    def seal_words(self, words: str) -> str:
        """Seal words that may name a buyer, for a column of text; none stay none."""
        return base64.b64encode(self.seal_secret(words, _WORDS)).decode() if words else ""

    def open_words(self, sealed: str) -> str:
        return self.open_secret(_from_base64(sealed), _WORDS) if sealed else ""

    def seal_details(self, details: Mapping[str, str]) -> dict[str, str]:
        """What a side told of the order of a card, its buyer's name sealed."""
        if _NAME not in details:
            return dict(details)
        words = " ".join(map(str, self.name_words(details[_NAME])))
        return {**details, _NAME: self.seal_words(details[_NAME]), _NAME_WORDS: words}

    def open_details(self, sealed: Mapping[str, str]) -> dict[str, str]:
        opened = {key: value for key, value in sealed.items() if key != _NAME_WORDS}
        return {**opened, **({_NAME: self.open_words(sealed[_NAME])} if _NAME in sealed else {})}

    def name_words(self, name: str) -> list[int]:
        """The numbers under which a name's words are looked up: two bytes of a keyed hash of each."""
        return sorted({self._word(word) for word in name.casefold().split()})

    def _word(self, word: str) -> int:
        return int.from_bytes(hmac.digest(self._name_key, word.encode(), "sha256")[:2])

    def contact_index(self, digest: str) -> str:
        """The keyed hash under which an address is looked up; `digest` is one of `Contact.digests`."""
        for one in (*reversed(self.former), self):
            digest = one.wrap_contact_index(digest)
        return digest

    def wrap_contact_index(self, found: str) -> str:
        """The hash of an address after its hash under the keys before this one."""
        return hmac.digest(self._contact_key, found.encode(), "sha256").hex()

    def index(self, serial: Serial) -> str:
        """The keyed hash under which a serial is looked up."""
        found = serial.reveal()
        for one in reversed(self.former):
            found = one.wrap_index(found)
        return self.wrap_index(found)

    def wrap_index(self, found: str) -> str:
        """The hash of a serial after its hash under the keys before this one."""
        return self._index.hex(found)

    def create_marker(self, source: str, side: str, attempt: int) -> str:
        """The marker of the create that makes the card `source` on `side`; the same for equal keys."""
        made = hmac.digest(self._create_key, f"marker\0{source}\0{side}\0{attempt}".encode(), "sha256")
        return "gs-" + base64.b32encode(made[:10]).decode().lower()

    def create_digits(self, source: str, side: str, attempt: int, count: int) -> str:
        """`count` digits for the number of that card, where giftsync makes numbers itself."""
        made = hmac.digest(self._create_key, f"number\0{source}\0{side}\0{attempt}".encode(), "sha256")
        return str(int.from_bytes(made) % 10**count).zfill(count)

    def fingerprint(self, text: str, purpose: str) -> str:
        """A keyed hash by which a text is known again that is not kept."""
        found = f"{purpose}\0{text}"
        for one in (*reversed(self.former), self):
            found = one.wrap_fingerprint(found)
        return found

    def wrap_fingerprint(self, found: str) -> str:
        """The hash of a text after its hash under the keys before this one."""
        return hmac.digest(self._fingerprint_key, found.encode(), "sha256").hex()

    def outer_id(self, text: str, purpose: str) -> str:
        """A keyed hash that other systems keep as an id: the same whichever key is in use."""
        return self._first.wrap_fingerprint(f"{purpose}\0{text}")

    def cvc(self, serial: Serial) -> str:
        """The CVC of a card that giftsync issues: it follows from the number and the key, and is not kept."""
        made = hmac.digest(self._first._cvc_key, serial.reveal().encode(), "sha256")
        return str(int.from_bytes(made) % 10**CVC_DIGITS).zfill(CVC_DIGITS)

    def card_ref(self, card_id: int) -> str:
        """The card's public token: it tells nothing, and nobody can make another card's."""
        sealed = self._first._ref_siv.encrypt(card_id.to_bytes(8), None)
        return CARD_REF_PREFIX + base64.b32encode(sealed).decode().lower().rstrip("=")

    def card_of(self, ref: str) -> int | None:
        """The card's id of a public token; None for what is none."""
        text = ref.removeprefix(CARD_REF_PREFIX)
        if text == ref or len(text) > 64 or not text.isascii():
            return None
        try:
            sealed = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
            return int.from_bytes(self._first._ref_siv.decrypt(sealed, None))
        except (InvalidTag, ValueError):
            return None

    def chain(self, previous: str, row: bytes) -> str:
        """The hash of an append-only row, bound to the head before it."""
        return hmac.digest(self._chain_key, previous.encode() + b"\x00" + row, "sha256").hex()

    def digest(self, state: bytes) -> str:
        """The keyed digest of what the worker acts on."""
        return hmac.digest(self._digest_key, state, "sha256").hex()

    def archive_key(self, salt: bytes) -> bytes:
        """The 32 bytes that seal one export of the link."""
        return hmac.digest(self._archive_key, salt, "sha256")

    def head(self, chain_hash: str) -> str:
        """The head after a row with this hash.

        It cannot be worked out from the rows without the key, so the newest ones cannot be taken away and the
        head put back to fit.
        """
        return hmac.digest(self._head_key, chain_hash.encode(), "sha256").hex()

    def sign(self, content: bytes) -> bytes:
        """The Ed25519 signature of a statement; the same for the same content."""
        return self._signing.sign(content)

    @property
    def signs_as(self) -> bytes:
        """The public key that checks these signatures, 32 bytes; it opens nothing."""
        return self._signing.public_key().public_bytes_raw()

    def signed_as(self, content: bytes, signature: bytes) -> bytes:
        """The public key that checks this signature: this one, unless one before it does."""
        for one in (self, *self.former):
            try:
                one._signing.public_key().verify(signature, content)
            except InvalidSignature:
                continue
            return one.signs_as
        return self.signs_as


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise VaultError("sealed words are damaged; put the ledger back from a backup") from None


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 64, salt=None, info=purpose).derive(key)


def make_key() -> bytes:
    return os.urandom(KEY_BYTES)


def keys_from_text(text: str) -> tuple[bytes, ...]:
    """Read base64 keys, as `GIFTSYNC_KEY` and key files hold them: the one in use, and those before it."""
    return tuple(_key_from_text(one) for one in text.split() or [""])


def _key_from_text(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        raise VaultError("the key is not base64; copy the whole line of the key file") from None
    if len(key) != KEY_BYTES:
        raise VaultError(f"the key must have {KEY_BYTES} bytes; this one has {len(key)}")
    return key


def write_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Write a new key file with mode 0600; it is on the disk then. Raises FileExistsError and OSError."""
    descriptor = open_private(path, os.O_WRONLY | os.O_EXCL)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(base64.b64encode(key).decode() + "\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())


def load_or_make_keys(path: Path) -> tuple[bytes, ...]:
    """The keys in `path`, made on first use with mode 0600.

    Raises VaultError when the file is readable by others or does not hold a key; it is never overwritten.
    """
    key = make_key()
    try:
        write_keys(path, [key])
    except FileExistsError:
        return load_keys(path)
    except OSError as error:
        raise VaultError(f"the key file {path} cannot be made: {error.strerror}") from None
    return (key,)


def load_keys(path: Path) -> tuple[bytes, ...]:
    """The keys in a file that is there: the one in use, and those before it. Raises VaultError."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise VaultError(f"the key file {path} can be read by others; run: chmod 600 {path}")
        return keys_from_text(path.read_text())
    except OSError as error:
        raise VaultError(f"the key file {path} cannot be read: {error.strerror}") from None
    except VaultError as error:
        raise VaultError(f"{path}: {error}") from None
