"""The sandbox on a server that can also drop connections."""

import asyncio
import base64
from pathlib import Path
from typing import cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.sandbox import above, reports
from gateway.sandbox.arrivals import Sandbox

SUMMARY = "A stand-in for the national system, to try the gateway out and to test it with."
LARGEST_BODY = 64 * 1024 * 1024


def sandbox_app(secret: str | None = None, record: Path | None = None) -> FastAPI:
    """A sandbox. `secret` (`whsec_…`) is what reports are signed with; `record` gets a line an arrival."""
    app = FastAPI(title="Sandbox", summary=SUMMARY, docs_url=None, redoc_url=None, max_body_size=LARGEST_BODY)
    key = None if secret is None else base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    app.state.sandbox = Sandbox(key, record)
    app.include_router(reports.router)
    app.include_router(above.router)
    return app


class _Protocol(H11Protocol):
    """HTTP, with a way for the application to close the connection without an answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.app_state = {**self.app_state, "hang_up": self.transport.abort}


def sandbox_server(
    host: str = "127.0.0.1", port: int = 8900, *, secret: str | None = None, record: Path | None = None
) -> uvicorn.Server:
    """The sandbox on a server that can also drop connections."""
    config = uvicorn.Config(
        sandbox_app(secret, record),
        host,
        port,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def run_sandbox(
    host: str = "127.0.0.1", port: int = 8900, *, secret: str | None = None, record: Path | None = None
) -> None:
    """Serve the sandbox until told to stop."""
    sandbox_server(host, port, secret=secret, record=record).run()
