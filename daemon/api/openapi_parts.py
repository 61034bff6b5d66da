"""Pieces that the OpenAPI document is put together from; knows no route."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "integer", "minimum": 0}
NS: Schema = {"type": "integer", "description": "nanoseconds since 1970 UTC"}
DECIMAL: Schema = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["60000.50"]}
FLAG: Schema = {"type": "boolean"}


def or_null(schema: Schema) -> Schema:
    """Return a schema that null fits, too."""
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(*values: str) -> Schema:
    """Return the schema of one of these words."""
    return {"type": "string", "enum": list(values)}


def record(**properties: Schema) -> Schema:
    """Return the schema of an object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def list_of(schema: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


CURSOR = or_null({"type": "string", "description": "the cursor of the next page; null on the last"})


def query_parameter(name: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    """Return the description of a parameter in the query."""
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": description}


LIMIT = query_parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "rows of a page")
NEXT = query_parameter("cursor", TEXT, "`next` of the page before")


def answer(description: str, schema: Schema | None = None, media: str = "application/json") -> Schema:
    """Return the description of one answer; text when it has no schema."""
    return {"description": description, "content": {media: {"schema": schema or TEXT}}}


def operation(
    name: str,
    summary: str,
    answers: dict[str, Schema],
    *,
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
    changes: bool = False,
) -> Schema:
    """Return the description of one method of an address; `changes` needs a token."""
    problem = answer("a problem (RFC 9457)", ref("Problem"), "application/problem+json")
    operation: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {**answers, "default": problem},
    }
    if parameters:
        operation["parameters"] = list(parameters)
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if changes:
        operation["security"] = [{"token": []}]
    return operation


def get(name: str, summary: str, schema: str, parameters: tuple[Schema, ...] = ()) -> Schema:
    """Return the description of a question that is answered with one kind of document."""
    return operation(name, summary, {"200": answer(summary, ref(schema))}, parameters=parameters)
