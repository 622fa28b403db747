"""Who is told of a card: found among the shop's customers or made there, and attached to the card.

Only an e-mail address or a phone number is given to Shopify, and only for somebody whom it does not know.
All of it may be done again, unless attaching a customer makes Shopify tell them (shopify.md §3.2, §11).
"""

from __future__ import annotations

from connectors.api.errors import InDoubt, NotSent, Refusal, Refused
from connectors.shopify import operations
from connectors.shopify.answers import ScopeMissing
from connectors.shopify.client import ShopifyClient
from connectors.shopify.refusals import UserError, user_errors
from connectors.shopify.shape import object_of, optional_object, text_of
from mappings.contact import Contact

_TAKEN = "already been taken"
_NOT_KNOWN = "the buyer could not be looked up in Shopify, and was not told of anything"


class CustomerDesk:
    """Finds, makes and attaches customers. Thread-safe."""

    def __init__(self, client: ShopifyClient) -> None:
        self._client = client

    def attach(self, native_id: str, contact: Contact) -> None:
        """Have the card belong to the customer with that contact.

        Raises Refused when Shopify says no; NotSent when the customer is not found out, and nothing was done
        to the card; InDoubt when the card's own change may or may not have been made.
        """
        try:
            customer_id = self._find(contact) or self._make(contact)
        except ScopeMissing as error:
            raise Refused(str(error), Refusal.MISSING_DETAIL) from None
        except InDoubt:
            raise NotSent(_NOT_KNOWN) from None
        self._attach(native_id, customer_id)

    def _find(self, contact: Contact) -> str | None:
        for key, value in (("emailAddress", contact.email), ("phoneNumber", contact.phone)):
            if value:
                found = self._client.read(operations.FIND_CUSTOMER, {"identifier": {key: value}})
                customer = optional_object(found, "customerByIdentifier")
                if customer is not None:
                    return text_of(customer, "id")
        return None

    def _make(self, contact: Contact) -> str:
        """A customer with one way to reach them and nothing else."""
        wanted = {"email": contact.email} if contact.email else {"phone": contact.phone}
        payload = self._client.change(operations.CREATE_CUSTOMER, {"input": wanted})
        errors = user_errors(payload)
        if any(_TAKEN in error.message for error in errors):
            # Made by somebody else meanwhile, or by our own attempt whose answer was lost.
            raise NotSent(_NOT_KNOWN)
        if errors:
            raise Refused("Shopify does not take the buyer's contact", Refusal.MISSING_DETAIL)
        return text_of(object_of(payload, "customer"), "id")

    def _attach(self, native_id: str, customer_id: str) -> None:
        variables = {"id": native_id, "input": {"customerId": customer_id}}
        try:
            errors = user_errors(self._client.change(operations.UPDATE_CARD, variables))
        except ScopeMissing as error:
            raise Refused(str(error), Refusal.MISSING_DETAIL) from None
        if errors:
            raise _refused(errors[0])


def _refused(error: UserError) -> Refused:
    if "deactivated" in error.message:
        return Refused("the card is deactivated in Shopify", Refusal.NOT_ACTIVE)
    return Refused(
        "Shopify does not attach the buyer to the card: on a trial plan it never does, and a card that has a "
        "customer keeps it",
        Refusal.MISSING_DETAIL,
    )
