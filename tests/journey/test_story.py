"""The story of the documentation, request by request: what it says is what happens."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from gateway.domain.calendar import civil_date
from gateway.domain.exact import decode
from gateway.domain.period import Period, parse_period
from gateway_under_test import NewClient

STORY = Path(__file__).parents[2] / "docs" / "story.md"
_PERIOD = "2026-11"
"""The month of the story; the tests play the last one that has closed."""
_STEP = re.compile(
    r"```http\n(?P<method>[A-Z]+) (?P<path>\S+)\nAuthorization: Bearer \$(?P<who>[A-Z]+)\n(?:\n(?P<body>.*?)\n)?```\n"
    r"\n\*\*(?P<status>\d+)\*\*\n(?:\n```json\n(?P<answer>.*?)\n```)?",
    re.DOTALL,
)
_NAMED = re.compile(r"\{[a-z0-9-]+\}")
_RIGHTS = {
    "NATION": (None, ("catalog:write", "operations", "aggregates:read", "reports:review")),
    "HANOI": ("H26", ("reports:write", "reports:read", "reports:review", "catalog:write")),
    "WARDS": ("H26", ("reports:write", "reports:read")),
}


def last_closed(today: date) -> Period:
    """The last month whose data were closed; not February, whose deadlines Tết moves."""
    for days in range(0, 92, 7):
        month = today - timedelta(days=days)
        period = parse_period(f"{month:%Y-%m}")
        if period.end < today and month.month != 2:
            return period
    raise AssertionError("some month has closed")


@dataclass
class Told:
    """What the story's names stand for."""

    names: dict[str, str] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        return _NAMED.sub(lambda name: self.names.get(name[0], name[0]), text)

    def differences(self, expected: Any, actual: Any, place: str = "") -> Iterator[str]:
        """Where an answer is not what the story says; a name is bound where it first stands."""
        match expected:
            case dict() if isinstance(actual, dict):
                for name, value in expected.items():
                    yield from self.differences(value, actual.get(name, "(absent)"), f"{place}/{name}")
            case list() if isinstance(actual, list) and len(actual) == len(expected):
                for index, value in enumerate(expected):
                    yield from self.differences(value, actual[index], f"{place}/{index}")
            case str() if _NAMED.fullmatch(expected):
                if self.names.setdefault(expected, actual) != actual:
                    yield f"{place}: {actual} is not {expected}"
            case "…":
                pass
            case "open" if actual == "overdue":  # as the day of the test has it
                pass
            case _ if expected != actual:
                yield f"{place}: {actual!r} instead of {expected!r}"


def test_the_story_is_read_whole() -> None:
    text = STORY.read_text(encoding="utf-8")
    assert len(list(_STEP.finditer(text))) == text.count("```http") > 15


async def test_every_request_of_the_story_is_answered_as_it_says(client_for: NewClient) -> None:
    clients = {who: await client_for(*scopes, agency=agency) for who, (agency, scopes) in _RIGHTS.items()}
    period = last_closed(civil_date(datetime.now(UTC)))
    told = Told()
    for step in _STEP.finditer(STORY.read_text(encoding="utf-8").replace(_PERIOD, period.code)):
        where = f"{step['method']} {step['path']}"
        answer = await _asked(clients[step["who"]], step, told)
        assert answer.status_code == int(step["status"]), f"{where}: {answer.text}"
        if step["answer"] is not None:
            expected = json.loads(step["answer"], parse_float=Decimal)
            assert list(told.differences(expected, decode(answer.content))) == [], where


async def _asked(client: httpx.AsyncClient, step: re.Match[str], told: Told) -> httpx.Response:
    content = None if step["body"] is None else told.fill(step["body"]).encode()
    headers = {} if content is None else {"Content-Type": "application/json"}
    return await client.request(step["method"], told.fill(step["path"]), content=content, headers=headers)
