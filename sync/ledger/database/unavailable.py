"""Why the ledger's database cannot be used."""

from __future__ import annotations


class LedgerUnavailable(Exception):
    """The database cannot be used; the message says why and what to do. Nothing was changed."""


class LedgerGone(LedgerUnavailable):
    """The database file was deleted or replaced while it was open. Nothing is written any more."""
