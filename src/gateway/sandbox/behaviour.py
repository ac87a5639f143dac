"""What a sandbox that was told to does instead of taking a report."""

import asyncio
import contextlib
from enum import StrEnum
from typing import Annotated

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field


class Mode(StrEnum):
    """What can be done with a report."""

    accept = "accept"
    refuse = "refuse"
    stall = "stall"
    throttle = "throttle"
    drop = "drop"


class Behaviour(BaseModel):
    """What is done with the next `count` reports before accepting again; without `count`, with all of them.

    `refuse` answers 422 and `throttle` 429, or the `status` given, with the `Retry-After` given; neither
    keeps the report. `drop` closes the connection without an answer and without keeping it; `stall` keeps it,
    so that a repeat shows, and answers only after `seconds`.
    """

    model_config = ConfigDict(extra="forbid")

    mode: Mode = Mode.accept
    seconds: float = Field(30, ge=0, le=3600)
    count: int | None = Field(None, ge=1)
    status: int | None = Field(None, ge=300, le=599)
    retry_after: int | Annotated[str, Field(pattern="^[!-~]([ -~]{0,98}[!-~])?$")] | None = None


def problem(status: int, detail: str, retry_after: int | str | None = None) -> JSONResponse:
    return JSONResponse(
        {"type": "about:blank", "title": "Not taken by the sandbox", "status": status, "detail": detail},
        status,
        {} if retry_after is None else {"Retry-After": str(retry_after)},
        media_type="application/problem+json",
    )


def misbehaves(request: Request, behaviour: Behaviour) -> Response | None:
    """The answer of a sandbox that was told not to take what arrives; None where it takes it."""
    match behaviour.mode:
        case Mode.refuse:
            return problem(behaviour.status or 422, "told to refuse", behaviour.retry_after)
        case Mode.throttle:
            wait = 1 if behaviour.retry_after is None else behaviour.retry_after
            return problem(behaviour.status or 429, "told to throttle", wait)
        case Mode.drop:
            return _drop(request)
        case Mode.accept | Mode.stall:
            return None


def _drop(request: Request) -> Response:
    """Close the connection; the answer returned then has nowhere to go."""
    hang_up = getattr(request.state, "hang_up", None)
    if hang_up is None:
        return problem(501, "only the server of `gateway sandbox` can drop connections")
    hang_up()
    return Response(status_code=204)


async def stall(request: Request, seconds: float) -> None:
    """Wait, but no longer than the sender does: with the body read, the next message is its going away."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await request.receive()
