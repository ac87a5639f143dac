"""The bytes of an answer to a push, made before the report is stored so that they can be stored with it."""

from gateway.api.problems import PROBLEM, TYPES
from gateway.domain.exact import encode
from gateway.domain.report import Head, Status
from gateway.errors import Language, Text
from gateway.flow.judge import Answer

_REJECTED = Text("Báo cáo bị từ chối", "Report rejected")


def render(head: Head, status: int, language: Language) -> Answer:
    """The answer to a push: the report where it was taken, a problem with every finding where it was not."""
    location = f"/v1/reports/{head.id}"
    if head.status is not Status.rejected:
        return Answer(status, encode(head.shown(language)), "application/json", location)
    count = len(head.findings)
    detail = Text(
        f"Báo cáo được lưu nhưng không được tính; số phát hiện: {count}.",
        f"The report was kept but is not counted; findings: {count}.",
    )
    body = {
        "type": f"{TYPES}report-rejected",
        "title": _REJECTED.to(language),
        "status": status,
        "detail": detail.to(language),
        "report": head.id,
        "revision": None,
        "sha256": head.sha256,
        "findings": [finding.shown(language) for finding in head.findings],
    } | ({} if head.part is None else {"part": head.part})
    return Answer(status, encode(body), PROBLEM, location)
