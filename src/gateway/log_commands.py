"""``gateway log``: the tamper-evident log, by whoever runs the gateway."""

import sys
from typing import Annotated

import typer

from gateway.command import read_settings, run
from gateway.db.deadline import watch_of
from gateway.db.engine import database, driver
from gateway.db.schema import require_fit
from gateway.domain.exact import encode
from gateway.evidence.export import export

logs = typer.Typer()


@logs.command("export")
def log_export(
    start: Annotated[int, typer.Option("--from", help="The first entry.", min=0)] = 0,
) -> None:
    """Write the log as it is in the database, for `gateway verify --log`: a JSON line for each entry and checkpoint."""
    settings = read_settings()

    async def work() -> None:
        with database(settings) as engine:
            try:
                await require_fit(engine)
                async with driver(engine) as connection:
                    watch_of(connection).rest()  # a long log takes as long as it takes
                    async for line in export(connection, start):
                        sys.stdout.buffer.write(encode(line) + b"\n")
            finally:
                await engine.dispose()
        sys.stdout.buffer.flush()

    run(work())
