"""Routes that say whose signatures are an agency's."""

from datetime import datetime
from typing import Self

from cryptography import x509
from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.access.tokens import Caller
from gateway.api.body import read_document, takes
from gateway.api.deps import GatewayParts, NewestCatalogue, Registrar, Today
from gateway.api.json import Json
from gateway.api.parameters import AgencyName
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.subtree import require_covered
from gateway.db.engine import clock, driver
from gateway.db.log import add_entries
from gateway.db.signatures import find_signers, set_signers
from gateway.domain.catalogue import Catalogue
from gateway.domain.document import Document, exactly_one, refusal
from gateway.domain.entry import new_entry
from gateway.errors import NotFound
from gateway.evidence.signatures import subject_of

router = Router(prefix="/v1/agencies", tags=["access"])
_LONGEST_NAME = 2000
"""Bytes of a name: it is looked up by an index, which takes no longer ones."""


class SignerDocument(Document):
    """Somebody who may sign for an agency: the name in the certificate, or a certificate that has it."""

    model_config = ConfigDict(json_schema_extra=exactly_one("subject", "certificate"))

    subject: str | None = Field(
        None, min_length=1, max_length=2000, description="The certificate's subject as RFC 4514 writes it."
    )
    certificate: str | None = Field(None, max_length=20_000, description="Any certificate of the signer, in PEM.")

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if (self.subject is None) == (self.certificate is None):
            raise refusal(
                "phải có đúng một trong: subject, certificate", "exactly one of subject and certificate is given"
            )
        try:
            _ = self.name
        except (ValueError, x509.InvalidVersion, x509.UnsupportedGeneralNameType):
            raise refusal("không đọc được tên của chứng thư", "no certificate's name can be read from it") from None
        return self

    @property
    def name(self) -> str:
        """The subject, the same for the same name however it was written."""
        if self.certificate is not None:
            name = subject_of(x509.load_pem_x509_certificate(self.certificate.encode()))
        else:
            name = x509.Name.from_rfc4514_string(self.subject or "").rfc4514_string()
        if not 0 < len(name.encode()) <= _LONGEST_NAME:
            raise ValueError("nobody is named, or at too great length")
        return name


class SignersDocument(Document):
    """Everybody who may sign for an agency."""

    signers: list[SignerDocument] = Field(max_length=100)


class RegisteredSigner(BaseModel):
    """A signer and since when it is registered."""

    subject: str
    registered_at: datetime


class Signers(BaseModel):
    """Who may sign for an agency, by name."""

    agency: str
    signers: list[RegisteredSigner]


@router.get("/{code}/signers", response_model=Signers, responses=problems(401, 403, 404))
async def read_signers(
    code: AgencyName, gateway: GatewayParts, catalogue: NewestCatalogue, caller: Registrar, today: Today
) -> Response:
    """Who may sign for an agency."""
    return await _shown(gateway, catalogue, _agency(catalogue, caller, code, today))


@router.put(
    "/{code}/signers",
    response_model=Signers,
    openapi_extra=takes(SignersDocument, {"signers": [{"subject": "CN=Sở Nông nghiệp và Môi trường Hà Nội,C=VN"}]}),
    responses=problems(400, 401, 403, 404, 413, 415),
)
async def put_signers(
    code: AgencyName,
    request: Request,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Registrar,
    today: Today,
) -> Response:
    """Say who may sign for an agency: all of them at once, by the subject of their certificates.

    A certificate that is renewed under the same name needs no change here. Whoever is left out may sign no longer; what
    they signed stays signed.
    """
    asked = await read_document(request, SignersDocument)
    agency = _agency(catalogue, caller, code, today)
    names = list(dict.fromkeys(each.name for each in asked.signers))
    async with driver(gateway.engine) as connection, connection.transaction():
        if await set_signers(connection, catalogue.agencies.ids[agency], names, caller.client):
            about, texts = {"agency": agency, "signers": len(names)}, {"subjects": "\n".join(names)}
            await add_entries(
                connection, [new_entry("signers-set", await clock(connection), caller.client, about, texts=texts)]
            )
    return await _shown(gateway, catalogue, agency)


def _agency(catalogue: Catalogue, caller: Caller, code: str, today: Today) -> str:
    agency = catalogue.agencies.resolve(code)
    if agency is None:
        raise NotFound()
    require_covered(catalogue, caller, agency, today)
    return agency


async def _shown(gateway: GatewayParts, catalogue: Catalogue, agency: str) -> Response:
    async with driver(gateway.engine) as connection:
        found = await find_signers(connection, catalogue.agencies.ids[agency])
    return Json({"agency": agency, "signers": [{"subject": name, "registered_at": at} for name, at in found]})
