"""Settings: what cannot be meant is refused where it stands, and nothing secret is repeated."""

import pytest
from pydantic import ValidationError

from gateway.settings import Settings


@pytest.mark.parametrize(
    "url",
    [
        "mysql://gateway:s3cret@db/gateway",
        "postgresql://gateway:s3cret@db:port/gateway",
        "postgresql://gateway:s3/cret@db/gateway",
        "postgresql:/gateway:s3cret@db",
        "s3cret",
        "",
    ],
)
def test_an_address_of_the_database_that_is_none_is_refused_in_a_sentence_without_it(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(database_url=url)
    [fault] = refused.value.errors()
    assert fault["loc"] == ("database_url",)
    assert fault["msg"].endswith("must look like postgresql://user:password@host:5432/name")
    assert "s3" not in fault["msg"]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgresql://db/gateway", "postgresql+asyncpg://db/gateway"),
        ("postgres://u:p@[::1]:5432/gateway", "postgresql+asyncpg://u:p@[::1]:5432/gateway"),
        ("postgresql+asyncpg:///gateway?host=/run", "postgresql+asyncpg:///gateway?host=/run"),
        ("postgresql://db/gateway?sslmode=require", "postgresql+asyncpg://db/gateway?ssl=require"),
    ],
)
def test_an_address_is_taken_as_postgresql_programs_write_it(given: str, taken: str) -> None:
    assert Settings(database_url=given).sqlalchemy_url == taken
