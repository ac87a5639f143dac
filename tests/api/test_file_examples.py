"""The examples of files in the OpenAPI document are real: the gateway reads them."""

from typing import Any
from uuid import UUID

import pytest

from gateway.api.file_bodies import FILE_BODIES, FILE_PARAMETERS
from gateway.flow.prepare import Push
from gateway.flow.unpack import PARAMETERS, READERS, unpack

EXAMPLES = {kind: content["example"] for kind, content in FILE_BODIES.items() if "example" in content}
QUERY = "form=TTHC_06A&agency=H26.18&period=2026-Q3"


@pytest.mark.parametrize("media_type", EXAMPLES)
def test_every_example_of_a_file_is_a_report(media_type: str) -> None:
    [push] = unpack(Push(EXAMPLES[media_type].encode(), media_type, UUID(int=0), None, "en", query=QUERY))
    assert push.unpacked is not None
    envelope, rows = push.unpacked.envelope, push.unpacked.report.rows
    assert (envelope.form, envelope.agency, envelope.period) == ("TTHC_06A", "H26.18", "2026-Q3")
    assert [row["received_total"] for row in rows] == ["2400"]


def test_every_notation_and_every_parameter_is_described() -> None:
    assert set(FILE_BODIES) == set(READERS)
    described: list[dict[str, Any]] = FILE_PARAMETERS
    assert [each["name"] for each in described] == list(PARAMETERS)
