"""The hub as authority: callers of the API pay with cards, load and change them under the cards' leases."""
