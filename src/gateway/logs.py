"""Logs: one JSON line an event, with the request's id and never a secret or a report's body."""

import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    """Send the gateway's events, and the libraries' warnings, to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # looked up at every event: what standard error was when this was called may be closed by then
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING)
