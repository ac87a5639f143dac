"""The signature that a report comes with, in the header ``Report-Signature``."""

from datetime import UTC, datetime, timedelta

from fastapi import Request

from gateway.api.deps import Gateway
from gateway.api.relay import parameter
from gateway.db.engine import driver
from gateway.db.signatures import find_signed_for
from gateway.domain.signature import ReportSignature
from gateway.errors import MalformedRequest, Place, Text
from gateway.evidence.signatures import LONGEST, MalformedSignature, faults_of, read_signature
from gateway.flow.relay import FirstReceipt

HEADER = "Report-Signature"
SIGNED = parameter(
    HEADER,
    "The agency's signature over exactly these bytes: a detached compact JWS (RFC 7515, appendix F) with `alg`, `x5c` "
    "and `iat` or `sigT` in its protected header; of a file with parameters also `query`, which is in `crit`.",
    {"type": "string", "pattern": r"^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+$", "maxLength": LONGEST},
)


async def signature_of(
    request: Request, gateway: Gateway, body: bytes, first: FirstReceipt | None
) -> ReportSignature | None:
    """What is to be said of the signature a body came with; None where it came without.

    One that another gateway took first is judged as of when that was. Raises ``MalformedRequest`` for what is no
    signature at all; one that does not hold is a finding.
    """
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1:
        raise _malformed(Text("Phải có đúng một lần.", "Must be there exactly once."))
    try:
        detached = read_signature(given[0])
    except MalformedSignature as error:
        raise _malformed(
            Text(f"Chữ ký không đúng định dạng: {error}.", f"The signature is malformed: {error}.")
        ) from error
    received_at = datetime.now(UTC) if first is None else first.received_at
    oldest = timedelta(seconds=gateway.settings.signature_age_seconds)
    signer = detached.signer
    async with driver(gateway.engine) as connection:
        agencies = await find_signed_for(connection, signer.subject, received_at)
    codes = (await gateway.catalogues.newest()).agencies.codes
    return ReportSignature(
        detached.jws,
        signer,
        faults_of(detached, body, gateway.anchors.current(), received_at, oldest),
        frozenset(codes[agency] for agency in agencies if agency in codes),
        detached.query,
    )


def refuse_signature(request: Request) -> None:
    """A batch takes none: it would be over bytes that are no report's. Raises ``MalformedRequest``."""
    if HEADER in request.headers:
        raise _malformed(
            Text("Một lô không ký được: hãy gửi từng báo cáo.", "A batch cannot be signed: send reports one by one.")
        )


def _malformed(message: Text) -> MalformedRequest:
    return MalformedRequest(errors=[Place(HEADER, message)])
