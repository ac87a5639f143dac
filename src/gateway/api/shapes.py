"""What bodies look like, for the OpenAPI document: shapes with real examples, and a problem for every error."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from gateway import errors
from gateway.api.file_bodies import FILE_BODIES, FILE_PARAMETERS
from gateway.api.problems import PROBLEM, problem
from gateway.api.refusals import Problem
from gateway.domain.document import Document
from gateway.domain.form_document import Severity
from gateway.domain.report import Nil, ReportKind, Status

PUSHED: dict[str, Any] = {
    "form": "TTHC_06A",
    "agency": "H26.18",
    "period": "2026-Q3",
    "rows": [
        {
            "sector": "LAND",
            "received_total": 2400,
            "received_online": 2280,
            "received_offline": 105,
            "carried_over": 15,
            "resolved_total": 2375,
            "resolved_early": 1750,
            "resolved_on_time": 625,
            "resolved_late": 0,
            "pending_total": 25,
            "pending_in_time": 25,
            "pending_late": 0,
        }
    ],
}
_REPORT = "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20"
_SHA = "4b0f1f3c6f2a1f9d7f7a0f4e2a53c1d18e0b5a1d9d3f6c7b8a9e0f1d2c3b4a59"
_WRONG_ROW = PUSHED["rows"][0] | {"received_total": 2401}
WRONG = PUSHED | {"rows": [_WRONG_ROW]}
ACCEPTED: dict[str, Any] = {
    "id": _REPORT,
    "status": "accepted",
    "form": "TTHC_06A",
    "form_version": 1,
    "agency": "H26.18",
    "period": "2026-Q3",
    "kind": "own",
    "revision": 1,
    "corrects": None,
    "received_at": "2026-09-20T02:15:08.114200Z",
    "late": False,
    "sha256": _SHA,
    "findings": [],
    "receipt": "eyJhbGciOiJFZDI1NTE5Iiwia2lkIjoi….eyJpc3MiOiJodHRwczovL2….c2lnbmF0dXJl…",
}
FINDING: dict[str, Any] = {
    "rule": "R1",
    "severity": "error",
    "pointer": "/rows/0/received_total",
    "row": {"sector": "LAND"},
    "indicator": "received_total",
    "expected": "2400",
    "actual": "2401",
    "difference": "1",
    "message": "Cột (3) phải bằng tổng các cột (4), (5) và (6).",
}


class FindingShape(BaseModel):
    """A complaint about a report. `expected`, `actual` and `difference` (actual − expected) are exact decimals
    written as strings, given for rules of the shape `indicator == expression`."""

    rule: str = Field(description="The rule's id, or the name of a built-in finding.")
    severity: Severity
    pointer: str = Field(description="JSON Pointer (RFC 6901) into the report.")
    row: dict[str, str] | None = Field(description="The row, by its breakdowns.")
    indicator: str | None
    expected: str | None
    actual: str | None
    difference: str | None
    message: str = Field(description="In Vietnamese or English, by `Accept-Language`.")
    place: str | None = Field(
        None,
        description="Of a report in a file: where that is in the file, as its writer sees it. Absent in JSON.",
        examples=["line 2, column 5", "TTHC_06A!E5", "/adx/group[1]/dataValue[4]"],
    )


class ReportHead(BaseModel):
    """A report, without its rows and its receipt."""

    id: UUID
    status: Status
    form: str
    form_version: int
    agency: str
    period: str
    kind: ReportKind
    revision: int | None = Field(description="Counts the accepted revisions of the key; null when rejected.")
    corrects: UUID | None
    received_at: datetime
    late: bool | None = Field(description="Received after 24:00 of the deadline; null when rejected.")
    sha256: str = Field(description="Of the bytes pushed, after any Content-Encoding was removed.")
    findings: list[FindingShape]


class ReportAnswer(ReportHead):
    """A report as the gateway took it."""

    model_config = ConfigDict(json_schema_extra={"examples": [ACCEPTED]})

    receipt: str | None = Field(description="The signed proof of acceptance, a compact JWS.")
    part: int | None = Field(None, description="Which report it is of a file that holds several; absent otherwise.")


class Parts(BaseModel):
    """What became of the reports of a file that holds several: each as if it had been pushed alone, with `part`."""

    parts: list[ReportAnswer]


class Ended(BaseModel):
    """When, how and why a report stopped counting."""

    event: str
    at: datetime
    reason: str | None


class AbsentPart(BaseModel):
    """A report that a consolidation lacks."""

    agency: str
    kind: ReportKind
    returned: bool = Field(description="It came and was returned.")


class Part(BaseModel):
    """A report that a consolidation was made from, as it is now."""

    agency: str
    kind: ReportKind
    report: UUID
    revision: int
    status: Status


class PartChange(BaseModel):
    """How an agency's part differs from what the consolidation used."""

    agency: str
    change: str = Field(description="`corrected`, `returned`, `withdrawn`, `reported` or `consolidated` since.")
    was: UUID | None
    now: UUID | None


