"""The payment methods of the platform and of the tenant (flow.md §4, "Payment method")."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.flow.behaviour import FlowBehaviour
from sandbox.flow.catalog import EXTENSION_FLOW, EXTENSION_PAYEX, Store
from sandbox.flow.errors import FlowError, conflict, not_found, unprocessable

CODE_CASH = "CASH"
CODE_EXTERNAL = "EXTERNAL"
EXTERNAL_PREFIX = "EXTERNAL_"
_NUMBER_REGEX = "^[A-Za-z0-9-]+$"
_PAYEX_CODE = "PAYEX_GIFTCARD"


@dataclass(frozen=True, slots=True)
class Parameter:
    key: str
    name: str
    required: bool
    regex: str = ""


@dataclass(frozen=True, slots=True)
class PlatformMethod:
    """A method that the platform offers; the flags mean what flow.md §4 says."""

    code: str
    name: str
    allow_sale: bool = True
    allow_refund: bool = True
    allow_amount: bool = True
    allow_cashback: bool = False
    allow_prepayment: bool = False
    exclusive: bool = False
    parameters: tuple[Parameter, ...] = ()
    #: Set for gift-card methods: the extension whose cards pay.
    extension_code: str = ""
    #: Keys of the card number and the CVC among `parameters`, for gift-card methods.
    number_key: str = ""
    cvc_key: str = ""


@dataclass(frozen=True, slots=True)
class TenantMethod:
    """A platform method as one tenant has set it up."""

    uid: str
    platform: PlatformMethod
    settlement_code: str
    name: str
    description: str = ""
    active: bool = True
    allow_sale: bool = True
    allow_refund: bool = True
    allow_cashback: bool = False
    #: Pairs of systemCode and externalId.
    mappings: tuple[tuple[str, str], ...] = ()
    position: int = 0
    visibility: str = "FEATURED"


class PaymentMethods:
    """The methods of one tenant and their uids in each store."""

    def __init__(self, behaviour: FlowBehaviour, stores: tuple[Store, ...]) -> None:
        self._stores = stores
        self.platform = _platform_methods(behaviour)
        self.tenant: list[TenantMethod] = []
        self._by_store_uid: dict[str, tuple[Store, TenantMethod]] = {}
        giftcard = self._platform_of(behaviour.payment_profile.payment_code)
        self.add(self._platform_of(CODE_CASH), CODE_CASH, "Cash", allow_cashback=True)
        self.add(giftcard, giftcard.code, behaviour.payment_profile.method_name)
        for code in behaviour.external_settlement_codes:
            self.add(self._platform_of(CODE_EXTERNAL), code, code.removeprefix(EXTERNAL_PREFIX).title())
        if behaviour.second_giftcard_method:
            self.add(self._platform_of(_PAYEX_CODE), _PAYEX_CODE, "PayEx gift card")

    def add(
        self,
        platform: PlatformMethod,
        settlement_code: str,
        name: str,
        *,
        description: str = "",
        active: bool = True,
        allow_sale: bool = True,
        allow_refund: bool = True,
        allow_cashback: bool = False,
        mappings: tuple[tuple[str, str], ...] = (),
    ) -> TenantMethod:
        """Set up a method in every store of the tenant. Raises FlowError for a code that does not fit."""
        check_settlement_code(platform, settlement_code)
        if any(method.settlement_code == settlement_code for method in self.tenant):
            raise conflict("SETTLEMENT_CODE_EXISTS", "the settlementCode is taken")
        position = len(self.tenant) + 1
        method = TenantMethod(
            uid=f"tpm-{position}",
            platform=platform,
            settlement_code=settlement_code,
            name=name,
            description=description,
            active=active,
            allow_sale=allow_sale and platform.allow_sale,
            allow_refund=allow_refund and platform.allow_refund,
            allow_cashback=allow_cashback and platform.allow_cashback,
            mappings=mappings,
            position=position,
        )
        self.tenant.append(method)
        for store in self._stores:
            self._by_store_uid[store_method_uid(store, method)] = (store, method)
        return method

    def of_platform(self, code: str) -> PlatformMethod:
        """Raises FlowError 422 for a code that the platform does not have."""
        for method in self.platform:
            if method.code == code:
                return method
        raise unprocessable("UNKNOWN_PAYMENT_CODE", "the platform has no such paymentCode")

    def in_store(self, store: Store, uid: str) -> TenantMethod:
        """The method whose storePaymentMethodUid in `store` is `uid`. Raises FlowError 404."""
        found = self._by_store_uid.get(uid)
        if found is None or found[0] is not store:
            raise not_found("payment_method")
        return found[1]

    def by_code(self, settlement_code: str) -> TenantMethod:
        """Raises FlowError 404 when no method has the settlementCode."""
        for method in self.tenant:
            if method.settlement_code == settlement_code:
                return method
        raise not_found("payment_method")

    @property
    def cash(self) -> TenantMethod:
        return self.tenant[0]

    @property
    def giftcard(self) -> TenantMethod:
        return self.tenant[1]

    def _platform_of(self, code: str) -> PlatformMethod:
        return next(method for method in self.platform if method.code == code)


def store_method_uid(store: Store, method: TenantMethod) -> str:
    """`storePaymentMethodUid` of a tenant's method in one store; the real mapping is unknown (flow.md §4)."""
    return f"spm-{store.uid}-{method.position}"


def check_settlement_code(platform: PlatformMethod, settlement_code: str) -> None:
    """External methods need a code of their own, all others use the paymentCode (flow.md §4).

    Raises FlowError 422.
    """
    problem: FlowError | None = None
    if platform.code == CODE_EXTERNAL:
        if not settlement_code.startswith(EXTERNAL_PREFIX) or settlement_code == EXTERNAL_PREFIX:
            problem = unprocessable("BAD_SETTLEMENT_CODE", "an external settlementCode starts with EXTERNAL_")
    elif settlement_code != platform.code:
        problem = unprocessable("BAD_SETTLEMENT_CODE", "the settlementCode must be the paymentCode")
    if problem is not None:
        raise problem


def _platform_methods(behaviour: FlowBehaviour) -> tuple[PlatformMethod, ...]:
    profile = behaviour.payment_profile
    giftcard = PlatformMethod(
        profile.payment_code,
        "Flow Gift Card payment",
        parameters=(
            Parameter(profile.number_key, profile.number_name, required=True, regex=_NUMBER_REGEX),
            Parameter(profile.cvc_key, profile.cvc_name, required=False),
        ),
        extension_code=EXTENSION_FLOW,
        number_key=profile.number_key,
        cvc_key=profile.cvc_key,
    )
    payex = PlatformMethod(
        _PAYEX_CODE,
        "PayEx gift card",
        parameters=(Parameter("payexCardNumber", "Card number", required=True, regex=_NUMBER_REGEX),),
        extension_code=EXTENSION_PAYEX,
        number_key="payexCardNumber",
    )
    return (
        PlatformMethod(CODE_CASH, "Cash", allow_cashback=True),
        PlatformMethod(CODE_EXTERNAL, "External"),
        PlatformMethod("INVOICE", "Invoice", exclusive=True),
        giftcard,
        payex,
    )
