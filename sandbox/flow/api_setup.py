"""Payment methods, extensions, countries, stores and customers (flow.md §4)."""

from __future__ import annotations

from sandbox.flow.call import Answer, Call
from sandbox.flow.catalog import EXTENSION_FLOW, Permission
from sandbox.flow.errors import bad_request, not_found
from sandbox.flow.payments import CODE_EXTERNAL, EXTERNAL_PREFIX, Parameter, PlatformMethod, TenantMethod
from sandbox.flow.values import Fields
from sandbox.flow.world import Customer, World

_METHOD_KEYS = frozenset(
    {
        "name",
        "description",
        "settlementCode",
        "paymentMethod",
        "active",
        "allowSale",
        "allowRefund",
        "allowCashback",
        "externalSystemMappings",
    }
)
_CUSTOMER_KEYS = ("firstname", "lastname", "email", "mobile")
_EXTENSION_UID = "ext-1"
_EXTENSION_OFF_UID = "ext-2"


def list_platform_methods(world: World, call: Call) -> Answer:
    """The platform's list is documented without paging."""
    tenant = call.query.get("tenantUid")
    if not tenant:
        raise bad_request("tenantUid is required")
    if tenant != world.tenant:
        raise not_found("tenant")
    return Answer(200, {"items": [_platform_json(method) for method in world.methods.platform]})


def list_tenant_methods(world: World, call: Call) -> Answer:
    system = call.query.get("systemCode")
    methods = [
        method
        for method in world.methods.tenant
        if not system or any(code == system for code, _ in method.mappings)
    ]
    return call.page_of([_tenant_json(method) for method in methods])


def add_tenant_method(world: World, call: Call) -> Answer:
    """The request's keys are assumed to be those of the answer."""
    call.require(Permission.PAYMENT_METHOD)
    fields = call.fields(_METHOD_KEYS)
    code = fields.text("settlementCode")
    inner = call.nested(fields.mapping("paymentMethod"), {"paymentCode"})
    implied = CODE_EXTERNAL if code.startswith(EXTERNAL_PREFIX) else code
    method = world.methods.add(
        world.methods.of_platform(inner.text("paymentCode", implied)),
        code,
        fields.text("name"),
        description=fields.text("description", ""),
        active=fields.flag("active", True),
        allow_sale=fields.flag("allowSale", True),
        allow_refund=fields.flag("allowRefund", True),
        allow_cashback=fields.flag("allowCashback", False),
        mappings=_read_mappings(fields),
    )
    return Answer(201, _tenant_json(method))


def _read_mappings(fields: Fields) -> tuple[tuple[str, str], ...]:
    entries = fields.objects("externalSystemMappings")
    mappings = [(entry.get("systemCode"), entry.get("externalId")) for entry in entries]
    found = tuple(
        (code, external) for code, external in mappings if isinstance(code, str) and isinstance(external, str)
    )
    if len(found) != len(mappings):
        raise bad_request("externalSystemMappings must hold systemCode and externalId strings")
    return found


def _platform_json(method: PlatformMethod) -> dict[str, object]:
    return {
        "allowRefund": method.allow_refund,
        "allowSale": method.allow_sale,
        "allowAmount": method.allow_amount,
        "allowCashback": method.allow_cashback,
        "allowPrepayment": method.allow_prepayment,
        "requireExclusiveUse": method.exclusive,
        "name": method.name,
        "parameters": [
            {"key": one.key, "keyType": "TEXT", "name": one.name, "required": one.required}
            for one in method.parameters
        ],
        "paymentCode": method.code,
    }


def _tenant_json(method: TenantMethod) -> dict[str, object]:
    return {
        "active": method.active,
        "name": method.name,
        "description": method.description,
        "settlementCode": method.settlement_code,
        "paymentMethod": _platform_json(method.platform),
        "tenantPaymentMethodUid": method.uid,
        "allowRefund": method.allow_refund,
        "allowSale": method.allow_sale,
        "allowCashback": method.allow_cashback,
        "parameters": [_parameter_json(parameter) for parameter in method.platform.parameters],
        "externalSystemMappings": [
            {
                "systemCode": code,
                "externalId": external,
                "tenantPaymentMethodMappingUid": f"{method.uid}-m{position}",
            }
            for position, (code, external) in enumerate(method.mappings, start=1)
        ],
        "position": method.position,
        "visibility": method.visibility,
    }


def _parameter_json(parameter: Parameter) -> dict[str, object]:
    return {
        "name": parameter.name,
        "description": "",
        "required": parameter.required,
        "key": parameter.key,
        "type": "TEXT",
        "regex": parameter.regex,
    }


def list_extensions(world: World, call: Call) -> Answer:
    return call.page_of(_extensions(world))


def get_extension(world: World, call: Call) -> Answer:
    for extension in _extensions(world):
        if extension["tenantExtensionUid"] == call.ids["tenantExtensionUid"]:
            return Answer(200, extension)
    raise not_found("extension")


def _extensions(world: World) -> list[dict[str, object]]:
    behaviour = world.behaviour
    return [
        _extension(
            _EXTENSION_UID,
            "Flow Gift Card",
            EXTENSION_FLOW,
            behaviour.extension_active,
            behaviour.extension_messages,
        ),
        _extension(_EXTENSION_OFF_UID, "Britannia", "BRITANNIA", False, ()),
    ]


def _extension(uid: str, name: str, code: str, active: bool, messages: tuple[str, ...]) -> dict[str, object]:
    parameter: dict[str, object] = {
        "key": "issuerId",
        # Clients must never log values of tenantParameters; this one is recognisable when they do.
        "value": "sandbox-secret-issuer-value",
        "type": "STRING",
        "allowedValues": [],
        "validationRegex": "",
        "name": "Issuer",
        "required": True,
    }
    return {
        "tenantExtensionUid": uid,
        "name": name,
        "active": active,
        "extensionCode": code,
        "hasStoreExtensionSettings": True,
        "tenantParameters": [parameter],
        "statusMessages": list(messages),
        "availableStoreParameters": [parameter | {"key": "merchantId", "name": "Merchant", "value": ""}],
    }


def list_countries(world: World, call: Call) -> Answer:
    return call.page_of(
        [
            {"countryCode": country.code, "name": country.name, "currency": country.currency}
            for country in world.countries
        ]
    )


def get_store(world: World, call: Call) -> Answer:
    """A store read is only hinted at (flow.md §9); it names its country and leaves the currency to that."""
    store = world.store(call.ids["storeUid"])
    return Answer(
        200,
        {
            "storeUid": store.uid,
            "storeName": store.name,
            "countryCode": world.home.code,
        },
    )


def add_customer(world: World, call: Call) -> Answer:
    fields = call.fields((*_CUSTOMER_KEYS, "customerType"))
    fields.choice("customerType", ("PERSON",))
    uid = f"c{len(world.customers) + 1}"
    world.customers[uid] = Customer(uid, *(fields.text(key) for key in _CUSTOMER_KEYS))
    return Answer(201, {"customerUid": uid})
