"""What all commands share: settings, running to the end, failing in a sentence, and tables.

What only some commands need is imported when it is needed: the whole of it takes longer than most of them.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from gateway.errors import GatewayError, Hindrance

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.settings import Settings

out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
T = TypeVar("T")


def fail(message: str) -> typer.Exit:
    err.print(f"[bold red]✗[/] {message}", highlight=False, soft_wrap=True)
    return typer.Exit(1)


def show(table: "Table") -> None:
    """Print a table with whole values: where the terminal is narrower its lines are wrapped, and nothing is cut."""
    width = out.measure(table, options=out.options.update(width=10_000)).maximum
    Console(width=width).print(table)


def read_settings() -> "Settings":
    from pydantic import ValidationError

    from gateway.logs import configure_logs
    from gateway.settings import Settings

    try:
        settings = Settings()
    except ValidationError as error:
        names = "; ".join(f"GATEWAY_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        raise fail(f"wrong settings: {names}") from None
    configure_logs(settings.log_level)
    return settings


def safe_settings(*, serves: bool, forwards: bool) -> "Settings":
    """Settings to run the API or a worker by; in production, all that is unsafe about them ends the command with 2."""
    from gateway.safety import UnsafeConfiguration, require_safe

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
    from uvicorn.loops.auto import auto_loop_factory

    try:
        with asyncio.Runner(loop_factory=auto_loop_factory(use_subprocess=False)) as runner:
            return runner.run(work)
    except Hindrance as hindrance:
        raise fail(str(hindrance)) from None
    except GatewayError as error:
        for place in error.errors:
            err.print(f"  {place.pointer}: {place.message.en}", highlight=False, soft_wrap=True, markup=False)
        raise fail(str(error)) from None
    except OSError as error:
        raise fail(f"cannot reach the database: {error}") from None
