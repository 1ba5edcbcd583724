"""The description of the API says all that a client has to know, and nothing twice."""

import re
from collections import Counter
from itertools import chain
from typing import Any

import jsonschema
import pytest

from remediator.web.openapi import document
from remediator.web.operations import OPERATIONS, Operation, Who

PATHS = document()["paths"]
MODELS = document()["components"]["schemas"]
EACH = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = PATHS[operation.path][operation.method.lower()]
    return found


def references(part: Any) -> set[str]:
    """Names of the models that a part of the description refers to."""
    if isinstance(part, dict):
        named = {part["$ref"].rsplit("/", 1)[1]} if isinstance(part.get("$ref"), str) else set()
        return named.union(*map(references, part.values()))
    if isinstance(part, list):
        return set().union(*map(references, part))
    return set()


def test_every_model_is_there_and_is_used() -> None:
    assert references(document()) == set(MODELS)


def test_no_two_operations_have_one_name() -> None:
    specs = chain.from_iterable(methods.values() for methods in PATHS.values())
    counted = Counter(spec["operationId"] for spec in specs)
    assert set(counted.values()) == {1}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_is_a_valid_schema_that_says_what_it_is(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(MODELS[name])
    assert MODELS[name].get("description") or "enum" in MODELS[name]


@EACH
def test_what_a_path_leaves_open_is_a_required_parameter(operation: Operation) -> None:
    in_path = [p for p in described(operation).get("parameters", []) if p["in"] == "path"]
    assert {p["name"] for p in in_path} == set(re.findall(r"{(\w+)}", operation.path))
    assert all(p["required"] and p["description"] for p in in_path)


@EACH
def test_what_only_operators_may_do_needs_credentials_and_says_how_it_is_refused(
    operation: Operation,
) -> None:
    spec = described(operation)
    expected = {"400", "401", "403", "429", "503"} if operation.who is Who.OPERATOR else set()
    assert expected <= set(spec["responses"])
    assert bool(spec["security"]) is (operation.who is not Who.ANYONE)


@EACH
def test_a_refusal_of_the_api_is_an_object_with_an_error(operation: Operation) -> None:
    if operation.who is Who.ANYONE:
        return
    for status, answer in described(operation)["responses"].items():
        schema = answer["content"]["application/json"]["schema"]
        assert (schema == {"$ref": "#/components/schemas/Error"}) is (status != "200")


@EACH
def test_a_post_has_a_json_body_and_nothing_else_has_one(operation: Operation) -> None:
    body = described(operation).get("requestBody")
    assert (body is not None) is (operation.method == "POST")
    assert body is None or (list(body["content"]), body["required"]) == (["application/json"], True)


@pytest.mark.parametrize(
    ("model", "value", "valid"),
    [
        ("PauseAsked", {"reason": "a look"}, True),
        ("PauseAsked", {"reason": "a look", "for": "2h", "scope": "all"}, True),
        ("PauseAsked", {"reason": "a look", "for": None, "scope": None}, True),
        ("PauseAsked", {"reason": " "}, False),
        ("PauseAsked", {}, False),
        ("PauseAsked", {"reason": "a look", "fro": "2h"}, False),
        ("Approve", {"digest": "sha256:0"}, True),
        ("Approve", {"digest": ""}, False),
        ("Approve", {"reason": "no digest"}, False),
        ("Error", {"error": "words"}, True),
        ("Error", {}, False),
    ],
    ids=str,
)
def test_what_may_be_sent_is_described_as_it_is_taken(model: str, value: Any, valid: bool) -> None:
    schema = {**MODELS[model], "components": {"schemas": MODELS}}
    assert jsonschema.Draft202012Validator(schema).is_valid(value) is valid
