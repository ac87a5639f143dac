"""Names of states: read as they are written, and nothing else is one."""

from datetime import UTC, date, datetime

import pytest

from gateway.api.sdmx_query import read_moment
from gateway.domain.as_of import Time, Token, read_as_of


@pytest.mark.parametrize(
    "name",
    [
        Token(0),
        Token(778),
        Token(778, (12, 700)),
        Token(778, (), date(2025, 7, 1)),
        Time(datetime(2026, 4, 26, 1, 2, 3, 45, UTC)),
        Time(datetime(26, 4, 26, tzinfo=UTC)),
    ],
)
def test_a_name_is_read_as_it_is_written(name: Token | Time) -> None:
    assert read_as_of(str(name)) == name


@pytest.mark.parametrize(
    "text",
    ["", "x", "1.", "1..2", "1@x", "1@2026-02-30", "2026-02-30T00:00:00Z", "2026-04-26", "0001-01-01T00:00:00+14:00"],
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its words are for nobody
        read_as_of(text)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-04-26T10:00:00Z", 10),
        ("2026-04-26T10:00:00 07:00", 3),  # a plus sign that was not escaped
        ("20260426T100000Z", 10),
        ("2026-04-26T10:00:00.1234567Z", 10),
        ("2026-04-26T10:00:00", 3),
    ],
)
def test_a_moment_of_sdmx_keeps_its_zone_and_is_in_viet_nams_without_one(text: str, hour: int) -> None:
    moment = read_moment(text)
    assert isinstance(moment, Time)
    assert (moment.at.tzinfo, moment.at.hour) == (UTC, hour)
