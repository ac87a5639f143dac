"""What local systems run on their side: push files, check them offline, verify receipts."""

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
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
from gateway.errors import GatewayError
from gateway.evidence.receipts import key_set
from gateway.flow.judge import Knowledge, verdict_on
from gateway.flow.load import catalogue_of
from gateway.flow.prepare import Push, prepare

_NOBODY = "00000000-0000-0000-0000-000000000000"


class SubmitError(RuntimeError):
    """Something a person running the command has to mend; the message says what."""


async def submit_files(files: Sequence[Path], url: str, console: Console) -> bool:
    """Push files and print what became of each; True when all were taken. Safe to repeat.

    Raises ``SubmitError`` without credentials, or when the gateway cannot be reached.
    """
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
            return all([await _submit(http, file, console) for file in files])
    except httpx.TransportError as error:
        raise SubmitError(f"cannot reach {url}: {error}") from error


async def _submit(http: httpx.AsyncClient, file: Path, console: Console) -> bool:
    body = _read(file)
    key = hashlib.sha256(body).hexdigest()
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    answer = await http.post("/v1/reports", content=body, headers=headers)
    if "json" not in answer.headers.get("content-type", ""):
        raise SubmitError(f"{file}: {http.base_url} answered {answer.status_code}, but not as a gateway does")
    content: dict[str, Any] = answer.json()
    if answer.is_success:
        console.print(f"[green]✓[/] {file}: revision {content['revision']}, {content['id']}")
    else:
        console.print(f"[red]✗[/] {file}: {answer.status_code} {content.get('detail') or content['title']}")
    for finding in content.get("findings", []):
        console.print(f"    {finding['severity']} {finding['rule']} {finding['pointer']}: {finding['message']}")
    for place in content.get("errors", []):
        console.print(f"    {place['pointer']}: {place['message']}")
    return answer.is_success


def validate_files(files: Sequence[Path], form: Path | None, console: Console) -> bool:
    """Check files against the bundled catalogue, or a form of one's own; True when all would be accepted.

    Rules that look at other reports are undecided here: only the gateway has those.
    """
    catalogue = offline_catalogue(form)
    now = datetime.now(UTC)
    good = True
    for file in files:
        push = Push(_read(file), "application/json", UUID(_NOBODY), None, "vi")
        try:
            verdict = verdict_on(prepare(push, catalogue, civil_date(now)), Knowledge(catalogue, now))
        except GatewayError as error:
            console.print(f"[red]✗[/] {file}: {error}")
            for place in error.errors:
                console.print(f"    {place.pointer}: {place.message.vi}")
            good = False
            continue
        console.print(f"[red]✗[/] {file}" if verdict.refused else f"[green]✓[/] {file}")
        for finding in verdict.findings:
            console.print(_line(finding))
        good = good and not verdict.refused
    return good


def _line(finding: Finding) -> str:
    figures = f" ({finding.actual} ≠ {finding.expected})" if finding.expected is not None else ""
    return f"    {finding.severity} {finding.rule} {finding.pointer}: {finding.message.vi}{figures}"


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