class LineageShape(BaseModel):
    """What a consolidation was made from, and how that stands now."""

    stale: bool = Field(description="Its parts have changed; `POST /v1/consolidations` makes it anew.")
    changes: list[PartChange]
    missing: list[AbsentPart] = Field(description="Owed by a child, or the agency itself, and not there now.")
    late: list[str] = Field(description="Agencies whose reports came late.")
    parts: list[Part]


class RelayShape(BaseModel):
    """The gateway that took a report first, and its receipt."""

    issuer: str
    received_at: datetime
    receipt: str


class SignerShape(BaseModel):
    """The certificate that signed a report."""

    subject: str = Field(description="Its holder (RFC 4514).")
    issuer: str
    serial: str = Field(description="Hexadecimal.")
    sha256: str = Field(description="The certificate's fingerprint.")
    signed_at: datetime = Field(description="When it says that it signed.")
    trusted: bool = Field(description="Whether it held, and was trusted for the agency, when the report came.")


class FullReport(ReportAnswer):
    """A report with its rows."""

    consolidation: LineageShape | None = Field(None, description="Of a consolidation that was made here.")
    relayed: RelayShape | None = Field(None, description="Of a report that came by way of another gateway.")
    signer: SignerShape | None = Field(None, description="Who signed it; null where nobody did.")
    nil: Nil | None
    reason: str | None
    explanations: list[dict[str, Any]]
    ended: Ended | None
    rows: list[dict[str, Any]] = Field(description="As they were pushed; blanks are null.")


class ReportPage(BaseModel):
    """A page of reports, newest first."""

    items: list[ReportAnswer]
    next: str | None


class Happened(Ended):
    """Something that happened to a report."""

    connector: str | None = Field(description="The upstream that told of it, where it happened there.")


class Revision(ReportAnswer):
    """One revision in a report's history."""

    reason: str | None
    ended: Ended | None
    events: list[Happened]


class History(BaseModel):
    """Every kept revision of a report's key, oldest first."""

    items: list[Revision]
    next: None


class Validation(BaseModel):
    """What would be found wrong with a report."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"accepted": False, "findings": [FINDING]}]})

    accepted: bool
    findings: list[FindingShape]
    parts: list[dict[str, Any]] | None = Field(None, description="For each report of a file that holds several.")


class Rejection(Problem):
    """A report refused by its form: it is kept with every finding, and never counted."""

    report: UUID
    revision: None
    sha256: str
    findings: list[FindingShape]


class Reason(Document):
    """Why something is done, for those it is done to."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "Số liệu lĩnh vực đất đai lệch so với kỳ trước."}]}
    )

    reason: str = Field(min_length=1, max_length=4000)


_SUBMISSION = {"$ref": "#/components/schemas/Submission"}
PUSH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _SUBMISSION,
                "examples": {
                    "correct": {"summary": "A correct report", "value": PUSHED},
                    "off_by_one": {"summary": "A total that is off by one (422)", "value": WRONG},
                    "nothing": {
                        "summary": "Nothing to report",
                        "value": PUSHED | {"rows": [], "nil": "nothing_to_report"},
                    },
                },
            },
            **FILE_BODIES,
        },
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "1 to 255 visible ASCII characters, chosen by the client for this one report.",
            "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
            "example": "H26.18-2026-Q3-1",
        },
        *FILE_PARAMETERS,
    ],
}
BATCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ndjson": {
                "schema": {"description": "One report a line."},
                "example": "\n".join(json.dumps(each, ensure_ascii=False) for each in (PUSHED, WRONG)),
            }
        },
    },
    "parameters": PUSH_BODY["parameters"][:1],
}
BATCH_LINES: dict[str, Any] = {
    "description": "One line a report, in order: the report or its problem, with `line`.",
    "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
}


_REJECTED = {
    "type": "urn:report-gateway:problem:report-rejected",
    "title": "Báo cáo bị từ chối",
    "status": 422,
    "report": _REPORT,
    "revision": None,
    "sha256": _SHA,
    "findings": [FINDING],
}
REJECTED: dict[str, Any] = {
    "model": Rejection,
    "description": "Refused by the form, with every finding at once (kept, not counted); or an idempotency key reused.",
    "content": {
        PROBLEM: {
            "schema": {"anyOf": [{"$ref": f"#/components/schemas/{each}"} for each in ("Rejection", "Problem")]},
            "examples": {
                "report-rejected": {"summary": "A total that is off by one", "value": _REJECTED},
                "parts-refused": {
                    "summary": errors.PartsRefused.__doc__,
                    "value": problem(
                        errors.PartsRefused(extra={"parts": [ACCEPTED | {"part": 1}, _REJECTED | {"part": 2}]}), "vi"
                    ),
                },
                "idempotency-key-reused": {
                    "summary": errors.IdempotencyKeyReused.__doc__,
                    "value": problem(errors.IdempotencyKeyReused(), "vi"),
                },
            },
        }
    },
}
