"""The OpenAPI document: complete, true, and readable without internet."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from described import DOCUMENT
from rights import ANYBODY, RIGHTS

OPERATIONS = [
    pytest.param(path, method, operation, id=f"{method} {path}")
    for path, methods in sorted(DOCUMENT["paths"].items())
    for method, operation in methods.items()
]


def schema_of(content: dict[str, Any]) -> dict[str, Any]:
    """The schema of a body, with a reference followed."""
    schema: dict[str, Any] = content.get("schema", {})
    schema = next((each for each in schema.get("anyOf", []) if "$ref" in each), schema)
    name = schema.get("$ref", "").rpartition("/")[2]
    return DOCUMENT["components"]["schemas"][name] if name else schema


def has_example(content: dict[str, Any]) -> bool:
    return bool({"example", "examples"} & (content.keys() | schema_of(content).keys()))


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_request_body_has_a_real_example(path: str, method: str, operation: dict[str, Any]) -> None:
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        assert has_example(content), media_type


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_error_is_declared_with_an_example(path: str, method: str, operation: dict[str, Any]) -> None:
    for status, answer in operation["responses"].items():
        if status.startswith(("4", "5")):
            assert answer.get("content"), status
            assert all(has_example(content) for content in answer["content"].values()), status
    if path.startswith("/v1/") and RIGHTS.get(f"{method.upper()} {path}") != ANYBODY:
        assert "401" in operation["responses"]
        for status, answer in operation["responses"].items():
            if status.startswith(("4", "5")) and "problem" not in str(answer["content"]):
                pytest.fail(f"{status} is not a problem")


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_every_operation_says_what_it_does(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation.get("description"), "the endpoint's docstring"
    assert operation.get("tags")


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, member in node.items():
            if name == "$ref":
                yield str(member)
            else:
                yield from references(member)
    elif isinstance(node, list):
        for member in node:
            yield from references(member)


def test_every_reference_leads_somewhere() -> None:
    for reference in set(references(DOCUMENT)):
        node: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            assert step in node, reference
            node = node[step]


def test_the_document_of_the_repository_is_the_one_that_is_served(app: FastAPI) -> None:
    assert app.openapi() == DOCUMENT, "run 'gateway openapi'"


async def test_the_pages_need_nothing_from_the_internet(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test") as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert addresses
        for address in addresses:
            assert address.startswith("/docs/static/"), address
            assert (await client.get(address)).status_code == 200
        assert (await client.get("/openapi.json")).json() == DOCUMENT


def test_the_bounds_of_a_page_are_said() -> None:
    limits = [
        parameter["schema"]
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
        for parameter in operation.get("parameters", [])
        if parameter["name"] == "limit"
    ]
    assert limits
    for schema in limits:
        said = {name: schema[name] for name in ("type", "minimum", "maximum", "default")}
        assert said == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}


def test_a_reused_key_is_within_what_is_said_of_422() -> None:
    content = DOCUMENT["paths"]["/v1/reports"]["post"]["responses"]["422"]["content"]
    assert "#/components/schemas/Problem" in str(content["application/problem+json"]["schema"])
