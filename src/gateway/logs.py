"""Logs: one JSON line an event, with the request's id and never a secret or a report's body."""

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeAlias

import asyncpg
import msgspec
import structlog
from pydantic import ValidationError
from sqlalchemy.exc import StatementError

Event: TypeAlias = MutableMapping[str, Any]
Raised: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
_DATA_EXCEPTION = "22"
"""Class of SQLSTATE whose messages repeat the value that was wrong."""
_DRIVER = "sqlalchemy.dialects."
"""Where SQLAlchemy wraps errors of drivers, details and all."""

_UNSEEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def _line(event: Any, default: Callable[[Any], Any]) -> str:
    """An event as JSON that a terminal shows as it is: what would turn, hide or steer text is escaped."""
    try:
        line = msgspec.json.encode(event, enc_hook=default).decode()
    except UnicodeEncodeError:  # half of a surrogate pair
        line = json.dumps(event, default=str)
    return line if line.isprintable() else _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _stamp(_: object, __: str, event: Event) -> Event:
    """When it was logged, which becomes RFC 3339 in UTC."""
    event["timestamp"] = datetime.now(UTC)
    return event


class _StandardError:
    """Writes lines to what standard error is at the time: tests and daemons put another in its place."""

    def msg(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = msg


def configure_logs(level: str) -> None:
    """Send the gateway's events, and the libraries' warnings, to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _stamp,
            structlog.processors.ExceptionRenderer(told),
            structlog.processors.JSONRenderer(_line),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: _StandardError(),
    )
    logging.basicConfig(level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(Reticent(logging.BASIC_FORMAT))


class Reticent(logging.Formatter):
    """Writes what libraries say, and of exceptions what may be said."""

    def formatException(self, ei: object) -> str:
        return told(ei)  # type: ignore[arg-type]


def told(exc_info: Raised) -> str:
    """An exception with all that led to it: where, of which type, and in words without the values it was about.

    PostgreSQL tells whole rows in its details, SQLAlchemy parameters, Pydantic the input.
    """
    parts: list[str] = []
    seen: set[int] = set()
    error: BaseException | None = exc_info[1]
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        lines = ["Traceback (most recent call last):\n", *traceback.format_tb(error.__traceback__)]
        inner = "".join(f"\n  {words(each)}" for each in _members(error))
        parts.append("".join(lines) + words(error) + inner)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nfrom which came\n\n".join(reversed(parts))


def _members(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def words(error: BaseException) -> str:
    """What an exception is and says, but for values that it repeats."""
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, asyncpg.PostgresError):
        state = str(error.sqlstate or "")
        said = "" if state.startswith(_DATA_EXCEPTION) else f": {error.args[0] if error.args else ''}"
        return f"{name} ({state}){said}"
    if isinstance(error, StatementError):
        return f"{name} of {type(error.orig).__qualname__}"
    if type(error).__module__.startswith(_DRIVER):
        return name  # its cause says the rest
    if isinstance(error, ValidationError):
        places = ", ".join(".".join(map(str, fault["loc"])) + f" ({fault['type']})" for fault in error.errors()[:10])
        return f"{name} of {error.title}: {places}"
    return f"{name}: {error}"
