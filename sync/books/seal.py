"""A signed statement as a file, and what is wrong with one (pure).

The signature is Ed25519 over the statement in a canonical form. Whoever has the public key can check it; the
private key is derived from the ledger's (docs/explanation/decisions/0010-signed-statements.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mappings.sentences import say
from sync.books.entries import Line
from sync.books.statement import FORMAT, Statement, as_document

ALGORITHM = "Ed25519"
_LINES = {line.value for line in Line}


class NotAStatement(ValueError):
    """The file holds no statement that this release can read; the message says why."""


@dataclass(frozen=True)
class Sealed:
    """A statement with its signature."""

    statement: Statement
    #: What was signed.
    content: bytes
    public_key: bytes
    signature: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def is_as_signed(self) -> bool:
        """Whether the content is what the owner of the public key has signed."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(self.signature, self.content)
        except (InvalidSignature, ValueError):
            return False
        return True

    @property
    def stem(self) -> str:
        """The name of its files, without an ending."""
        return f"statement-{self.statement.number:04}-{self.statement.period}"

    @property
    def words(self) -> str:
        """By whom it was signed, and how that can be checked; for what is made from it."""
        return say(
            "Statement {number}, SHA-256 {digest}, signed with the key {key}. The signature is in {file}: "
            "giftsync close verify checks it.",
            number=self.statement.number,
            digest=self.sha256,
            key=fingerprint(self.public_key),
            file=f"{self.stem}.json",
        )

    def to_file(self) -> bytes:
        """The file, the same bytes each time."""
        file = {
            "statement": json.loads(self.content),
            "signature": {
                "algorithm": ALGORITHM,
                "public_key": self.public_key.hex(),
                "value": self.signature.hex(),
            },
        }
        return (json.dumps(file, ensure_ascii=False, indent=1) + "\n").encode()


def canonical(statement: Statement) -> bytes:
    """The bytes that are signed: JSON with sorted keys and without spaces, in UTF-8."""
    return _canonical(as_document(statement))


def read_content(content: bytes) -> Statement:
    """Read a statement from its canonical bytes. Raises NotAStatement."""
    return _statement(json.loads(content))


def read_file(data: bytes) -> Sealed:
    """Read a statement's file; nothing is believed of it yet. Raises NotAStatement."""
    try:
        found = json.loads(data, object_pairs_hook=_without_twins, parse_float=_no_float)
    except (ValueError, RecursionError) as error:
        raise NotAStatement(f"it is not the JSON that giftsync writes ({error})") from None
    match found:
        case {
            "statement": dict(document),
            "signature": {"algorithm": str(algorithm), "public_key": str(key), "value": str(value)},
        } if len(found) == 2:
            pass
        case _:
            raise NotAStatement("it has no `statement` with its `signature`")
    if algorithm != ALGORITHM:
        raise NotAStatement(f"it is signed with {algorithm!r}; giftsync signs with {ALGORITHM}")
    try:
        public_key, signature = bytes.fromhex(key), bytes.fromhex(value)
    except ValueError:
        raise NotAStatement("its signature is not written in hexadecimal digits") from None
    try:
        content = _canonical(document)
    except UnicodeEncodeError:
        raise NotAStatement("a text in it is half a character") from None
    return Sealed(_statement(document), content, public_key, signature)


def fingerprint(public_key: bytes) -> str:
    """Sixteen digits by which people compare a public key: `3f2a 91bc 04de 77a1`."""
    digits = hashlib.sha256(public_key).hexdigest()[:16]
    return " ".join(digits[n : n + 4] for n in range(0, 16, 4))


def _statement(document: Mapping[str, Any]) -> Statement:
    if document.get("format") != FORMAT:
        raise NotAStatement(f"its format is {document.get('format')!r}; this release reads {FORMAT}")
    try:
        found = msgspec.convert(document, Statement)
    except msgspec.ValidationError as error:
        raise NotAStatement(f"it is not a complete statement ({error})") from None
    groups = [group for part in found.currencies for group in (*part.groups, part.total)]
    if any(named.keys() != _LINES for group in groups for named in (group.lines, group.counts)):
        raise NotAStatement("it is not a complete statement (its lines are not those of a roll-forward)")
    return found


def _canonical(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_float(text: str) -> float:
    raise ValueError(f"{text} is not a whole number")
