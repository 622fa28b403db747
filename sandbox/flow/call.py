"""One API request as the handlers see it, and what they answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sandbox.flow.behaviour import FlowBehaviour
from sandbox.flow.catalog import Permission
from sandbox.flow.errors import FlowError, bad_request
from sandbox.flow.values import Fields, parse_object


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer; a body of None is an empty one."""

    status: int
    body: object = None


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for; `first` is its offset in items."""

    number: int
    size: int
    descending: bool | None

    def cut(self, first_page: int, total: int) -> range:
        first = (self.number - first_page) * self.size
        return range(min(first, total), min(first + self.size, total))

    def answer(self, items: Sequence[object], total: int) -> Answer:
        """The documented list shape (flow.md §1)."""
        paging = {"pageNumber": self.number, "pageSize": self.size, "totalCount": total}
        return Answer(200, {"items": list(items), "paging": paging})


@dataclass(frozen=True, slots=True)
class Call:
    """The parts of one request, after authentication and with its path ids checked."""

    ids: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    permissions: Collection[Permission]
    behaviour: FlowBehaviour

    def fields(self, known: Collection[str]) -> Fields:
        """The JSON body. Raises FlowError 400."""
        return Fields(parse_object(self.body), known, refuse_unknown=self.behaviour.refuse_unknown_keys)

    def nested(self, raw: Mapping[str, object], known: Collection[str]) -> Fields:
        return Fields(raw, known, refuse_unknown=self.behaviour.refuse_unknown_keys)

    def require(self, permission: Permission) -> None:
        """Raises FlowError 403."""
        if permission not in self.permissions:
            raise FlowError(403, "FORBIDDEN", f"the token lacks {permission}")

    def page(self, sortable: Collection[str]) -> Page:
        """The paging of a list (flow.md §1). Raises FlowError 400."""
        behaviour = self.behaviour
        number = self._whole("pageNumber", behaviour.first_page)
        size = self._whole("pageSize", behaviour.page_size_default)
        if number < behaviour.first_page:
            raise bad_request(f"pageNumber starts at {behaviour.first_page}")
        if not 1 <= size <= behaviour.page_size_max:
            raise bad_request(f"pageSize is 1 to {behaviour.page_size_max}")
        if self.query.get("sortBy") not in (None, *sortable):
            raise bad_request(f"sortBy must be one of {', '.join(sortable)}")
        direction = self.query.get("sortDirection")
        if direction not in (None, "ASC", "DESC"):
            raise bad_request("sortDirection must be ASC or DESC")
        return Page(number, size, None if direction is None else direction == "DESC")

    def page_of(self, items: Sequence[object]) -> Answer:
        """One page of a short list in its own order."""
        page = self.page(())
        ordered = list(reversed(items)) if page.descending else items
        cut = page.cut(self.behaviour.first_page, len(ordered))
        return page.answer([ordered[position] for position in cut], len(ordered))

    def _whole(self, key: str, default: int) -> int:
        text = self.query.get(key)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise bad_request(f"{key} must be a whole number")
        return int(text)
