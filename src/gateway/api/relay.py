"""What only a client with scope ``reports:relay`` may say: that another gateway took a report first."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from gateway.access.scopes import Scope
from gateway.access.tokens import Caller
from gateway.api.deps import Gateway, require_scope
from gateway.db.engine import driver
from gateway.db.relays import KeptRelay, find_relay
from gateway.domain.document import Moment
from gateway.errors import MalformedRequest, Place, Text
from gateway.flow.relay import FirstReceipt, first_receipt, require_same

ID, RECEIVED_AT, RECEIPT, ENDED_AT = "Report-Id", "Report-Received-At", "Report-Receipt", "Report-Ended-At"
_time = TypeAdapter(Moment)


def parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A header in the OpenAPI document."""
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


_UUID = {"type": "string", "format": "uuid"}
# Not `format: date-time`, of which some generators of clients make a type that they take in no header.
_MOMENT = {
    "type": "string",
    "pattern": r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
}
RELAYED = [
    parameter(ID, "With `reports:relay`: the id that the report has, which it keeps here.", _UUID),
    parameter(RECEIVED_AT, "With `reports:relay`: when it was received first.", _MOMENT),
    parameter(RECEIPT, "With `reports:relay`: the first receipt, which says both and is verified.", {"type": "string"}),
]
ENDED = [parameter(ENDED_AT, "With `reports:relay`: when it was withdrawn first; its lock is judged by that.", _MOMENT)]


async def relayed(request: Request, gateway: Gateway, caller: Caller) -> FirstReceipt | None:
    """The first receipt of a report that another gateway took; None for one that is pushed here.

    Raises ``Forbidden`` without the scope for either, ``MalformedRequest``, ``UntrustedReceipt``.
    """
    given = {name: request.headers.getlist(name) for name in (ID, RECEIVED_AT, RECEIPT)}
    if not any(given.values()):
        require_scope(caller, Scope.reports_write)
        return None
    require_scope(caller, Scope.reports_relay)
    wrong = [name for name, values in given.items() if len(values) != 1]
    if wrong:
        message = Text("Phải có đúng một lần.", "Must be there exactly once.")
        raise MalformedRequest(errors=[Place(name, message) for name in wrong])
    report, received_at = _uuid(ID, given[ID][0]), _moment(RECEIVED_AT, given[RECEIVED_AT][0])
    async with driver(gateway.engine) as connection:
        first = await first_receipt(connection, caller.client, given[RECEIPT][0])
    require_same(first, report=report, received_at=received_at)
    return first


async def may_speak_for(gateway: Gateway, caller: Caller, scope: Scope, report: UUID) -> KeptRelay | None:
    """How a report came that a client relayed, if it now only relays what became of it; None with a right of its own.

    Raises ``Forbidden`` where it has neither the scope nor brought the report.
    """
    if scope in caller.scopes:
        return None
    async with driver(gateway.engine) as connection:
        relay = await find_relay(connection, report)
    if relay is None or relay.client_id != caller.client:
        require_scope(caller, scope)
    return relay


def ended_at(request: Request, caller: Caller) -> datetime | None:
    """When what is relayed happened first; None where it happens now. Raises ``MalformedRequest``."""
    value = request.headers.get(ENDED_AT)
    at = None if value is None else _moment(ENDED_AT, value)
    return at if Scope.reports_relay in caller.scopes else None


def _uuid(name: str, value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise _malformed(name, Text("Phải là UUID.", "Must be a UUID.")) from None


def _moment(name: str, value: str) -> datetime:
    try:
        return _time.validate_python(value)
    except ValidationError:
        raise _malformed(name, Text("Phải là thời điểm RFC 3339.", "Must be an RFC 3339 time.")) from None


def _malformed(name: str, message: Text) -> MalformedRequest:
    return MalformedRequest(errors=[Place(name, message)])
