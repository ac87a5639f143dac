"""What all commands share: settings, running to the end, and failing in a sentence."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from uvicorn.loops.auto import auto_loop_factory

from gateway.db.programs import EmbeddedServerError
from gateway.db.roles import UnfitRole
from gateway.db.schema import UnfitSchema
from gateway.errors import GatewayError
from gateway.evidence.anchors import UnreadableAnchors
from gateway.keys import MissingKeys
from gateway.logs import configure_logs
from gateway.safety import UnsafeConfiguration, require_safe
from gateway.settings import Settings
from gateway.submit import SubmitError

out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
T = TypeVar("T")


def fail(message: str) -> typer.Exit:
    err.print(f"[bold red]✗[/] {message}", highlight=False, soft_wrap=True)
    return typer.Exit(1)


def read_settings() -> Settings:
    try:
        settings = Settings()
    except ValidationError as error:
        names = "; ".join(f"GATEWAY_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        raise fail(f"wrong settings: {names}") from None
    configure_logs(settings.log_level)
    return settings


def safe_settings(*, serves: bool, forwards: bool) -> Settings:
    """Settings to run the API or a worker by; in production, all that is unsafe about them ends the command with 2."""
    settings = read_settings()
    try:
        require_safe(settings, serves=serves, forwards=forwards)
    except UnsafeConfiguration as unsafe:
        for reason in unsafe.reasons:
            err.print(f"[bold red]✗[/] {escape(reason)}", highlight=False, soft_wrap=True)
        err.print("This is not safe to run in production: nothing was started.", highlight=False)
        raise typer.Exit(2) from None
    return settings


def run(work: Coroutine[Any, Any, T]) -> T:
    try:
        with asyncio.Runner(loop_factory=auto_loop_factory(use_subprocess=False)) as runner:
            return runner.run(work)
    except (EmbeddedServerError, MissingKeys, SubmitError, UnfitRole, UnfitSchema, UnreadableAnchors) as error:
        raise fail(str(error)) from None
    except GatewayError as error:
        for place in error.errors:
            err.print(f"  {place.pointer}: {place.message.en}", highlight=False, soft_wrap=True, markup=False)
        raise fail(str(error)) from None
    except OSError as error:
        raise fail(f"cannot reach the database: {error}") from None
