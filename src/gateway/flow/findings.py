"""Findings as validation makes them: built-in ones, how many are kept, and in which order they stand."""

from collections.abc import Mapping

from gateway.domain.form_document import Severity
from gateway.domain.report import Finding
from gateway.errors import Text

MAX_FINDINGS = 5000
"""Findings of one report that are kept and shown; a report with more is wrong altogether."""


def fault(
    rule: str,
    place: str,
    message: Text,
    row: Mapping[str, str] | None = None,
    indicator: str | None = None,
    severity: Severity = Severity.error,
) -> Finding:
    """A finding without figures, at a JSON Pointer into the report."""
    return Finding(rule, severity, place, message, row, indicator)


def in_order(findings: list[Finding]) -> list[Finding]:
    """Findings in the order of the rows they are about, those about the whole report first."""
    return sorted(findings, key=_row_number)


def _row_number(finding: Finding) -> int:
    steps = finding.pointer.split("/")
    return int(steps[2]) if len(steps) > 2 and steps[1] == "rows" else -1


def bounded(findings: list[Finding]) -> list[Finding]:
    """At most so many findings, and one more that says how many were left out."""
    if len(findings) <= MAX_FINDINGS:
        return findings
    more = len(findings) - MAX_FINDINGS
    message = Text(f"Còn {more} phát hiện nữa không được liệt kê.", f"{more} more findings are not listed.")
    return [*findings[:MAX_FINDINGS], fault("column", "/rows", message)]
