"""The search language of `query:` arguments (shopify.md §3.1).

A term is `field:value`, `field:>=value` or bare text. Terms are joined by AND (also by a space), OR, NOT or
`-`, and parentheses. A field that the list doesn't know is ignored, with a warning; a value that a known
field doesn't take makes the whole search find nothing, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from sandbox.shopify.graphql.errors import JsonObject

T = TypeVar("T")
Predicate = Callable[[T], bool]

#: The name that bare text has in `parsed`; invented.
DEFAULT_FIELD = "default"

_TOKEN = re.compile(r"""\(|\)|(?:[^\s()"']|"[^"]*"|'[^']*')+""")
_TERM = re.compile(r"(?P<field>[A-Za-z_][\w.]*):(?P<op>>=|<=|>|<|=)?(?P<value>.*)", re.DOTALL)
_RANGES = {">=": "range_gte", "<=": "range_lte", ">": "range_gt", "<": "range_lt"}


class InvalidValue(ValueError):
    """A value that the field doesn't take."""


@dataclass(frozen=True)
class Term:
    """`field` is None for bare text; `op` is one of "=", ">=", "<=", ">", "<"."""

    field: str | None
    op: str
    value: str

    def parsed(self) -> JsonObject:
        return {"field": self.field or DEFAULT_FIELD, _RANGES.get(self.op, "match_all"): self.value}


@dataclass(frozen=True)
class Group:
    """Terms joined by "and" or "or", or one negated by "not"."""

    joined: str
    parts: tuple[Node, ...]

    def parsed(self) -> JsonObject:
        if self.joined == "not":
            return {"not": self.parts[0].parsed()}
        # Ranges come first, as recorded.
        ordered = sorted(self.parts, key=lambda part: not (isinstance(part, Term) and part.op in _RANGES))
        return {self.joined: [part.parsed() for part in ordered]}


Node = Term | Group
#: What a field does with a comparison: a predicate. Raises InvalidValue.
FieldRule = Callable[[str, str], Predicate[T]]


@dataclass
class Search(Generic[T]):
    """A query that is ready to run."""

    query: str
    root: Node | None
    #: None matches everything.
    predicate: Predicate[T] | None = None
    warnings: list[JsonObject] = field(default_factory=list)
    #: A value was refused: nothing is found.
    nothing: bool = False

    def matches(self, item: T) -> bool:
        return not self.nothing and (self.predicate is None or self.predicate(item))

    def required_terms(self) -> list[Term]:
        """Terms that every hit satisfies; they may narrow down where to look."""
        if isinstance(self.root, Term):
            return [self.root]
        if isinstance(self.root, Group) and self.root.joined == "and":
            return [part for part in self.root.parts if isinstance(part, Term)]
        return []

    def extension(self, path: list[str | int]) -> JsonObject:
        """This query's entry in `extensions.search`."""
        return {
            "path": path,
            "query": self.query,
            "parsed": {} if self.root is None else self.root.parsed(),
            "warnings": self.warnings,
        }


def parse_search(query: str) -> Node | None:
    """The tree of a query; None if it is empty."""
    return _Parser(_TOKEN.findall(query)).parse()


def compile_search(
    query: str, fields: Mapping[str, FieldRule[T]], bare: Callable[[str], Predicate[T]]
) -> Search[T]:
    """Parse a query and turn it into a predicate over one kind of object."""
    search: Search[T] = Search(query, parse_search(query))
    if search.root is not None:
        search.predicate = _compile(search.root, fields, bare, search)
    return search


def _compile(
    node: Node, fields: Mapping[str, FieldRule[T]], bare: Callable[[str], Predicate[T]], search: Search[T]
) -> Predicate[T] | None:
    """The predicate of a part of the query; None for one that is ignored."""
    if isinstance(node, Term):
        return _compile_term(node, fields, bare, search)
    parts = [_compile(part, fields, bare, search) for part in node.parts]
    kept = [part for part in parts if part is not None]
    if not kept:
        return None
    if node.joined == "not":
        return lambda item: not kept[0](item)
    if node.joined == "or":
        return lambda item: any(part(item) for part in kept)
    return lambda item: all(part(item) for part in kept)


def _compile_term(
    term: Term, fields: Mapping[str, FieldRule[T]], bare: Callable[[str], Predicate[T]], search: Search[T]
) -> Predicate[T] | None:
    if term.field is None:
        return bare(term.value)
    rule = fields.get(term.field)
    if rule is None:
        search.warnings.append(
            {
                "field": term.field,
                "message": "Invalid search field for this query.",
                "code": "invalid_field",
            }
        )
        return None
    try:
        return rule(term.op, term.value)
    except InvalidValue:
        search.warnings.append(
            {
                "field": term.field,
                "message": f"Input `{term.value}` is not an accepted value.",
                "code": "invalid_value",
            }
        )
        search.nothing = True
        return None


@dataclass
class _Parser:
    """Recursive descent; a query with broken parentheses is read as far as it makes sense."""

    tokens: list[str]
    position: int = 0

    def parse(self) -> Node | None:
        parts = []
        while self.position < len(self.tokens):
            part = self.either()
            if part is not None:
                parts.append(part)
            elif self.position < len(self.tokens):
                self.position += 1
        return _join("and", parts)

    def peek(self) -> str | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def either(self) -> Node | None:
        parts = [self.both()]
        while self.peek() == "OR":
            self.position += 1
            parts.append(self.both())
        return _join("or", [part for part in parts if part is not None])

    def both(self) -> Node | None:
        parts = []
        while (token := self.peek()) not in (None, ")", "OR"):
            if token == "AND":
                self.position += 1
                continue
            part = self.one()
            if part is not None:
                parts.append(part)
        return _join("and", parts)

    def one(self) -> Node | None:
        token = self.tokens[self.position]
        self.position += 1
        if token == "NOT":
            inner = self.one() if self.peek() is not None else None
            return None if inner is None else Group("not", (inner,))
        if token == "(":
            group = self.either()
            if self.peek() == ")":
                self.position += 1
            return group
        if token == ")":
            return None
        if token.startswith("-") and _TERM.fullmatch(token[1:]):
            return Group("not", (_term(token[1:]),))
        return _term(token)


def _join(joined: str, parts: list[Node]) -> Node | None:
    if len(parts) > 1:
        return Group(joined, tuple(parts))
    return parts[0] if parts else None


def _term(token: str) -> Term:
    match = _TERM.fullmatch(token)
    if match is None:
        return Term(None, "=", _unquote(token))
    return Term(match["field"], match["op"] or "=", _unquote(match["value"]))


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


# Rules for fields of one type, shared by the lists.


def compares(op: str, wanted: Any, get: Callable[[T], Any]) -> Predicate[T]:
    """Compare what `get` gives; None never matches."""
    match op:
        case ">=":
            return lambda item: (got := get(item)) is not None and bool(got >= wanted)
        case "<=":
            return lambda item: (got := get(item)) is not None and bool(got <= wanted)
        case ">":
            return lambda item: (got := get(item)) is not None and bool(got > wanted)
        case "<":
            return lambda item: (got := get(item)) is not None and bool(got < wanted)
        case _:
            return lambda item: get(item) == wanted


def match_any(_: str) -> Predicate[T]:
    """For lists whose bare text isn't known to narrow anything."""
    return lambda item: True


def number_rule(get: Callable[[T], int | None]) -> FieldRule[T]:
    """A whole number, such as an id."""

    def rule(op: str, value: str) -> Predicate[T]:
        return compares(op, read_number(value), get)

    return rule


def decimal_rule(get: Callable[[T], Decimal]) -> FieldRule[T]:
    """An amount in major units."""

    def rule(op: str, value: str) -> Predicate[T]:
        try:
            wanted = Decimal(value)
        except InvalidOperation:
            raise InvalidValue(value) from None
        if not wanted.is_finite():
            raise InvalidValue(value)
        return compares(op, wanted, get)

    return rule


def instant_rule(get: Callable[[T], int | None], timezone: ZoneInfo) -> FieldRule[T]:
    """An instant, or a date: its midnight in the shop's time zone, or with `=` that whole day."""

    def rule(op: str, value: str) -> Predicate[T]:
        start = read_instant(value, timezone)
        if op == "=" and "T" not in value:
            return lambda item: (got := get(item)) is not None and start <= got < start + 86_400
        return compares(op, start, get)

    return rule


def word_rule(words: Mapping[str, Predicate[T]]) -> FieldRule[T]:
    """One of a few words, in any letter case."""

    def rule(op: str, value: str) -> Predicate[T]:
        found = words.get(value.lower())
        if found is None or op != "=":
            raise InvalidValue(value)
        return found

    return rule


def text_rule(get: Callable[[T], str | None]) -> FieldRule[T]:
    """Text in any letter case; `*` at the end matches the rest."""

    def rule(op: str, value: str) -> Predicate[T]:
        wanted = value.lower()
        if wanted.endswith("*"):
            return lambda item: (get(item) or "").lower().startswith(wanted[:-1])
        return lambda item: (get(item) or "").lower() == wanted

    return rule


def read_number(value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise InvalidValue(value)
    return int(value)


def read_instant(value: str, timezone: ZoneInfo) -> int:
    """Whole seconds; a date or an instant without an offset is in the shop's time zone."""
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidValue(value) from None
    if "T" not in value:
        instant = datetime.combine(instant.date(), time(), timezone)
    elif instant.tzinfo is None:
        instant = instant.replace(tzinfo=timezone)
    return int(instant.timestamp())
