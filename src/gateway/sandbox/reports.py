"""The sandbox as a system that takes reports of kind `http_json`, and what it tells of all that arrived."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from gateway.sandbox.arrivals import NotAsAgreed, Received, Sandbox
from gateway.sandbox.behaviour import Behaviour, Mode, misbehaves, problem, stall

router = APIRouter()


def _sandbox(request: Request) -> Sandbox:
    sandbox = request.app.state.sandbox
    assert isinstance(sandbox, Sandbox)  # noqa: S101 (tells the type of untyped state)
    return sandbox


Here = Annotated[Sandbox, Depends(_sandbox)]


@router.post("/reports", status_code=201)
async def take(request: Request, sandbox: Here) -> Response:
    """Take a report, as the behaviour set allows: 201 the first time, 200 with `"duplicate": true` after."""
    body = await request.body()
    behaviour = sandbox.next_behaviour()
    if (refusal := misbehaves(request, behaviour)) is not None:
        return refusal
    try:
        arrival = sandbox.take(request.headers, body, datetime.now(UTC))
    except NotAsAgreed as error:
        return problem(error.status, error.reason)
    if behaviour.mode is Mode.stall:
        await stall(request, behaviour.seconds)
    duplicate = arrival.count > 1
    answer = {"id": str(arrival.id), "event": arrival.event, "duplicate": duplicate}
    return JSONResponse(answer, 200 if duplicate else 201)


@router.get("/received")
async def received(
    sandbox: Here,
    report: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 1000,
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Received:
    """What arrived, newest first, of one report or of all; so many on a page."""
    found = [one for one in reversed(sandbox.arrivals.values()) if report in (None, one.id)]
    return Received(items=found[(page - 1) * limit : page * limit], total=len(found))


@router.delete("/received", status_code=204)
async def forget(sandbox: Here) -> None:
    """Forget what arrived."""
    sandbox.arrivals.clear()
    sandbox.ended.clear()


@router.get("/behaviour")
async def behaviour(sandbox: Here) -> Behaviour:
    """What is done with the next report."""
    return sandbox.behaviour


@router.post("/behaviour")
async def behave(wanted: Behaviour, sandbox: Here) -> Behaviour:
    """Set what is done with the next reports."""
    sandbox.behaviour = wanted
    return wanted


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Alive."""
    return {"status": "ok"}


@router.get("/")
async def about(sandbox: Here) -> dict[str, object]:
    """What this is and what it can do."""
    return {
        "vi": "Hệ thống giả lập thay cho hệ thống quốc gia, chỉ để thử nghiệm; dữ liệu nằm trong bộ nhớ.",
        "en": "A stand-in for the national system, for testing only; it keeps everything in memory.",
        "signature_required": sandbox.key is not None,
        "behaviour": sandbox.behaviour.mode,
        "received": len(sandbox.arrivals),
        "routes": {
            "POST /reports": "takes a report from a connector of kind http_json",
            "POST /v1/reports": "takes a report from a connector of kind gateway, whose url is this address",
            "GET /received": "what arrived: ?report= &limit= &page=",
            "DELETE /received": "forgets it",
            "GET|POST /behaviour": "what is done with reports: mode, count, seconds, status, retry_after",
            "GET /openapi.json": "all of this in full",
        },
    }
