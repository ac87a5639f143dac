"""What schemathesis is told of this API: how its clients write, and which refusals no schema can foretell."""

import json
from typing import Any
from uuid import uuid4

import schemathesis

FILES = ("text/csv", "application/adx+xml", "application/vnd.")
PUSHED_TO = ("/v1/reports", "/v1/reports/validate")
own = ""
"""The id of the client that calls: it would revoke itself, and be let in nowhere any more."""
RELAYED = {"Report-Id", "Report-Received-At", "Report-Receipt"}
EVERYWHERE = {
    "cursor": "opaque: only what a page gave is one",
    "as_of": "opaque, or a time that is not to come",
    "updated_after": "as `as_of`",
    "period": "days and weeks that the calendar has; of several, such as fit together",
    "/period": "a day that the calendar has, a week that the year has",
    "indicator": "of the form that is asked for",
    "by": "breakdowns of the form that is asked for",
}
_KEYS = {"/jwks": "real keys", "/jwks_uri": "an address that may be asked", "/expires_at": "is to come"}
_SIGNED = {"Report-Signature": "by a certificate that is in it"}
UNSAID: dict[str, dict[str, str]] = {
    "GET /v1/log/consistency": {"from": "not after `to`", "to": "not longer than the log is"},
    "GET /v1/reports/{report}/difference": {"from": "a revision of the same report"},
    "POST /v1/clients": _KEYS,
    "POST /v1/clients/{client}/rotate": _KEYS,
    "POST /v1/obligations/extensions": {"/until": "has not passed"},
    "POST /v1/reports": _SIGNED | {"Report-Received-At": "a day that the calendar has"},
    "POST /v1/reports/{report}/withdraw": {"Report-Ended-At": "a day that the calendar has"},
    "POST /v1/reports/validate": _SIGNED,
    "PUT /v1/agencies/{code}/signers": {"/signers": "names and certificates that can be read"},
    "PUT /v1/connectors/{name}": {
        "/from": "not in the future",
        "/forms": "that there are",
        "/under": "an agency that there is",
        "/url": "an address that may be asked, and of the kind's shape",
        "/what": "what the kind takes",
        "/remind": "what the kind takes",
        "/options": "what the kind takes",
        "/credentials": "what the kind takes",
        "/retry": "no more attempts than are made in all",
    },
}
"""Places in which a value that the document allows may still be wrong, and why the document cannot say more."""


NEED_NOT_BE = {
    "GET /v1/reports/{report}/signature": "a report need not be signed",
    "GET /v1/reports/{report}/difference": "a first revision corrects none",
    "GET /v1/reports/{report}/proof": "comes with the next checkpoint of the log",
}
"""What there is not of everything that was just made, and why."""


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Leave files to tests of their own: a schema says of a CSV, a workbook or a message only that it is a text.

    Their parameters go with them: of a report in JSON they may only repeat what it says.
    """
    for path in PUSHED_TO:
        operation = raw_schema["paths"][path]["post"]
        content = operation["requestBody"]["content"]
        operation["requestBody"]["content"] = {each: content[each] for each in content if not each.startswith(FILES)}
        operation["parameters"] = [each for each in operation["parameters"] if each["in"] != "query"]


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """A document is a line; a text is what it is."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode() + b"\n"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Write what is right as a client would that has read the words, too."""
    if (case.path_parameters or {}).get("client") == own:
        case.path_parameters["client"] = str(uuid4())
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if not (case.headers or {}).keys() >= RELAYED:
        for name in RELAYED & (case.headers or {}).keys():
            del case.headers[name]  # all three, or none
    if isinstance(case.query, dict) and {"agency", "under"} <= case.query.keys():
        del case.query["under"]  # either of them: what one parameter is cannot hang on another's being there
    if isinstance(case.body, (dict, list)):
        case.body = whole(case.body)
    if isinstance(case.body, dict):  # a document has the name that stands in its address
        case.body |= {name: value for name, value in (case.path_parameters or {}).items() if name in case.body}


def whole(value: Any) -> Any:
    """Integers as integers: to a schema 1.0 is one, in strict JSON it is not."""
    if isinstance(value, dict):
        return {name: whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [whole(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a failure counts: not that of a right value which is refused for what no schema says."""
    asked = f"{case.method} {case.operation.path}"
    if type(failure).__name__ == "EnsureResourceAvailability":
        return asked not in NEED_NOT_BE
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    if asked == "POST /oauth/token" and response.status_code == 401:
        return False  # only a client that there is gets a token
    try:
        problem = json.loads(response.content)
    except ValueError:
        return True
    known = EVERYWHERE | UNSAID.get(asked, {})
    places = problem.get("errors", ())
    return not places or not all(_is_unsaid(each, known) for each in places)


def _is_unsaid(place: dict[str, str], known: dict[str, str]) -> bool:
    """NUL is in no text anywhere, which the document says in words: a pattern for each text would drown the others."""
    first = "/".join(place["pointer"].split("/")[:2])
    return first in known or place["message"] in {"Chuỗi chứa ký tự NUL.", "Chứa ký tự NUL."}
