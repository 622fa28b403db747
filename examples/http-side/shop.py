"""A small webshop around the cards, as Shopware and its like do it: a gift card that pays for an order is a
line of the order with a negative price.

The line and the movement of the card are written in one transaction. Try it:

    python shop.py shop.db sell 250.00              a customer buys a card; prints its number
    python shop.py shop.db order 199.00 --card …    an order, paid with a card as far as it reaches
    python shop.py shop.db cancel 10001             gives the card its money back
    python shop.py shop.db show 10001               the lines of an order
"""

from __future__ import annotations

import argparse
import secrets
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from cards import DECIMALS, Cards, Refused, bare, insert_card, insert_movement, text_of

ORDERS = """
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    cancelled INTEGER NOT NULL DEFAULT 0
);
INSERT INTO orders (number) SELECT 10000 WHERE NOT EXISTS (SELECT 1 FROM orders);
CREATE TABLE IF NOT EXISTS order_lines (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL REFERENCES orders (number),
    type TEXT NOT NULL,
    label TEXT NOT NULL,
    price INTEGER NOT NULL,
    card INTEGER REFERENCES cards (id)
);
"""


@dataclass(frozen=True)
class Order:
    """An order as it was placed. Amounts in minor units."""

    number: int
    #: What the gift card paid.
    by_card: int
    #: What is left to pay in another way.
    to_pay: int


@dataclass(frozen=True)
class Shop:
    cards: Cards

    def prepare(self) -> None:
        self.cards.prepare(ORDERS)

    def sell(self, minor: int) -> str:
        """A customer buys a gift card; its number."""
        number = "".join(secrets.choice("23456789ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(16))
        with self.cards.writing() as db:
            insert_card(db, number, minor)
        return number

    def order(self, minor: int, card_number: str | None = None) -> Order:
        """Place an order. A gift card pays as much of it as it holds."""
        with self.cards.writing() as db:
            number = db.execute("INSERT INTO orders DEFAULT VALUES").lastrowid or 0
            line = "INSERT INTO order_lines (number, type, label, price, card) VALUES (?, ?, ?, ?, ?)"
            db.execute(line, [number, "product", "goods", minor, None])
            paid = 0
            if card_number is not None:
                card = db.execute("SELECT * FROM cards WHERE bare = ?", [bare(card_number)]).fetchone()
                if card is None:
                    raise Refused(404, "not_found")
                paid = min(minor, card["balance"])
                if paid == 0:
                    raise Refused(409, "insufficient_funds")
                insert_movement(db, card, -paid, f"order {number}")
                db.execute(line, [number, "gift-card", "Gift card", -paid, card["id"]])
            return Order(number, paid, minor - paid)

    def cancel(self, number: int) -> int:
        """Cancel an order, and give its gift cards their money back; how much."""
        with self.cards.writing() as db:
            done = db.execute("UPDATE orders SET cancelled = 1 WHERE number = ? AND NOT cancelled", [number])
            if done.rowcount == 0:
                raise Refused(404, "not_found")
            lines = db.execute(
                "SELECT * FROM order_lines WHERE number = ? AND type = 'gift-card'", [number]
            ).fetchall()
            for line in lines:
                card = db.execute("SELECT * FROM cards WHERE id = ?", [line["card"]]).fetchone()
                insert_movement(db, card, -line["price"], f"order {number} cancelled")
            return sum(-line["price"] for line in lines)

    def goodwill(self, card_number: str, minor: int) -> None:
        """Staff put money on a card."""
        with self.cards.writing() as db:
            card = db.execute("SELECT * FROM cards WHERE bare = ?", [bare(card_number)]).fetchone()
            if card is None:
                raise Refused(404, "not_found")
            insert_movement(db, card, minor, "goodwill")

    def lines(self, number: int) -> list[tuple[str, int]]:
        with self.cards.reading() as db:
            rows = db.execute("SELECT label, price FROM order_lines WHERE number = ? ORDER BY id", [number])
            return [(row["label"], row["price"]) for row in rows]


def main() -> int:
    parser = argparse.ArgumentParser(description="A webshop with gift cards.")
    parser.add_argument("database", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("sell").add_argument("amount", type=Decimal)
    order = commands.add_parser("order")
    order.add_argument("amount", type=Decimal)
    order.add_argument("--card")
    for name in ("cancel", "show"):
        commands.add_parser(name).add_argument("number", type=int)
    given = parser.parse_args()
    shop = Shop(Cards(given.database))
    shop.prepare()
    try:
        print(_done(shop, given))
    except Refused as error:
        print(f"refused: {error.code}", file=sys.stderr)
        return 1
    return 0


def _done(shop: Shop, given: argparse.Namespace) -> str:
    match given.command:
        case "sell":
            return shop.sell(int(given.amount * 10**DECIMALS))
        case "order":
            placed = shop.order(int(given.amount * 10**DECIMALS), given.card)
            by_card, to_pay = text_of(placed.by_card), text_of(placed.to_pay)
            return f"order {placed.number}: {by_card} by gift card, {to_pay} to pay"
        case "cancel":
            return f"{text_of(shop.cancel(given.number))} given back"
    return "\n".join(f"{label:<12}{text_of(price):>10}" for label, price in shop.lines(given.number))


if __name__ == "__main__":
    sys.exit(main())
