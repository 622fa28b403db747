"""The tenant's fixed furniture: brands, stores, products, countries, users and permissions.

A real client learns these from the merchant's back office (flow.md §2, §5), so they are constants here and
the control call `backoffice` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Every value of `extensionCode` (flow.md §3, complete).
EXTENSION_CODES = ("FLOWGIFTCARD", "STORE_CREDIT", "BRITANNIA", "PAYEX_GIFTCARD")
EXTENSION_FLOW = "FLOWGIFTCARD"
EXTENSION_PAYEX = "PAYEX_GIFTCARD"

#: Zero-VAT product whose sale stands for value spent elsewhere (flow.md §5, "online redemption").
PRODUCT_ONLINE_REDEMPTION = "900"
#: What cashiers sell when a customer pays with a gift card.
PRODUCT_GOODS = "100"
#: GIFTCARD products of the default brands.
PRODUCT_GIFTCARD = "901"
PRODUCT_CREDIT_VOUCHER = "902"

ORGANIZATION_UID = "1"


@dataclass(frozen=True, slots=True)
class Brand:
    """A card type with its own settings (flow.md §2)."""

    code: str
    brand_id: int
    name: str
    #: The product of type GIFTCARD that sells this brand.
    product_uid: str
    cvc_required: bool = False
    #: Days from issue to validTo; None for cards without an end.
    validity_days: int | None = None
    extension_code: str = EXTENSION_FLOW
    issuer_name: str = "Sandbox Issuer"


BRAND_GIFTCARD = Brand("giftcard", 1, "Gavekort", PRODUCT_GIFTCARD, validity_days=1095)
BRAND_CREDIT_VOUCHER = Brand("creditvoucher", 2, "Tilgodelapp", PRODUCT_CREDIT_VOUCHER)
BRANDS_DEFAULT = (BRAND_GIFTCARD, BRAND_CREDIT_VOUCHER)


@dataclass(frozen=True, slots=True)
class Store:
    """A store, in Flow's words the Merchant of its brands (flow.md §2)."""

    uid: str
    name: str = "Sandbox store"
    #: Codes of the brands it sells and redeems; None for every brand.
    brands: tuple[str, ...] | None = None

    def takes(self, brand: Brand) -> bool:
        return self.brands is None or brand.code in self.brands


@dataclass(frozen=True, slots=True)
class Product:
    uid: str
    sku: str
    name: str
    #: Set for products of type GIFTCARD.
    brand: Brand | None = None


def products_of(brands: tuple[Brand, ...]) -> dict[str, Product]:
    """Every product of the tenant by uid."""
    products = [
        Product(PRODUCT_GOODS, "GOODS", "Goods"),
        Product(PRODUCT_ONLINE_REDEMPTION, "ONLINE-REDEMPTION", "Online redemption"),
        *(Product(brand.product_uid, f"GC-{brand.code}", brand.name, brand) for brand in brands),
    ]
    return {product.uid: product for product in products}


@dataclass(frozen=True, slots=True)
class TenantUser:
    uid: str
    number: int
    name: str


USER_INTEGRATION = TenantUser("9", 7, "Integration")
USER_CASHIER = TenantUser("11", 8, "Cashier")


class Permission(StrEnum):
    """What a token may do. The first four are documented (flow.md §4, §6), the gift-card ones invented."""

    SALES_ORDER = "SALES_ORDER"
    RETURN_ORDER = "RETURN_ORDER"
    PAYMENT_METHOD = "PAYMENT_METHOD"
    TENANT_ADMIN = "Tenant.Admin"
    GIFTCARD_READ = "GIFTCARD_READ"
    GIFTCARD_WRITE = "GIFTCARD_WRITE"


@dataclass(frozen=True, slots=True)
class Country:
    code: str
    name: str
    currency: str


COUNTRIES = (
    Country("NO", "Norway", "NOK"),
    Country("SE", "Sweden", "SEK"),
    Country("DK", "Denmark", "DKK"),
    Country("FI", "Finland", "EUR"),
    Country("GB", "United Kingdom", "GBP"),
    Country("US", "United States", "USD"),
)


def countries_with(currency: str) -> tuple[tuple[Country, ...], Country]:
    """The countries list, and in it the home country of stores that trade in `currency`."""
    for country in COUNTRIES:
        if country.currency == currency:
            return COUNTRIES, country
    home = Country("XX", "Sandbox country", currency)
    return (*COUNTRIES, home), home
