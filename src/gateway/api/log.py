"""Routes of the log: its checkpoint and what verifiers ask for, open to anybody; its entries, to operators."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field

from gateway.api.amend import require_whole_country
from gateway.api.deps import GatewayParts, NewestCatalogue, Operator, Reader, Today
from gateway.api.json import Json
from gateway.api.lists import Limit
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.stream import JSON, NDJSON, chosen_format
from gateway.api.subtree import require_covered
from gateway.db.engine import driver
from gateway.db.log import KeptCheckpoint, begun_at, entry_of_report, newest_checkpoint
from gateway.db.reading import find_report
from gateway.domain.exact import encode
from gateway.errors import MalformedRequest, NotFound, Place, ProofPending, Text
from gateway.evidence.export import checkpoint_shown, entry_shown, page_of
from gateway.evidence.proofs import hashes_shown, proof_shown
from gateway.evidence.tree import consistency_path, prove

router = Router(prefix="/v1", tags=["log"])

_NOTE = """report.gateway.example/log
3
4VBxW9Yz7rLNDZ0JcYbNq8mA2U7d7u4gkq0l4dUoB3I=

— report.gateway.example/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5…
"""
_ENTRY = {
    "agency": "H26.18",
    "at": "2026-11-29T08:15:08.114200Z",
    "by": "01998a3e-1111-7c4e-9b1a-3d5f7a9c1e20",
    "corrects": None,
    "form": "TTHC_06A",
    "form_version": 1,
    "kind": "own",
    "late": False,
    "period": "2026-Q3",
    "receipt": "c2b0f1f3c6f2a1f9d7f7a0f4e2a53c1d18e0b5a1d9d3f6c7b8a9e0f1d2c3b4a5",
    "report": "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20",
    "revision": 1,
    "sha256": "4b0f1f3c6f2a1f9d7f7a0f4e2a53c1d18e0b5a1d9d3f6c7b8a9e0f1d2c3b4a59",
    "what": "accepted",
}
_HASH = "Wz8mF2fBRHo5zpIPyd2m5g0c8sXQ3d8eVtJfZbqkGdE="


class ProofShape(BaseModel):
    """That an entry is in the log: its leaf, by the path, has the root that the checkpoint signs (RFC 6962)."""

    index: int = Field(examples=[1])
    entry: dict[str, Any] = Field(
        description="Its leaf hash is SHA-256 of a zero byte and these members in RFC 8785 form.", examples=[_ENTRY]
    )
    path: list[str] = Field(description="Hashes from the leaf up, in base64.", examples=[[_HASH, _HASH]])
    checkpoint: str = Field(description="A signed note (C2SP tlog-checkpoint).", examples=[_NOTE])


class ConsistencyShape(BaseModel):
    """That the log of `to` entries has the first `from` of them unchanged (RFC 6962, 2.1.2)."""

    from_: int = Field(alias="from", examples=[2])
    to: int = Field(examples=[3])
    path: list[str] = Field(description="Hashes in base64.", examples=[[_HASH]])
    checkpoint: str = Field(description="The newest checkpoint; its size is `to` where none was asked for.")


class LogEntry(BaseModel):
    """An entry at its place."""

    index: int = Field(examples=[1])
    leaf: str = Field(description="The leaf hash in base64.", examples=[_HASH])
    entry: dict[str, Any] = Field(examples=[_ENTRY])


class LogCheckpoint(BaseModel):
    """A checkpoint that was signed after some entry of the page."""

    checkpoint: str = Field(examples=[_NOTE])


class LogPage(BaseModel):
    """Entries in their order, and the checkpoints that were signed between them."""

    items: list[LogEntry]
    checkpoints: list[LogCheckpoint]
    next: int | None = Field(description="The `from` of the next page; null: there was nothing more.")


Number = Annotated[str, Query(json_schema_extra={"type": "integer", "minimum": 0, "maximum": 10**18 - 1})]


def _number(name: str, value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > 18:
        message = Text("Phải là số nguyên không âm.", "Must be an integer, not below 0.")
        raise MalformedRequest(message, errors=[Place(name, message)])
    return int(value)


async def _newest(connection: Any) -> KeptCheckpoint:
    newest = await newest_checkpoint(connection)
    if newest is None:
        raise ProofPending(Text("Nhật ký chưa bắt đầu.", "The log has not begun."), retry_after=1)
    return newest


@router.get(
    "/log/checkpoint",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"example": _NOTE}}}, **problems(404)},
)
async def read_checkpoint(gateway: GatewayParts) -> Response:
    """How far the log goes now, signed (C2SP tlog-checkpoint): keep it, and nobody can change what it covers unseen."""
    async with driver(gateway.engine) as connection:
        newest = await _newest(connection)
    return Response(newest.note, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


@router.get("/log/consistency", response_model=ConsistencyShape, responses=problems(400, 404))
async def read_consistency(
    gateway: GatewayParts,
    old: Annotated[Number, Query(alias="from", description="Size of the checkpoint that is held.")],
    new: Annotated[Number | None, Query(alias="to", description="Size of a later one; by default the newest.")] = None,
) -> Response:
    """The proof that the log only grew between two checkpoints."""
    async with driver(gateway.engine) as connection:
        newest = await _newest(connection)
        start = _number("from", old)
        end = newest.size if new is None else _number("to", new)
        if not start <= end <= newest.size:
            message = Text(
                f"Cần from ≤ to ≤ {newest.size}, là độ dài hiện tại.", f"from ≤ to ≤ {newest.size}, its size now."
            )
            raise MalformedRequest(message, errors=[Place("from" if start > end else "to", message)])
        path = await consistency_path(connection, start, end)
    return Json({"from": start, "to": end, "path": hashes_shown(path), "checkpoint": newest.note})


@router.get(
    "/log/entries",
    response_model=LogPage,
    responses={
        200: {"content": {NDJSON: {"schema": {"type": "string"}}}},
        **problems(400, 401, 403, 406),
    },
)
async def list_entries(
    request: Request,
    gateway: GatewayParts,
    caller: Operator,
    limit: Limit,
    start: Annotated[Number, Query(alias="from", description="The first entry's index.")] = "0",
) -> Response:
    """Entries of the log from a place on, with the checkpoints between them; for operators of the whole country.

    As NDJSON, with a line for each of both, it is what `gateway verify --log` reads.
    """
    require_whole_country(caller)
    first, wanted = _number("from", start), chosen_format(request, (JSON, NDJSON))
    async with driver(gateway.engine) as connection:
        page = await page_of(connection, first, limit)
    if wanted == NDJSON:
        return Response(b"".join(encode(each) + b"\n" for each in page.lines()), media_type=NDJSON)
    return Json(
        {
            "items": [entry_shown(each) for each in page.entries],
            "checkpoints": [checkpoint_shown(each) for each in page.checkpoints],
            "next": page.next,
        }
    )


_BEGINNING = timedelta(seconds=10)
"""A report may be received before the log's first checkpoint and be committed, and so sealed, after it."""


@router.get("/reports/{report}/proof", response_model=ProofShape, responses=problems(400, 401, 403, 404))
async def read_proof(
    report: UUID, gateway: GatewayParts, catalogue: NewestCatalogue, caller: Reader, today: Today
) -> Response:
    """The proof that the report's acceptance, or rejection, is in the log; with its receipt it is verified offline.

    404 `proof-pending`, with `Retry-After`, until it is sealed: a second or so after the receipt.
    """
    async with driver(gateway.engine) as connection:
        kept = await find_report(connection, report, catalogue)
        if kept is None:
            raise NotFound()
        require_covered(catalogue, caller, kept.head.agency, today)
        entry = await entry_of_report(connection, report)
        newest = await newest_checkpoint(connection)
        if entry is None or newest is None:
            since = await begun_at(connection)
            if since is not None and kept.head.received_at < since - _BEGINNING:
                raise NotFound(Text("Báo cáo có trước khi có nhật ký.", "The report was taken before there was a log."))
            raise ProofPending(retry_after=1)
        return Json(proof_shown(await prove(connection, entry, newest)))
