"""The sandbox as a gateway above: reports of kind `gateway`."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from gateway.domain.delivery import Event
from gateway.sandbox.arrivals import NotAsAgreed
from gateway.sandbox.behaviour import Mode, misbehaves, problem, stall
from gateway.sandbox.reports import Here

router = APIRouter()


@router.post("/oauth/token")
async def token() -> dict[str, object]:
    """A token, for anybody."""
    return {"access_token": "sandbox", "token_type": "Bearer", "expires_in": 3600}


@router.get("/.well-known/jwks.json")
async def read_keys(sandbox: Here) -> dict[str, object]:
    """The key that verifies the sandbox's receipts."""
    return dict(sandbox.stamp.public())


@router.post("/v1/reports", status_code=201)
async def take_relayed(request: Request, sandbox: Here) -> Response:
    """Take a relayed report, as the behaviour set allows, and give a receipt for it."""
    body = await request.body()
    behaviour = sandbox.next_behaviour()
    if (refusal := misbehaves(request, behaviour)) is not None:
        return refusal
    try:
        arrival, receipt = sandbox.take_relayed(request.headers, body, datetime.now(UTC))
    except NotAsAgreed as error:
        return problem(error.status, error.reason)
    if behaviour.mode is Mode.stall:
        await stall(request, behaviour.seconds)
    answer = {"id": str(arrival.id), "status": "accepted", "sha256": arrival.sha256, "receipt": receipt}
    return JSONResponse(answer, 200 if arrival.count > 1 else 201)


@router.post("/v1/reports/{report}/{end}")
async def end_relayed(report: UUID, end: Literal["return", "withdraw"], request: Request, sandbox: Here) -> Response:
    """Be told that a relayed report was returned or withdrawn."""
    body = await request.body()
    if (refusal := misbehaves(request, sandbox.next_behaviour())) is not None:
        return refusal
    event = Event.returned if end == "return" else Event.withdrawn
    try:
        sandbox.end_relayed(report, event, body, datetime.now(UTC))
    except NotAsAgreed as error:
        return problem(error.status, error.reason)
    return JSONResponse({"id": str(report), "status": event})


@router.get("/v1/reports")
async def list_relayed(sandbox: Here) -> dict[str, object]:
    """The relayed reports it holds, all at once."""
    return {"items": sandbox.held(), "next": None}


@router.get("/v1/changes")
async def changes() -> dict[str, object]:
    """Nothing is ever returned here."""
    return {"items": [], "next": "sandbox", "more": False}
