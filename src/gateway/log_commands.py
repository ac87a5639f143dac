"""``gateway log``: handing the log out, and holding the tables against it, by whoever runs the gateway."""

import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from gateway.command import err, fail, out, read_settings, run
from gateway.db.deadline import watch_of
from gateway.db.engine import database, driver
from gateway.db.schema import require_fit
from gateway.domain.exact import encode
from gateway.evidence.audit import Audited
from gateway.evidence.export import export
from gateway.evidence.reading import NotAnExport
from gateway.flow.confront.walk import Confrontation
from gateway.flow.erase import erase
from gateway.flow.load import Catalogues
from gateway.submit import SubmitError
from gateway.verify import read_held, read_public_keys

logs = typer.Typer(no_args_is_help=True, help="The tamper-evident log.")
_MOST_SHOWN = 1000
"""Contradictions that are named; more of them are counted."""


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
        with database(settings) as engine:
            try:
                await require_fit(engine)
                return await _confront(Confrontation(engine, Catalogues(engine), public, kept))
            finally:
                await engine.dispose()

    if run(work()):
        raise typer.Exit(1)


def erase_command(
    report: Annotated[UUID, typer.Argument(help="The report's id.")],
    reason: Annotated[str, typer.Option(help="Why; whoever asks for the bytes is told.")],
    by: Annotated[str, typer.Option(help="Who ordered it; kept, and told to nobody.")],
) -> None:
    """Erase the bytes of a report, and every text in it, for good. Its figures, receipt and proofs stay."""
    settings = read_settings()

    async def work() -> None:
        with database(settings) as engine:
            try:
                await require_fit(engine)
                await erase(engine, Catalogues(engine), report, by, reason)
            finally:
                await engine.dispose()

    run(work())
    out.print(f"[green]✓[/] report {report}: bytes and texts are erased; backups have them until they run out")


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
        raise SubmitError(f"the log cannot be read: {error}") from error
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


def tell_log(audited: Audited) -> None:
    """Say what came of verifying a log; raises ``typer.Exit`` for a log that was changed."""
    agree = f"{audited.held} held things agree" if audited.held else "nothing that is held was given"
    if not audited.faults and not audited.has_checkpoint:
        raise fail(f"there is nothing in it, neither entries nor a checkpoint, so nothing was verified; {agree}")
    if not audited.faults and not audited.size:
        out.print(f"[green]✓[/] the log is empty, as its checkpoint says: there is no entry to verify; {agree}")
        return
    if not audited.faults:
        words = f"{audited.size} entries, {audited.signed} of them signed; {audited.held} held things agree"
        out.print(f"[green]✓[/] nothing was changed: {words}")
        return
    first, *others = audited.faults
    for each in others:
        err.print(f"  also {each}", highlight=False, soft_wrap=True, markup=False)
    raise fail(f"the log was changed, first at {first}")
