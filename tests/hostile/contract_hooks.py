"""What schemathesis is told of this API: that lines are lines, and which refusals no schema can foretell."""

import json
from typing import Any

import schemathesis

UNSAID = {
    "cursor": "opaque: only what a page gave is one",
    "as_of": "opaque, or a time",
    "updated_after": "opaque, or a time",
    "from": "a revision of the same report",
    "at": "a day that the calendar has",
    "period": "a list or a range of periods that fit together",
    "indicator": "an indicator of the form that is asked for, by itself or with others",
    "by": "breakdowns of the form that is asked for",
    "/period": "a day that the calendar has, weeks that the year has",
    "/code": "agrees with the address",
    "/id": "agrees with the address",
    "/year": "agrees with the address",
    "/version": "agrees with the address",
    "/name": "agrees with the address",
    "/from": "not in the future",
    "Report-Id": "with the other two, or not at all",
    "Report-Received-At": "with the other two, or not at all",
    "Report-Receipt": "with the other two, or not at all",
    "Report-Ended-At": "a time that the calendar has",
    "Idempotency-Key": "given once",
}
"""Places in which a value that the document allows may still be wrong, and why the document cannot say more."""
FILES = ("text/csv", "application/adx+xml", "application/vnd.")
KINDS = (
    "/options",
    "/credentials",
    "/forms",
    "/url",
    "/what",
    "/remind",
    "/under",
    "/jwks",
    "/scopes",
    "/limits",
    "/until",
)
"""Places that are judged by what else is in the body, or by what there is."""


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Leave files to tests of their own: a schema says of a CSV, a workbook or a message only that it is a text."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            for media_type in [each for each in content if each.startswith(FILES)]:
                del content[media_type]


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """A document is a line; a text is what it is."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode() + b"\n"


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a failure counts: not that of a right value which is refused for what no schema says."""
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    try:
        problem = json.loads(response.content)
    except ValueError:
        return True
    if problem.get("type", "").endswith(("idempotency-key-reused", "report-rejected", "invalid-catalogue")):
        return False
    named = [place["pointer"] for place in problem.get("errors", ())]
    return not named or not all(each in UNSAID or each.startswith(KINDS) for each in named)
