"""What the resolvers of searchable lists share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sandbox.shopify.graphql.lists import Listing
from sandbox.shopify.graphql.search import Search
from sandbox.shopify.http.context import Info
from sandbox.shopify.shop.collection import Numbered

T = TypeVar("T", bound=Numbered)


def list_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A null sort key sorts by id."""
    return {**arguments, "sortKey": arguments.get("sortKey") or "ID"}


def search_of(listing: Listing[T], info: Info, arguments: Mapping[str, Any]) -> Search[T] | None:
    """The search of a `query` argument; its warnings go into `extensions.search`."""
    query = arguments.get("query")
    if query is None or not query.strip():
        return None
    search = listing.compile(query)
    if search.warnings:
        info.context.search.append(search.extension(info.path.as_list()))
    return search
