"""The ``gateway`` command."""

import asyncio
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from uvicorn.loops.auto import auto_loop_factory

from gateway.access.accounts import create_client, trust
from gateway.access.scopes import Scope
from gateway.app import build_app
from gateway.db.engine import database
from gateway.db.migrate import differences, upgrade
from gateway.db.programs import EmbeddedServerError
from gateway.db.schema import UnfitSchema
from gateway.demo.errors import DemoError
from gateway.demo.run import PROVINCES, run_demo
from gateway.domain.exact import decode, encode
from gateway.errors import GatewayError, NotFound, Text
from gateway.flow.amend import Document, change
from gateway.flow.load import Catalogues
from gateway.keys import MissingKeys
from gateway.logs import configure_logs
from gateway.sandbox.server import run_sandbox
from gateway.serve import load_bundled, prepare, serve
from gateway.settings import Settings
from gateway.submit import SubmitError, read_keys, submit_files, validate_files, verify
from gateway.worker import main as run_worker

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
catalog = typer.Typer(no_args_is_help=True, help="Forms, code lists and agencies.")
client = typer.Typer(no_args_is_help=True, help="API accounts of systems.")
cli.add_typer(catalog, name="catalog")
cli.add_typer(client, name="client")

out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
T = TypeVar("T")

Agency = Annotated[str | None, typer.Option(help="Root of the client's subtree; the whole country if absent.")]
Scopes = Annotated[list[Scope], typer.Option("--scope", help="Repeat for each scope.")]


def _fail(message: str) -> typer.Exit:
    err.print(f"[bold red]✗[/] {message}", highlight=False, soft_wrap=True)
    return typer.Exit(1)


def _settings() -> Settings:
    try:
        settings = Settings()
    except ValidationError as error:
        names = "; ".join(f"GATEWAY_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        raise _fail(f"wrong settings: {names}") from None
    configure_logs(settings.log_level)
    return settings


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        with asyncio.Runner(loop_factory=auto_loop_factory(use_subprocess=False)) as runner:
            return runner.run(work)
    except (EmbeddedServerError, MissingKeys, SubmitError, UnfitSchema) as error:
        raise _fail(str(error)) from None
    except GatewayError as error:
        for place in error.errors:
            err.print(f"  {place.pointer}: {place.message.en}", highlight=False, soft_wrap=True, markup=False)
        raise _fail(str(error)) from None
    except OSError as error:
        raise _fail(f"cannot reach the database: {error}") from None


@cli.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End when the story is told.")] = False,
    provinces: Annotated[int, typer.Option(help="How many provinces report.", min=1, max=PROVINCES)] = PROVINCES,
) -> None:
    """Show the whole journey with a reporting period of the whole country; fails if any figure or delivery is wrong."""
    try:
        good = _run(run_demo(_settings(), once, provinces, out))
    except DemoError as error:
        raise _fail(str(error)) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(130) from None
    if not good:
        raise typer.Exit(1)


@cli.command("serve")
def serve_command(
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Serve the API only.")] = False,
) -> None:
    """Serve the API, with a worker that forwards reports."""
    _run(serve(_settings(), not no_worker))


@cli.command()
def worker() -> None:
    """Forward reports to upstreams; any number of workers share one database."""
    _run(run_worker(_settings()))


@cli.command()
def migrate(
    check: Annotated[bool, typer.Option("--check", help="Fail where migrations and models differ.")] = False,
) -> None:
    """Bring the database to this version's schema."""
    settings = _settings()

    async def work() -> list[str]:
        with database(settings) as engine:
            await upgrade(engine)
            found = await differences(engine) if check else []
            await engine.dispose()
            return found

    found = _run(work())
    if found:
        raise _fail("migrations and models differ:\n" + "\n".join(found))
    out.print("[green]✓[/] the database has this version's schema")


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
            raise _fail(f"{file}: {error}") from None
    return found


@catalog.command("load")
def catalog_load(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="JSON files or folders; the bundled ones if absent.")
    ] = None,
) -> None:
    """Load forms, code lists and agencies: all of them, or, with every fault named, none."""
    settings = _settings()

    async def work() -> int:
        with database(settings) as engine:
            await upgrade(engine)
            try:
                if not paths:
                    return await load_bundled(engine)
                return await change(engine, Catalogues(engine), _documents(paths), None)
            finally:
                await engine.dispose()

    out.print(f"[green]✓[/] {_run(work())} documents new or changed")


