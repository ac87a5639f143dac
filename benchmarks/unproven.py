"""The gateway with neither a token checked nor a receipt signed: what pushes with both are compared with.

Served as ever, and the same in all else. Run as a process of its own, with the settings of a gateway.
"""

import asyncio
from datetime import datetime
from typing import get_args
from uuid import UUID

import uvloop
from fastapi import FastAPI

from gateway import serve
from gateway.access.scopes import Scope
from gateway.access.tokens import Caller
from gateway.api.deps import Gateway, Relayer
from gateway.app import build_app
from gateway.db.subtree import EVERYTHING, see
from gateway.logs import configure_logs
from gateway.settings import Settings

_ANYBODY = Caller(UUID(int=1), frozenset(Scope), None)


def _unsigned(claims: object, at: datetime) -> str:
    return "." * 500  # about as long as a receipt


def unproven(gateway: Gateway | None = None) -> FastAPI:
    """The API over a gateway that believes whoever comes and signs nothing."""
    if gateway is not None:
        gateway.intake.sign = _unsigned
    app = build_app(gateway)
    app.dependency_overrides[get_args(Relayer)[1].dependency] = _believed
    return app


async def _believed() -> Caller:
    see(EVERYTHING)
    return _ANYBODY


if __name__ == "__main__":
    configure_logs("warning")
    serve.build_app = unproven  # type: ignore[attr-defined]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve.serve(Settings(), with_worker=False))
