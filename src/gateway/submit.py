"""What local systems run on their side: push files, check them offline, verify receipts."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode
from uuid import UUID

import httpx
from pydantic import ValidationError
from rich.console import Console

from gateway.catalog import bundled_documents
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.exact import decode
from gateway.domain.form import Form, FormFault
from gateway.domain.form_document import FormDocument
from gateway.domain.report import Finding
from gateway.errors import GatewayError, Hindrance
from gateway.evidence.receipts import key_set
from gateway.flow.judge import Knowledge, verdict_on
from gateway.flow.load import catalogue_of
from gateway.flow.prepare import Push, prepare
from gateway.flow.unpack import ADX, CSV, JSON, PARAMETERS, SDMX_CSV, SDMX_GENERIC, SDMX_SPECIFIC, XLSX, unpack
from gateway.formats.sdmx_csv_read import looks_like_it as looks_like_sdmx
from gateway.formats.sdmx_ml_read import root_of

_NOBODY = "00000000-0000-0000-0000-000000000000"


Sign: TypeAlias = Callable[[bytes, str], str]
"""Signs a body, with the parameters that go with it."""


class SubmitError(Hindrance):
    """Something a person running the command has to mend; the message says what."""


_SUFFIXES = {".csv": CSV, ".xlsx": XLSX, ".adx": ADX, ".xml": ADX}


def media_type_of(file: Path, body: bytes) -> str:
    """What a file is, by its name (JSON where that says nothing), and among CSV and XML by how it begins."""
    kind = _SUFFIXES.get(file.suffix.lower(), JSON)
    if kind == CSV and looks_like_sdmx(body):
        return SDMX_CSV
    if file.suffix.lower() == ".xml":
        return {"GenericData": SDMX_GENERIC, "StructureSpecificData": SDMX_SPECIFIC}.get(root_of(body) or "", ADX)
    return kind


def parameters_of(given: Sequence[str]) -> str:
    """Parameters given as ``NAME=VALUE``, as a query. Raises ``SubmitError``."""
    pairs = [each.partition("=") for each in given]
    wrong = [name for name, _, _ in pairs if name not in PARAMETERS]
    if wrong:
        raise SubmitError(f"no such parameter: {', '.join(wrong)}; there are {', '.join(PARAMETERS)}")
    return urlencode(sorted((name, value) for name, _, value in pairs))


async def submit_files(
    files: Sequence[Path], url: str, console: Console, sign: Sign | None = None, parameters: Sequence[str] = ()
) -> bool:
    """Push files and print what became of each; True when all were taken. Safe to repeat.

    ``parameters`` say of files that are not JSON what those do not. Raises ``SubmitError`` for such as are not known,
    without credentials, or when the gateway cannot be reached.
    """
    query = parameters_of(parameters)
    client_id, secret = os.environ.get("GATEWAY_CLIENT_ID"), os.environ.get("GATEWAY_CLIENT_SECRET")
    if not client_id or not secret:
        raise SubmitError("set GATEWAY_CLIENT_ID and GATEWAY_CLIENT_SECRET ('gateway client create' makes them)")
    try:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            granted = await http.post(
                "/oauth/token", data={"grant_type": "client_credentials"}, auth=(client_id, secret)
            )
            if granted.status_code != 200:
                raise SubmitError(f"no token: {granted.json().get('error_description', granted.status_code)}")
            http.headers["Authorization"] = f"Bearer {granted.json()['access_token']}"
            return all([await _submit(http, file, console, query, sign) for file in files])
    except httpx.TransportError as error:
        raise SubmitError(f"cannot reach {url}: {error}") from error


async def _submit(http: httpx.AsyncClient, file: Path, console: Console, query: str, sign: Sign | None) -> bool:
    body = _read(file)
    kind = media_type_of(file, body)
    said = "" if kind == JSON else query
    headers = {"Content-Type": kind}
    if sign is None:
        headers["Idempotency-Key"] = hashlib.sha256(body + said.encode()).hexdigest()
    else:  # without a key: what was refused for its signature is judged anew, what was taken is known by its bytes
        headers["Report-Signature"] = sign(body, said)
    answer = await http.post(f"/v1/reports?{said}" if said else "/v1/reports", content=body, headers=headers)
    if "json" not in answer.headers.get("content-type", ""):
        raise SubmitError(f"{file}: {http.base_url} answered {answer.status_code}, but not as a gateway does")
    content: dict[str, Any] = answer.json()
    for part in content.get("parts") or [content]:
        name = f"{file} #{part['part']}" if content.get("parts") else str(file)
        _tell(part, name, console)
    return answer.is_success


def _tell(content: Mapping[str, Any], name: str, console: Console) -> None:
    """What became of one report."""
    if "id" in content:
        console.print(f"[green]✓[/] {name}: revision {content['revision']}, {content['id']}")
    else:
        console.print(f"[red]✗[/] {name}: {content['status']} {content.get('detail') or content['title']}")
    for finding in content.get("findings", []):
        place = finding.get("place") or finding["pointer"]
        console.print(f"    {finding['severity']} {finding['rule']} {place}: {finding['message']}", markup=False)
    for wrong in content.get("errors", []):
        console.print(f"    {wrong['pointer']}: {wrong['message']}", markup=False)


def validate_files(files: Sequence[Path], form: Path | None, console: Console, parameters: Sequence[str] = ()) -> bool:
    """Check files against the bundled catalogue, or a form of one's own; True when all would be accepted.

    Rules that look at other reports are undecided here: only the gateway has those.
    """
    catalogue, query = offline_catalogue(form), parameters_of(parameters)
    good = True
    for file in files:
        body = _read(file)
        kind = media_type_of(file, body)
        push = Push(body, kind, UUID(_NOBODY), None, "vi", query="" if kind == JSON else query)
        try:
            pushes = unpack(push)
        except GatewayError as error:
            _tell_error(error, str(file), console)
            good = False
            continue
        for each in pushes:
            number = None if each.unpacked is None else each.unpacked.part
            is_good = _validate(each, catalogue, f"{file}" if number is None else f"{file} #{number}", console)
            good = good and is_good
    return good


def _validate(push: Push, catalogue: Catalogue, name: str, console: Console) -> bool:
    now = datetime.now(UTC)
    try:
        verdict = verdict_on(prepare(push, catalogue, civil_date(now)), Knowledge(catalogue, now))
    except GatewayError as error:
        _tell_error(error, name, console)
        return False
    console.print(f"[red]✗[/] {name}" if verdict.refused else f"[green]✓[/] {name}")
    for finding in verdict.findings:
        console.print(_line(finding), markup=False)
    return not verdict.refused


def _tell_error(error: GatewayError, name: str, console: Console) -> None:
    console.print(f"[red]✗[/] {name}: {error}")
    for place in error.errors:
        console.print(f"    {place.pointer}: {place.message.vi}", markup=False)


def _line(finding: Finding) -> str:
    figures = f" ({finding.actual} ≠ {finding.expected})" if finding.expected is not None else ""
    place = finding.pointer if finding.place is None else finding.place.vi
    return f"    {finding.severity} {finding.rule} {place}: {finding.message.vi}{figures}"


def offline_catalogue(form: Path | None) -> Catalogue:
    """The bundled catalogue, with one form document more if given. Raises ``SubmitError`` if that is wrong."""
    documents = [(str(kind), document) for kind, document in bundled_documents()]
    if form is not None:
        try:
            own = FormDocument.model_validate(decode(_read(form)))
            Form(own)
        except (ValidationError, FormFault, ValueError) as error:
            raise SubmitError(f"{form}: {error}") from error
        codelists = {document["id"] for kind, document in documents if kind == "codelist"}
        lacking = sorted({each.codelist for each in own.breakdowns} - codelists)
        if lacking:
            raise SubmitError(f"{form}: only bundled code lists are known offline, not {', '.join(lacking)}")
        documents = [each for each in documents if each[0] != "form" or each[1]["code"] != own.code]
        documents.append(("form", own.model_dump()))
    return catalogue_of(documents)


def read_keys(issuer: str, file: Path | None) -> list[dict[str, Any]]:
    """The public keys of an issuer of receipts, from a file or from where it publishes them. Raises ``SubmitError``."""
    try:
        document = decode(_download(f"{issuer.rstrip('/')}/.well-known/jwks.json") if file is None else _read(file))
        key_set(document)
    except ValueError as error:
        raise SubmitError(f"{file or issuer}: {error}") from error
    keys: list[dict[str, Any]] = [each for each in document["keys"] if "vkey" not in each]  # those are the log's
    return keys


def _download(url: str) -> bytes:
    try:
        return httpx.get(url, timeout=30, follow_redirects=False).raise_for_status().content
    except httpx.HTTPError as error:
        raise SubmitError(f"{url} could not be read: {error}") from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SubmitError(f"{file}: {error.strerror}") from error
