"""Check a report's signature: whether there has to be one, and whether it is the agency's. Pure."""

from collections.abc import Iterator

from gateway.domain.form_document import Severity
from gateway.domain.report import Finding
from gateway.domain.signature import SignatureRule
from gateway.errors import Text
from gateway.flow.findings import fault
from gateway.flow.prepare import Prepared

_WHOLE = ""
"""JSON Pointer (RFC 6901) to the whole report: a signature is over all of its bytes."""
_MISSING = Text(
    "Chế độ báo cáo này yêu cầu chữ ký số: gửi bằng POST /v1/reports với tiêu đề Report-Signature "
    "(báo cáo trong một lô không ký được).",
    "This regime requires signed reports: send it by POST /v1/reports with the header Report-Signature "
    "(a line of a batch cannot be signed).",
)
_BESIDE = Text(
    "Chữ ký chỉ bảo vệ nội dung tệp, không bảo vệ các tham số: tệp được ký phải tự nêu biểu mẫu, cơ quan và kỳ.",
    "A signature is over the file alone, not over parameters: a signed file says its form, agency and period itself.",
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
    if push.unpacked is not None and push.unpacked.query:
        yield fault("signature", _WHOLE, _BESIDE)
    severity = Severity.error if is_required or push.first is None else Severity.warning
    for why in push.signature.faults_for(prepared.agency):
        message = Text(f"Chữ ký không được chấp nhận: {why.vi}.", f"The signature is not taken: {why.en}.")
        yield fault("signature", _WHOLE, message, severity=severity)
