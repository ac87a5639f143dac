"""Logs: one JSON line an event, with the request's id and never a secret or a report's body."""

import json
import logging
import re
import sys
from typing import Any

import structlog

_UNSEEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def _line(event: Any, **options: Any) -> str:
    """An event as JSON that a terminal shows as it is: what would turn, hide or steer text is escaped."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(event, **options))


def configure_logs(level: str) -> None:
    """Send the gateway's events, and the libraries' warnings, to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(_line, ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # looked up at every event: what standard error was when this was called may be closed by then
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING)
