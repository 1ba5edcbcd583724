"""The description of the HTTP API (OpenAPI 3.1), which follows from its operations."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from .. import __version__
from .answers import Error
from .operations import OPERATIONS, Operation, Who

REF = "#/components/schemas/{model}"
ERROR = {"$ref": REF.format(model="Error")}
PARAMETERS = {
    "id": "ID of a remediation, such as r-k7m2p9x4ab.",
    "scope": "A paused scope, such as namespace:shop.",
    "name": "Name of a rule.",
}


@cache
def document() -> Mapping[str, Any]:
    """The OpenAPI document, made once: making it takes tens of milliseconds."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    _schema(Error, schemas)
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(
            operation, schemas
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "remediator",
            "version": __version__,
            "description": "Times are RFC 3339 in UTC. An error has one key, `error`.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _described(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"operationId": operation.name, "summary": operation.summary}
    parameters = [*_in_path(operation.path), *_in_query(operation, schemas)]
    if parameters:
        made["parameters"] = parameters
    if operation.body is not None:
        made["requestBody"] = {"required": True, **_json(_schema(operation.body, schemas))}
    elif operation.method == "POST":  # nothing is read, but the content type is required
        made["requestBody"] = {"required": True, **_json({})}
    answer = (
        {"text/plain": {"schema": {"type": "string"}}}
        if operation.answer is str
        else _json(_schema(operation.answer, schemas))["content"]
    )
    refused = {"text/plain": {}} if operation.answer is str else _json(ERROR)["content"]
    made["responses"] = {
        "200": {"description": "Done.", "content": answer},
        **{
            str(status): {"description": text, "content": refused}
            for status, text in operation.refusals.items()
        },
    }
    made["security"] = [] if operation.who is Who.ANYONE else [{"token": []}, {"password": []}, {}]
    return made


def _in_path(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": text,
            "schema": {"type": "string", "minLength": 1},
        }
        for name, text in PARAMETERS.items()
        if f"{{{name}}}" in path
    ]


def _in_query(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    made = TypeAdapter(operation.query).json_schema(ref_template=REF)
    schemas.update(made.pop("$defs", {}))
    out = []
    for name, schema in made["properties"].items():
        text = schema.pop("description", "")
        schema = next((one for one in schema.get("anyOf", []) if "$ref" in one), schema)
        out.append({"name": name, "in": "query", "description": text, "schema": schema})
    return out


def _schema(shape: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """A reference to the shape's schema, which is added to the document's."""
    made = TypeAdapter(shape).json_schema(ref_template=REF, by_alias=True)
    schemas.update(made.pop("$defs", {}))
    if "title" in made and made.get("type") == "object":
        schemas[made["title"]] = made
        return {"$ref": REF.format(model=made["title"])}
    return dict(made)


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}
