"""``gateway catalog``: the catalogue, by whoever runs the gateway."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.command import fail, out, read_settings, run
from gateway.db.engine import database
from gateway.db.migrate import upgrade
from gateway.domain.exact import decode
from gateway.flow.amend import Document, change
from gateway.flow.load import Catalogues
from gateway.ready import load_bundled

catalog = typer.Typer()


def _kind(document: object) -> str:
    if isinstance(document, dict):
        for key, kind in (("indicators", "form"), ("codes", "codelist"), ("level", "agency")):
            if key in document:
                return kind
    raise ValueError("not a form, a code list or an agency")


def _documents(paths: list[Path]) -> list[Document]:
    files = [file for path in paths for file in (sorted(path.rglob("*.json")) if path.is_dir() else [path])]
    found: list[Document] = []
    for file in files:
        try:
            content = decode(file.read_bytes())
            parts = content if isinstance(content, list) else [content]
            found += [
                (f"{file}/{number}" if isinstance(content, list) else str(file), _kind(part), part)
                for number, part in enumerate(parts)
            ]
        except (OSError, ValueError) as error:
            raise fail(f"{file}: {error}") from None
    return found


@catalog.command("load")
def catalog_load(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="JSON files or folders; the bundled ones if absent.")
    ] = None,
) -> None:
    """Load forms, code lists and agencies: all of them, or, with every fault named, none."""
    settings = read_settings()

    async def work() -> int:
        with database(settings) as engine:
            await upgrade(engine)
            try:
                if not paths:
                    return await load_bundled(engine)
                return await change(engine, Catalogues(engine), _documents(paths), None)
            finally:
                await engine.dispose()

    out.print(f"[green]✓[/] {run(work())} documents new or changed")
