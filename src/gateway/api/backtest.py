"""Trying a form's rules on stored reports: what the route in ``catalog`` is asked and answers."""

from typing import Any
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.amend import read_named
from gateway.api.shapes import FindingShape
from gateway.domain.form_document import Severity
from gateway.domain.report import ReportKind
from gateway.errors import Language
from gateway.flow.backtest import MAX_EXAMPLES, MAX_REPORTS, Backtest, Example, Tried

_EXAMPLE: dict[str, Any] = {
    "form": "TTHC_06A",
    "version": 1,
    "draft": False,
    "periods": ["2026-Q3"],
    "under": "H26",
    "reports": 139,
    "complete": True,
    "rules": [
        {
            "rule": "R6",
            "severity": "explain",
            "reports": 1,
            "findings": {"error": 0, "explain": 1, "warning": 0},
            "examples": [
                {
                    "agency": "H26.18",
                    "kind": "own",
                    "period": "2026-Q3",
                    "report": "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20",
                    "finding": {
                        "rule": "R6",
                        "severity": "explain",
                        "pointer": "/rows/0/carried_over",
                        "row": {"sector": "LAND"},
                        "indicator": "carried_over",
                        "expected": "5",
                        "actual": "7",
                        "difference": "2",
                        "message": "Cột (6) từ kỳ trước phải bằng cột (11) trong báo cáo kỳ trước.",
                    },
                }
            ],
        }
    ],
}


class SeverityCounts(BaseModel):
    """How many findings there are of each severity. A rule that could not be checked is a `warning`."""

    error: int
    explain: int
    warning: int


class BacktestExample(BaseModel):
    """A finding, and the stored report it is about."""

    agency: str
    kind: ReportKind
    period: str
    report: UUID
    finding: FindingShape


class RuleTried(BaseModel):
    """What one rule says of the reports."""

    rule: str
    severity: Severity = Field(description="What it does where it does not hold.")
    reports: int = Field(description="Reports that it finds fault with, or could not be checked on.")
    findings: SeverityCounts
    examples: list[BacktestExample] = Field(description=f"The first, at most {MAX_EXAMPLES}.")


class BacktestAnswer(BaseModel):
    """What a form's rules say of stored reports."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    form: str
    version: int
    draft: bool = Field(description="The rules are those of the body, and not those of the stored version.")
    periods: list[str]
    under: str | None = Field(description="The subtree; null is the whole country.")
    reports: int = Field(description="Reports that were looked at.")
    complete: bool = Field(
        description=f"These are all there are; false where the answer ended early, after {MAX_REPORTS:,} reports or "
        "half a minute: ask for fewer periods, or a smaller subtree."
    )
    rules: list[RuleTried] = Field(description="Every rule, in the form's order.")


async def read_draft(request: Request, code: str, version: int) -> dict[str, Any] | None:
    """The form document to try, if there is a body. Raises as ``read_named`` does."""
    headers = request.headers
    if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
        return None
    return await read_named(request, code=code, version=version)


def backtest_shown(
    found: Backtest, periods: list[str], under: str | None, language: Language, *, is_draft: bool
) -> dict[str, object]:
    """A backtest as JSON has it."""
    return {
        "form": found.form.code,
        "version": found.form.version,
        "draft": is_draft,
        "periods": periods,
        "under": under,
        "reports": found.reports,
        "complete": found.is_complete,
        "rules": [_rule_shown(each, language) for each in found.rules.values()],
    }


def _rule_shown(tried: Tried, language: Language) -> dict[str, object]:
    return {
        "rule": tried.rule.id,
        "severity": tried.rule.severity,
        "reports": tried.reports,
        "findings": {severity.value: tried.findings[severity] for severity in Severity},
        "examples": [_example_shown(each, language) for each in tried.examples],
    }


def _example_shown(example: Example, language: Language) -> dict[str, object]:
    return {
        "agency": example.agency,
        "kind": example.kind,
        "period": example.period,
        "report": example.report,
        "finding": example.finding.shown(language),
    }
