"""The ``gateway`` command."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.app import build_app
from gateway.client_commands import clients
from gateway.command import fail, out, read_settings, run, safe_settings
from gateway.db.engine import database
from gateway.db.migrate import differences, upgrade
from gateway.demo.errors import DemoError
from gateway.demo.run import PROVINCES, run_demo
from gateway.domain.exact import decode, encode
from gateway.evidence.sign import CannotSign, sign_report
from gateway.flow.amend import Document, change
from gateway.flow.load import Catalogues
from gateway.key_commands import keys
from gateway.log_commands import erase_command, logs, tell_log
from gateway.sandbox.server import run_sandbox
from gateway.serve import load_bundled, serve
from gateway.submit import SubmitError, parameters_of, submit_files, validate_files
from gateway.verify import read_public_keys, verify_log, verify_one, verify_proof
from gateway.worker import main as run_worker

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
catalog = typer.Typer(no_args_is_help=True, help="Forms, code lists and agencies.")
cli.add_typer(catalog, name="catalog")
cli.add_typer(logs, name="log")
cli.add_typer(clients, name="client")
cli.add_typer(keys, name="keys")
cli.command("erase")(erase_command)


@cli.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End when the story is told.")] = False,
    provinces: Annotated[int, typer.Option(help="How many provinces report.", min=1, max=PROVINCES)] = PROVINCES,
) -> None:
    """Show the whole journey with a reporting period of the whole country; fails if any figure or delivery is wrong."""
    try:
        good = run(run_demo(read_settings(), once, provinces, out))
    except DemoError as error:
        raise fail(str(error)) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(130) from None
    if not good:
        raise typer.Exit(1)


@cli.command("serve")
def serve_command(
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Serve the API only.")] = False,
) -> None:
    """Serve the API, with a worker that forwards reports."""
    run(serve(safe_settings(serves=True, forwards=not no_worker), not no_worker))


@cli.command()
def worker() -> None:
    """Forward reports to upstreams; any number of workers share one database."""
    run(run_worker(safe_settings(serves=False, forwards=True)))


@cli.command()
def migrate(
    check: Annotated[bool, typer.Option("--check", help="Fail where migrations and models differ.")] = False,
) -> None:
    """Bring the database to this version's schema."""
    settings = read_settings()

    async def work() -> list[str]:
        with database(settings) as engine:
            await upgrade(engine)
            found = await differences(engine) if check else []
            await engine.dispose()
            return found

    found = run(work())
    if found:
        raise fail("migrations and models differ:\n" + "\n".join(found))
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
        raise fail(f"{path.name} is out of date: run '.venv/bin/gateway openapi' and commit the change")


SigningKey = Annotated[
    Path | None, typer.Option(help="The agency's private key (PEM); its password from GATEWAY_SIGNING_PASSWORD.")
]
SigningCertificate = Annotated[
    Path | None, typer.Option(help="Its certificate (PEM), and those above it if there are any.")
]
_Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        help="NAME=VALUE, for files that are not JSON: what they do not say themselves (form, agency, period …).",
    ),
]


@cli.command("submit")
def submit_command(
    files: list[Path],
    url: Annotated[str, typer.Option(help="The gateway's address.")] = "http://127.0.0.1:8000",
    key: SigningKey = None,
    certificate: SigningCertificate = None,
    param: _Parameters = None,
) -> None:
    """Push report files (.json, .csv, .xlsx, .xml), signed if there is a key.

    Credentials from GATEWAY_CLIENT_ID and GATEWAY_CLIENT_SECRET.
    """
    if (key is None) != (certificate is None):
        raise fail("--key and --certificate go together")
    sign = None if key is None or certificate is None else _signing(key, certificate)
    if not run(submit_files(files, url, out, sign, param or ())):
        raise typer.Exit(1)


def _signing(key: Path, certificate: Path) -> Callable[[bytes, str], str]:
    """Signs bodies, with the parameters that go with them, as of now, by files that are tried at once."""
    password = os.environ.get("GATEWAY_SIGNING_PASSWORD")

    def sign(body: bytes, query: str) -> str:
        secret = None if password is None else password.encode()
        return sign_report(body, key.read_bytes(), certificate.read_bytes(), datetime.now(UTC), secret, query)

    try:
        sign(b"", "")
    except (CannotSign, OSError) as error:
        raise fail(str(error)) from None
    return sign


@cli.command("validate")
def validate_command(
    files: list[Path],
    form: Annotated[Path | None, typer.Option(help="A form document; the bundled forms if absent.")] = None,
    param: _Parameters = None,
) -> None:
    """Check report files on this computer, without a gateway or a network."""
    try:
        good = validate_files(files, form, out, param or ())
    except SubmitError as error:
        raise fail(str(error)) from None
    if not good:
        raise typer.Exit(1)


@cli.command("sign")
def sign_command(
    file: Annotated[Path, typer.Argument(help="The report, exactly as it will be pushed.")],
    key: SigningKey,
    certificate: SigningCertificate,
    param: _Parameters = None,
) -> None:
    """Sign a report as its agency, and print what goes into the header Report-Signature."""
    if key is None or certificate is None:
        raise fail("--key and --certificate are needed")
    try:
        sys.stdout.write(_signing(key, certificate)(file.read_bytes(), parameters_of(param or ())) + "\n")
    except (SubmitError, OSError) as error:
        raise fail(str(error)) from None


@cli.command("verify")
def verify_command(
    keys: Annotated[list[Path], typer.Option(help="The gateway's jwks.json; repeat for those of before.")],
    receipt: Annotated[str | None, typer.Argument(help="A receipt, or a file that holds one.")] = None,
    payload: Annotated[Path | None, typer.Option(help="The bytes the receipt should be for.")] = None,
    proof: Annotated[Path | None, typer.Option(help="The proof that the report is in the log.")] = None,
    log: Annotated[str | None, typer.Option(help="A log's export, or - for standard input.")] = None,
    held: Annotated[
        list[Path] | None, typer.Option(help="Receipts, proofs or checkpoints that you kept; a file or a folder.")
    ] = None,
) -> None:
    """Check a receipt, its proof, or a whole log offline, with the gateway's public keys alone."""
    if receipt is None and proof is None and log is None:
        raise fail("give a receipt, --proof or --log")
    try:
        public, genuine = read_public_keys(keys), None
        if receipt is not None:
            genuine = verify_one(receipt, public, payload)
            out.print("[green]✓[/] the receipt is genuine")
        if proof is not None:
            index, signed = verify_proof(proof, genuine, public)
            out.print(f"[green]✓[/] it is entry {index} of {signed.origin}, signed over {signed.size} entries")
        if genuine is not None:
            sys.stdout.write(encode(genuine.claims).decode() + "\n")
        audited = None if log is None else verify_log(log, held or [], public)
    except SubmitError as error:
        raise fail(str(error)) from None
    if audited is not None:
        tell_log(audited)
