from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from daemon.api.openapi import document
from daemon.api.order_request import OrderRequest

SPEC = document()
KINDS = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


def misfits(value: Any, schema: dict[str, Any], where: str = "$") -> list[str]:
    """Return where a value does not fit; properties that the schema does not name are misfits too."""
    if "$ref" in schema:
        return misfits(value, SPEC["components"]["schemas"][schema["$ref"].rpartition("/")[2]], where)
    if "anyOf" in schema:
        tries = [misfits(value, choice, where) for choice in schema["anyOf"]]
        return [] if [] in tries else tries[0]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(type(value) is KINDS[kind] for kind in kinds):
        return [f"{where}: {value!r} is not {schema['type']}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is not one of {schema['enum']}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{where}: {value!r} does not match {schema['pattern']}")
    if isinstance(value, list):
        found += [each for item in value for each in misfits(item, schema["items"], f"{where}[]")]
    if isinstance(value, dict) and "properties" in schema:
        names = schema["properties"]
        found += [f"{where}: {name} is missing" for name in schema["required"] if name not in value]
        found += [f"{where}: {name} is not described" for name in value if name not in names]
        found += [
            each
            for name in value.keys() & names
            for each in misfits(value[name], names[name], f"{where}.{name}")
        ]
    return found


async def test_the_document_lists_exactly_the_addresses_that_are_served(rig) -> None:
    _, spec = await rig.get("/api/v1/openapi.json")
    assert spec["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, item in spec["paths"].items() for method in item}
    served = set()
    for route in rig.app.router.routes():
        path = route.resource.canonical
        if route.method != "HEAD" and path != "/" and not path.startswith("/static"):
            served.add((route.method, path))
    assert described == served


def test_every_reference_is_defined_and_every_definition_used() -> None:
    used = set(re.findall(r"#/components/schemas/(\w+)", msgspec.json.encode(SPEC).decode()))
    assert used == set(SPEC["components"]["schemas"])


def test_the_order_request_is_described_field_by_field() -> None:
    described = SPEC["components"]["schemas"]["OrderRequest"]
    fields = msgspec.structs.fields(OrderRequest)
    assert list(described["properties"]) == [field.name for field in fields]
    assert described["required"] == [field.name for field in fields if field.required]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/health", ""),
        ("/api/v1/status", ""),
        ("/api/v1/instruments", ""),
        ("/api/v1/bars", "?instrument=1"),
        ("/api/v1/ticks", "?instrument=1"),
        ("/api/v1/ticks", "?instrument=1&kind=quote"),
        ("/api/v1/orders", ""),
        ("/api/v1/positions", ""),
        ("/api/v1/account", ""),
    ],
)
async def test_answers_are_as_described(rig, path, query) -> None:
    await rig.post({"instrument": 1, "side": "buy", "type": "market", "quantity": "0.1"})
    await rig.post({"instrument": 1, "side": "buy", "type": "limit", "quantity": "9", "price": "60000"})
    await rig.settle()
    status, value = await rig.get(path + query)
    assert status == 200
    schema = SPEC["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert misfits(value, schema) == []
    rows = next((part for part in value.values() if isinstance(part, list)), [None])
    assert rows or path == "/health" or "reasons" in value


async def test_orders_and_problems_are_as_described(rig, limit_order) -> None:
    schemas = SPEC["components"]["schemas"]
    _, order = await rig.post({**limit_order, "take_profit": {"price": "61000"}})
    assert misfits(order, schemas["PlacedOrder"]) == []
    _, found = await rig.get(f"/api/v1/orders/{order['order_id']}")
    assert misfits(found, schemas["Order"]) == []
    _, canceled = await rig.delete(order["order_id"])
    assert misfits(canceled, schemas["Cancel"]) == []
    _, problem = await rig.get("/nothing")
    assert misfits(problem, schemas["Problem"]) == []
