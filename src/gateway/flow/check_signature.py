"""Check a report's signature: whether there has to be one, and whether it is the agency's. Pure."""

from collections.abc import Iterator
from urllib.parse import urlencode

from gateway.domain.form_document import Severity
from gateway.domain.report import Finding
from gateway.domain.signature import SignatureRule
from gateway.errors import MalformedRequest, Text
from gateway.flow.findings import fault
from gateway.flow.prepare import Prepared, Unpacked
from gateway.flow.unpack import OF_ONE, read_parameters

_WHOLE = ""
"""JSON Pointer (RFC 6901) to the whole report: a signature is over all of its bytes."""
_MISSING = Text(
    "Chế độ báo cáo này yêu cầu chữ ký số: gửi bằng POST /v1/reports với tiêu đề Report-Signature "
    "(báo cáo trong một lô không ký được).",
    "This regime requires signed reports: send it by POST /v1/reports with the header Report-Signature "
    "(a line of a batch cannot be signed).",
)
_BESIDE = Text(
    "Các tham số không đúng như đã ký: tệp có tham số thì phần đầu được bảo vệ của chữ ký phải có 'query' nêu đúng các "
    "tham số ấy.",
    "The parameters are not those that were signed: of a file with parameters, the protected header of the signature "
    "has them as 'query'.",
)


def signature_findings(prepared: Prepared) -> Iterator[Finding]:
    """What is wrong with the signature of a push, or with there being none.

    What another gateway took first is refused for a signature only where the regime requires one here: that this one
    does not know the signer is otherwise told in a warning.
    """
    push, obligation = prepared.push, prepared.obligation
    is_required = (
        obligation is not None
        and obligation.regime.document.signature is SignatureRule.required
        and not push.is_made_here
    )
    if push.signature is None:
        if is_required:
            yield fault("signature", _WHOLE, _MISSING)
        return
    if not is_said(push.signature.query, push.unpacked):
        yield fault("signature", _WHOLE, _BESIDE)
    severity = Severity.error if is_required or push.first is None else Severity.warning
    for why in push.signature.faults_for(prepared.agency):
        message = Text(f"Chữ ký không được chấp nhận: {why.vi}.", f"The signature is not taken: {why.en}.")
        yield fault("signature", _WHOLE, message, severity=severity)


def is_said(signed: str, unpacked: Unpacked | None) -> bool:
    """Whether the parameters that were signed are those by which a report was read; a report in JSON has none.

    What is about one report alone is signed together with which report of the file that is.
    """
    if unpacked is None:
        return not signed
    try:
        said = read_parameters(signed)
    except MalformedRequest:
        return False
    part = said.pop("part", None)
    if part is not None and part != str(unpacked.part or 1):
        return False
    if part is None and unpacked.part is not None and any(name in said for name in OF_ONE):
        return False
    return urlencode(sorted(said.items())) == unpacked.query
