"""Top-level errors in Shopify's shapes (shopify.md §5) and user errors (§4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError

JsonObject = dict[str, Any]

ACCESS_DOCUMENTATION = "https://shopify.dev/api/usage/access-scopes"
LIMITS_DOCUMENTATION = "https://shopify.dev/api/usage/rate-limits"


class ShopifyError(GraphQLError):
    """An error of one field while the request runs; `code` goes into its extensions."""

    def __init__(self, message: str, code: str, **extensions: object) -> None:
        super().__init__(message, extensions={"code": code, **extensions})


class RequestRefused(Exception):
    """A request that isn't run at all: `errors` without `data` and without a cost."""

    def __init__(self, errors: list[JsonObject]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors


@dataclass(frozen=True, slots=True)
class UserError:
    """One of a payload's `userErrors`. Types without a code simply don't select it."""

    field: tuple[str, ...] | None
    message: str
    code: str | None = None


def invalid_id(gid: str) -> ShopifyError:
    """A global id of another type, or with a tail that isn't a number (shopify.md §3.1)."""
    return ShopifyError(f"Invalid id: {gid}", "RESOURCE_NOT_FOUND")


def bad_request(message: str) -> ShopifyError:
    return ShopifyError(message, "BAD_REQUEST")


def access_denied(field: str, required: str) -> ShopifyError:
    """A missing scope (shopify.md §2)."""
    return ShopifyError(
        f"Access denied for {field} field. Required access: {required}",
        "ACCESS_DENIED",
        documentation=ACCESS_DOCUMENTATION,
        requiredAccess=required,
    )
