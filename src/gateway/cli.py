"""The ``gateway`` command.

Each command imports what it runs when it is run: all of it together takes seconds, and most commands need little.
"""

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from typer.core import TyperGroup
from typer.main import get_group

from gateway.command import err, fail, out, read_settings, run, safe_settings
from gateway.demo import PROVINCES
from gateway.errors import Hindrance

if TYPE_CHECKING:
    from gateway.evidence.audit import Audited

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _group(name: str, words: str, commands: Callable[[], typer.Typer]) -> None:
    """Have commands under a name, imported when one of them, or what there is, is asked for."""

    class Later(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return self._found.list_commands(ctx)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            return self._found.get_command(ctx, cmd_name)

        @cached_property
        def _found(self) -> TyperGroup:
            return get_group(commands())

    cli.add_typer(typer.Typer(cls=Later, no_args_is_help=True, help=words), name=name)


def _catalog() -> typer.Typer:
    from gateway.catalog_commands import catalog

    return catalog


def _log() -> typer.Typer:
    from gateway.log_commands import logs

    return logs


def _client() -> typer.Typer:
    from gateway.client_commands import clients

    return clients


def _keys() -> typer.Typer:
    from gateway.key_commands import keys

    return keys


_group("catalog", "Forms, code lists and agencies.", _catalog)
_group("log", "The tamper-evident log.", _log)
_group("client", "API accounts of systems.", _client)
_group("keys", "The gateway's own keys.", _keys)


@cli.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End when the story is told.")] = False,
    provinces: Annotated[int, typer.Option(help="How many provinces report.", min=1, max=PROVINCES)] = PROVINCES,
) -> None:
    """Show the whole journey with a reporting period of the whole country; fails if any figure or delivery is wrong."""
    import asyncio

    from gateway.demo.run import run_demo

    try:
        good = run(run_demo(read_settings(), once, provinces, out))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(130) from None
    if not good:
        raise typer.Exit(1)


@cli.command("serve")
def serve_command(
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Serve the API only.")] = False,
) -> None:
    """Serve the API, with a worker that forwards reports."""
    from gateway.serve import serve

    run(serve(safe_settings(serves=True, forwards=not no_worker), not no_worker))


@cli.command()
def worker() -> None:
    """Forward reports to upstreams; any number of workers share one database."""
    from gateway.worker import main

    run(main(safe_settings(serves=False, forwards=True)))


@cli.command()
def migrate(
    check: Annotated[bool, typer.Option("--check", help="Fail where migrations and models differ.")] = False,
) -> None:
    """Bring the database to this version's schema."""
    from gateway.db.engine import database
    from gateway.db.migrate import differences, upgrade

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


@cli.command("erase")
def erase_command(
    report: Annotated[UUID, typer.Argument(help="The report's id.")],
    reason: Annotated[str, typer.Option(help="Why; whoever asks for the bytes is told.")],
    by: Annotated[str, typer.Option(help="Who ordered it; kept, and told to nobody.")],
) -> None:
    """Erase the bytes of a report, and every text in it, for good. Its figures, receipt and proofs stay."""
    from gateway.flow.erase import erase
    from gateway.flow.load import Catalogues
    from gateway.ready import fit_database

    settings = read_settings()

    async def work() -> None:
        async with fit_database(settings) as engine:
            await erase(engine, Catalogues(engine), report, by, reason)

    run(work())
    out.print(f"[green]✓[/] report {report}: bytes and texts are erased; backups have them until they run out")


@cli.command()
def sandbox(
    port: int = 8900,
    host: str = "127.0.0.1",
    secret: Annotated[str | None, typer.Option(help="whsec_… that deliveries must be signed with.")] = None,
    record: Annotated[Path | None, typer.Option(help="Also append every arrival to this file.")] = None,
) -> None:
    """Run a stand-in national system that takes, checks and lists deliveries."""
    from gateway.sandbox.server import run_sandbox

    run_sandbox(host, port, secret=secret, record=record)


DOCUMENT = Path(__file__).parents[2] / "openapi" / "gateway.json"


@cli.command()
def openapi(
    check: Annotated[bool, typer.Option("--check", help="Fail where the document is out of date.")] = False,
    path: Path = DOCUMENT,
) -> None:
    """Write the OpenAPI document."""
    from gateway.app import build_app

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
    from gateway.submit import submit_files

    if (key is None) != (certificate is None):
        raise fail("--key and --certificate go together")
    sign = None if key is None or certificate is None else _signing(key, certificate)
    if not run(submit_files(files, url, out, sign, param or ())):
        raise typer.Exit(1)


def _signing(key: Path, certificate: Path) -> Callable[[bytes, str], str]:
    """Signs bodies, with the parameters that go with them, as of now, by files that are tried at once."""
    from gateway.evidence.sign import CannotSign, sign_report

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
    from gateway.submit import validate_files

    try:
        good = validate_files(files, form, out, param or ())
    except Hindrance as error:
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
    from gateway.submit import parameters_of

    if key is None or certificate is None:
        raise fail("--key and --certificate are needed")
    try:
        sys.stdout.write(_signing(key, certificate)(file.read_bytes(), parameters_of(param or ())) + "\n")
    except (Hindrance, OSError) as error:
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
    from gateway.domain.exact import encode
    from gateway.verify import read_public_keys, verify_log, verify_one, verify_proof

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
    except Hindrance as error:
        raise fail(str(error)) from None
    if audited is not None:
        _tell_log(audited)


def _tell_log(audited: "Audited") -> None:
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