@client.command("create")
def client_create(
    name: str,
    scope: Scopes,
    agency: Agency = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON.")] = False,
) -> None:
    """Make an API client and show its secret, this once."""
    settings = _settings()

    async def work() -> dict[str, str]:
        with database(settings) as engine:
            await prepare(engine, settings)
            try:
                catalogue = await Catalogues(engine).newest()
                root = catalogue.agencies.resolve(agency) if agency else None
                if agency and root is None:
                    raise NotFound(Text("Không có cơ quan này.", f"There is no agency {agency}."))
                async with engine.begin() as connection:
                    made, secret = await create_client(connection, name, scope, root)
                return {"client_id": made, "client_secret": secret}
            finally:
                await engine.dispose()

    made = _run(work())
    if as_json:
        sys.stdout.write(json.dumps(made) + "\n")
        return
    table = Table(show_header=False, title=f"Client {name}")
    for key, value in made.items():
        table.add_row(key, value)
    out.print(table)
    out.print("Keep the secret: it is not shown again.")


@client.command("trust")
def client_trust(
    client_id: UUID,
    issuer: Annotated[str, typer.Argument(help="The other gateway's GATEWAY_ISSUER, its public address.")],
    keys: Annotated[
        Path | None, typer.Option(help="Its jwks.json; read from ISSUER/.well-known/jwks.json if absent.")
    ] = None,
) -> None:
    """Let a client with scope reports:relay bring reports that another gateway took first, by that one's receipts.

    Do it again when that gateway has a new key: the old ones stay.
    """
    try:
        document = read_keys(issuer, keys)
    except SubmitError as error:
        raise _fail(str(error)) from None
    settings = _settings()

    async def work() -> int:
        with database(settings) as engine:
            await prepare(engine, settings)
            try:
                return await trust(engine, client_id, issuer, document)
            finally:
                await engine.dispose()

    count = _run(work())
    out.print(f"[green]✓[/] receipts of {issuer} are taken from the client, by {count} key{'s'[: count != 1]}")


@cli.command()
def sandbox(
    port: int = 8900,
    host: str = "127.0.0.1",
    secret: Annotated[str | None, typer.Option(help="whsec_… that deliveries must be signed with.")] = None,
    record: Annotated[Path | None, typer.Option(help="Also append every arrival to this file.")] = None,
) -> None:
    """Run a stand-in national system that takes, checks and lists deliveries."""
    run_sandbox(host, port, secret=secret, record=record)


DOCUMENT = Path(__file__).parents[2] / "openapi" / "gateway.json"


@cli.command()
def openapi(
    check: Annotated[bool, typer.Option("--check", help="Fail where the document is out of date.")] = False,
    path: Path = DOCUMENT,
) -> None:
    """Write the OpenAPI document."""
    document = json.dumps(build_app().openapi(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if not check:
        path.write_text(document, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != document:
        raise _fail(f"{path.name} is out of date: run '.venv/bin/gateway openapi' and commit the change")


@cli.command("submit")
def submit_command(
    files: list[Path],
    url: Annotated[str, typer.Option(help="The gateway's address.")] = "http://127.0.0.1:8000",
) -> None:
    """Push report files; credentials from GATEWAY_CLIENT_ID and GATEWAY_CLIENT_SECRET."""
    if not _run(submit_files(files, url, out)):
        raise typer.Exit(1)


@cli.command("validate")
def validate_command(
    files: list[Path],
    form: Annotated[Path | None, typer.Option(help="A form document; the bundled forms if absent.")] = None,
) -> None:
    """Check report files on this computer, without a gateway or a network."""
    try:
        good = validate_files(files, form, out)
    except SubmitError as error:
        raise _fail(str(error)) from None
    if not good:
        raise typer.Exit(1)


@cli.command("verify")
def verify_command(
    receipt: Annotated[str, typer.Argument(help="A receipt, or a file that holds one.")],
    keys: Annotated[Path, typer.Option(help="The gateway's jwks.json.")],
    payload: Annotated[Path | None, typer.Option(help="The bytes the receipt should be for.")] = None,
) -> None:
    """Check a receipt offline, with the gateway's public keys alone."""
    try:
        claims = verify(receipt, keys, payload)
    except SubmitError as error:
        raise _fail(str(error)) from None
    out.print("[green]✓[/] the receipt is genuine")
    sys.stdout.write(encode(claims).decode() + "\n")
