"""``gateway log``: handing the log out, and holding the tables against it, by whoever runs the gateway."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.command import err, out, read_settings, run
from gateway.db.deadline import watch_of
from gateway.db.engine import driver
from gateway.domain.exact import encode
from gateway.evidence.export import export
from gateway.evidence.reading import NotAnExport
from gateway.flow.confront.walk import Confrontation
from gateway.flow.load import Catalogues
from gateway.ready import fit_database
from gateway.verify import CannotVerify, read_held, read_public_keys

logs = typer.Typer()
_MOST_SHOWN = 1000
"""Contradictions that are named; more of them are counted."""


@logs.command("export")
def log_export(
    start: Annotated[int, typer.Option("--from", help="The first entry.", min=0)] = 0,
) -> None:
    """Write the log as it is in the database, for `gateway verify --log`: a JSON line for each entry and checkpoint."""
    settings = read_settings()

    async def work() -> None:
        async with fit_database(settings) as engine, driver(engine) as connection:
            watch_of(connection).rest()  # a long log takes as long as it takes
            async for line in export(connection, start):
                sys.stdout.buffer.write(encode(line) + b"\n")
        sys.stdout.buffer.flush()

    run(work())


@logs.command("confront")
def log_confront(
    keys: Annotated[list[Path], typer.Option(help="The gateway's jwks.json; repeat for those of before.")],
    held: Annotated[
        list[Path] | None, typer.Option(help="Receipts, proofs or checkpoints that you kept; a file or a folder.")
    ] = None,
) -> None:
    """Hold the tables against the log: every report, its bytes and rows, and what else the log tells of.

    Verifies the log first. Ends with 1 if anything contradicts. It only reads, in one snapshot, beside live traffic.
    """
    settings = read_settings()

    async def work() -> int:
        public = read_public_keys(keys)
        kept = read_held(held or [], public)
        async with fit_database(settings) as engine:
            return await _confront(Confrontation(engine, Catalogues(engine), public, kept))

    if run(work()):
        raise typer.Exit(1)


async def _confront(confrontation: Confrontation) -> int:
    """Tell what contradicts as it is found; how much that was."""
    found = 0
    try:
        async for each in confrontation.run():
            found += 1
            if found <= _MOST_SHOWN:
                err.print("[bold red]✗[/] ", end="", highlight=False)
                err.print(str(each), highlight=False, soft_wrap=True, markup=False)
    except NotAnExport as error:
        raise CannotVerify(f"the log cannot be read: {error}") from error
    counted, audited = confrontation.counted, confrontation.audited
    looked = (
        f"{counted.reports} reports ({counted.older} of them older than the log), {counted.deliveries} deliveries, "
        f"{counted.documents} documents of the catalogue, {counted.clients} clients; "
        f"{counted.entries} entries, {counted.waiting} more wait to be sealed"
    )
    for fault in audited.faults if audited is not None else ():
        found += 1
        err.print("[bold red]✗[/] the log itself was changed: ", end="", highlight=False)
        err.print(str(fault), highlight=False, soft_wrap=True, markup=False)
    if found:
        more = f" (the first {_MOST_SHOWN} are named)" if found > _MOST_SHOWN else ""
        err.print(f"{found} contradictions{more} in {looked}", highlight=False, soft_wrap=True)
    else:
        out.print(f"[green]✓[/] the tables say what the log says: {looked}", highlight=False)
    return found
