"""What the log says of what went wrong: where and of which kind, without the values it was about."""

import io
import logging
import sys

import asyncpg
import pytest
from pydantic import BaseModel, ValidationError
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError

from gateway.logs import Reticent, told

CANARY = "canary-5521"


def raised(error: BaseException, cause: BaseException | None = None) -> str:
    try:
        raise error from cause
    except BaseException:
        _, found, where = sys.exc_info()
        assert found
        return told((type(found), found, where))


class Model(BaseModel):
    number: int


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"number": CANARY})
    return caught.value


def postgres(kind: type[asyncpg.PostgresError], message: str) -> asyncpg.PostgresError:
    error = kind(message)
    error.sqlstate = kind.sqlstate
    error.detail = f"Failing row contains ({CANARY},\n\n{CANARY})."
    return error


def test_postgresql_s_details_stay_out_and_its_message_in() -> None:
    text = raised(postgres(asyncpg.CheckViolationError, "new row violates check constraint"))
    assert "CheckViolationError (23514): new row violates check constraint" in text
    assert "test_logs.py" in text
    assert CANARY not in text


def test_messages_that_repeat_a_value_stay_out() -> None:
    text = raised(postgres(asyncpg.InvalidTextRepresentationError, f'invalid input syntax: "{CANARY}"'))
    assert "InvalidTextRepresentationError (22P02)" in text
    assert CANARY not in text


def test_parameters_and_input_stay_out_of_whatever_led_to_it() -> None:
    statement = DBAPIError("SELECT $1", (CANARY,), Exception(CANARY))
    wrapped = AsyncAdapt_asyncpg_dbapi.IntegrityError(CANARY, postgres(asyncpg.CheckViolationError, CANARY))  # type: ignore[no-untyped-call]
    assert CANARY not in raised(DBAPIError("SELECT 1", (CANARY,), Exception(CANARY)), wrapped)
    text = raised(RuntimeError("outer"), ExceptionGroup("several", [statement, invalid()]))
    assert "RuntimeError: outer" in text
    assert "number (int_parsing)" in text
    assert text.index("several") < text.index("outer")
    assert CANARY not in text


def test_libraries_are_as_reticent() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Reticent(logging.BASIC_FORMAT))
    logger = logging.Logger("library")
    logger.addHandler(handler)
    try:
        raise postgres(asyncpg.CheckViolationError, "no")
    except asyncpg.PostgresError:
        logger.exception("failed")
    assert "ERROR:library:failed" in stream.getvalue()
    assert "CheckViolationError" in stream.getvalue()
    assert CANARY not in stream.getvalue()
