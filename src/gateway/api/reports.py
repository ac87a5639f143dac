"""Routes of reporting systems: push, read, correct, return and withdraw reports."""

from contextlib import aclosing
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from gateway.access.scopes import Scope
from gateway.access.tokens import Caller
from gateway.api.batch import lines, receive_batch
from gateway.api.body import media_type_of, pieces, read_body, read_document, takes
from gateway.api.deps import (
    Gateway,
    GatewayParts,
    Lister,
    NewestCatalogue,
    Reader,
    Relayer,
    Reviewer,
    Spoken,
    Today,
    Writer,
)
from gateway.api.differences import DifferenceShape
from gateway.api.files import check_file, receive_file, report_type_of
from gateway.api.json import Json
from gateway.api.lists import Cursor, Limit, page, uuid_cursor
from gateway.api.parameters import ExactAgency, OnePeriod, OnlyForm, Under, form_key, require_period
from gateway.api.push import push_of
from gateway.api.refusals import problems
from gateway.api.relay import ENDED, RELAYED, ended_at, may_speak_for, relayed
from gateway.api.router import Router
from gateway.api.shapes import (
    BATCH_BODY,
    BATCH_LINES,
    PUSH_BODY,
    REJECTED,
    FullReport,
    History,
    Parts,
    Reason,
    ReportAnswer,
    ReportPage,
    Validation,
)
from gateway.api.signature import SIGNED, refuse_signature, signature_of
from gateway.api.subtree import agency_keys, require_covered
from gateway.db.engine import driver
from gateway.db.erasures import find_erasures
from gateway.db.reading import (
    KeptReport,
    Wanted,
    find_events,
    find_payload,
    find_report,
    find_reports,
    find_revisions,
)
from gateway.db.relays import KeptRelay, find_relay
from gateway.db.signatures import find_signature
from gateway.domain.catalogue import Catalogue
from gateway.domain.report import ReportKind, Status
from gateway.errors import Erased, Forbidden, Language, NotFound, Text
from gateway.flow.compare import compare
from gateway.flow.consolidate import asked_for, lineage, lineage_shown
from gateway.flow.review import Ending, end_report
from gateway.flow.show import decompress, ended, report_shown
from gateway.flow.unpack import JSON, READERS

router = Router(prefix="/v1/reports", tags=["reports"])


@router.post(
    "",
    status_code=201,
    response_model=ReportAnswer | Parts,
    openapi_extra=PUSH_BODY | {"parameters": [*PUSH_BODY["parameters"], SIGNED, *RELAYED]},
    responses={
        200: {"model": ReportAnswer | Parts, "description": "These bytes were kept before: that revision."},
        422: REJECTED,
        **problems(400, 401, 403, 404, 409, 413, 415, 500, 503),
    },
)
async def submit_report(request: Request, gateway: GatewayParts, caller: Relayer, language: Spoken) -> Response:
    """Submit a report, or a new revision of one (`corrects`).

    The answer is given after the report is safely stored. Send an `Idempotency-Key` and repeat the request
    as often as needed: it is stored once, and the same answer comes back byte for byte. What a file of another
    notation than JSON does not say comes as parameters; of several reports in a file each is stored or refused by
    itself, and the answer has `parts`. Another gateway, with scope
    `reports:relay`, says by `Report-*` that it took the report first: it keeps its id, and is as late as it was there.
    """
    first = await relayed(request, gateway, caller)
    media_type = report_type_of(request)
    settings = gateway.settings
    body = await read_body(request, settings.max_body_bytes, settings.body_timeout_seconds)
    signature = await signature_of(request, gateway, body, first)
    push = push_of(request, caller, language, body, media_type, "POST /v1/reports", first, signature)
    return await receive_file(gateway, caller, push)


@router.post(
    "/validate",
    response_model=Validation,
    openapi_extra=PUSH_BODY | {"parameters": [*PUSH_BODY["parameters"], SIGNED]},
    responses=problems(400, 401, 403, 404, 413, 415, 500, 503),
)
async def validate_report(request: Request, gateway: GatewayParts, caller: Writer, language: Spoken) -> Response:
    """Say what would be found wrong with a report; nothing is stored."""
    media_type = report_type_of(request)
    settings = gateway.settings
    body = await read_body(request, settings.max_body_bytes, settings.body_timeout_seconds)
    signature = await signature_of(request, gateway, body, None)
    route = "POST /v1/reports/validate"
    push = push_of(request, caller, language, body, media_type, route, signature=signature)
    return Json(await check_file(gateway, push))


@router.post(
    "/batch",
    openapi_extra=BATCH_BODY,
    response_class=StreamingResponse,
    responses={200: BATCH_LINES, **problems(400, 401, 403, 413, 415, 500, 503)},
)
async def submit_batch(request: Request, gateway: GatewayParts, caller: Writer, language: Spoken) -> Response:
    """Submit up to 10,000 reports, one a line; each is stored or refused by itself.

    The answer has one line for each, in order: what `POST /v1/reports` would have answered, with `line`. It
    starts after the whole body was read and stored. With an `Idempotency-Key`, line n has the key `…/n`. A line
    cannot be signed: where a regime requires a signature, the line is refused.
    """
    media_type_of(request, "application/x-ndjson")
    refuse_signature(request)
    settings = gateway.settings
    pattern = push_of(request, caller, language, b"", "application/json", "POST /v1/reports/batch")
    sent = pieces(request, settings.max_batch_bytes, settings.body_timeout_seconds)
    allow = partial(gateway.allowance.take_reports, caller.client, gateway.standing.limits(caller))
    async with aclosing(lines(sent, settings.max_body_bytes)) as source:
        spool = await receive_batch(gateway.intake, source, pattern, allow)
    return StreamingResponse(spool.read(), media_type="application/x-ndjson")


async def whole_report(
    gateway: Gateway, catalogue: Catalogue, kept: KeptReport, language: Language
) -> dict[str, object]:
    """A report as its readers see it."""
    head = kept.head
    async with driver(gateway.engine) as connection:
        shown = await report_shown(connection, kept, catalogue, language)
        relay = await find_relay(connection, head.id)
        signature = await find_signature(connection, head.id)
        found = None
        if head.kind is ReportKind.consolidation and head.status is not Status.rejected:
            asked = asked_for(catalogue, head.form, head.agency, head.period)
            found = await lineage(connection, catalogue, asked, head.id)
        return shown | {
            "consolidation": None if found is None else lineage_shown(found, catalogue),
            "relayed": None if relay is None else relay_shown(relay),
            "signer": None if signature is None else signature.signer.shown() | {"trusted": signature.trusted},
        }


def relay_shown(relay: KeptRelay) -> dict[str, object]:
    return {"issuer": relay.issuer, "received_at": relay.received_at, "receipt": relay.receipt}


async def _find(gateway: Gateway, catalogue: Catalogue, caller: Caller, report: UUID, today: Today) -> KeptReport:
    async with driver(gateway.engine) as connection:
        kept = await find_report(connection, report, catalogue)
    if kept is None:
        raise NotFound()
    require_covered(catalogue, caller, kept.head.agency, today)
    return kept


@router.get("", response_model=ReportPage, responses=problems(400, 401, 403, 404))
async def list_reports(
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Lister,
    language: Spoken,
    today: Today,
    limit: Limit,
    cursor: Cursor = None,
    agency: ExactAgency = None,
    under: Under = None,
    form: OnlyForm = None,
    period: OnePeriod = None,
    kind: ReportKind | None = None,
    status: Status | None = None,
) -> Response:
    """Reports of the subtree, newest first."""
    require_period(period)
    wanted = Wanted(
        agency_keys(catalogue, caller, agency, under, today),
        form_key(catalogue, form),
        period,
        kind.value if kind else None,
        status.value if status else None,
        uuid_cursor(cursor),
        limit + 1,
    )
    async with driver(gateway.engine) as connection:
        found = await find_reports(connection, wanted, catalogue)
    return Json(page(found, limit, lambda each: each.head.shown(language), lambda each: each.head.id))


@router.get("/{report}", response_model=FullReport, responses=problems(400, 401, 403, 404))
async def read_report(
    report: UUID,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Reader,
    language: Spoken,
    today: Today,
) -> Response:
    """One report with its rows; of a consolidation that was made here also what it was made from."""
    kept = await _find(gateway, catalogue, caller, report, today)
    return Json(await whole_report(gateway, catalogue, kept, language))


@router.get(
    "/{report}/payload",
    response_class=Response,
    responses={200: {"content": {each: {} for each in (JSON, *READERS)}}, **problems(400, 401, 403, 404, 410)},
)
async def read_payload(
    report: UUID, gateway: GatewayParts, catalogue: NewestCatalogue, caller: Reader, today: Today
) -> Response:
    """The exact bytes that were pushed, in their media type; 410 where they were erased for good."""
    kept = await _find(gateway, catalogue, caller, report, today)
    async with driver(gateway.engine) as connection:
        found = await find_payload(connection, kept)
        erasure = None if found else (await find_erasures(connection, [report])).get(report)
    if erasure is not None:
        raise Erased(extra={"erased_at": erasure.at, "reason": erasure.reason})
    if found is None:
        raise NotFound(Text("Nội dung đã hết thời hạn lưu.", "The bytes are past their retention."))
    return Response(decompress(found[1]), media_type=found[0])


@router.get("/{report}/history", response_model=History, responses=problems(400, 401, 403, 404))
async def read_history(
    report: UUID,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Reader,
    language: Spoken,
    today: Today,
) -> Response:
    """Every kept revision of the report's key, oldest first, with what happened to each."""
    kept = await _find(gateway, catalogue, caller, report, today)
    async with driver(gateway.engine) as connection:
        revisions = await find_revisions(connection, kept, catalogue)
        events = await find_events(connection, [each.head.id for each in revisions])
    items = [
        each.head.shown(language)
        | {
            "reason": each.reason,
            "ended": ended(events[each.head.id]),
            "events": [
                {"event": event.event, "at": event.at, "reason": event.reason, "connector": event.connector}
                for event in events[each.head.id]
            ],
        }
        for each in revisions
    ]
    return Json({"items": items, "next": None})


@router.get("/{report}/difference", response_model=DifferenceShape, responses=problems(400, 401, 403, 404))
async def read_difference(
    report: UUID,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Reader,
    today: Today,
    earlier: Annotated[
        UUID | None,
        Query(alias="from", description="Another revision of the same report; by default the one it `corrects`."),
    ] = None,
) -> Response:
    """What a correction changed: rows and figures before and after, with the reason it was made for.

    A first revision corrects nothing and has no difference (404), nor has a rejected report.
    """
    kept = await _find(gateway, catalogue, caller, report, today)
    async with driver(gateway.engine) as connection:
        return Json(await compare(connection, kept, earlier, catalogue))


@router.get(
    "/{report}/receipt",
    response_class=Response,
    responses={200: {"content": {"application/jose": {}}}, **problems(400, 401, 403, 404)},
)
async def read_receipt(
    report: UUID, gateway: GatewayParts, catalogue: NewestCatalogue, caller: Reader, today: Today
) -> Response:
    """The signed proof of acceptance: a compact JWS, checked with `/.well-known/jwks.json`."""
    kept = await _find(gateway, catalogue, caller, report, today)
    if kept.head.receipt is None:
        raise NotFound(Text("Báo cáo bị từ chối không có biên nhận.", "A rejected report has no receipt."))
    return Response(kept.head.receipt, media_type="application/jose")


@router.get(
    "/{report}/signature",
    response_class=Response,
    responses={200: {"content": {"application/jose": {}}}, **problems(400, 401, 403, 404)},
)
async def read_signature(
    report: UUID, gateway: GatewayParts, catalogue: NewestCatalogue, caller: Reader, today: Today
) -> Response:
    """The agency's signature exactly as it came: a detached JWS over the bytes of `…/payload`."""
    await _find(gateway, catalogue, caller, report, today)
    async with driver(gateway.engine) as connection:
        found = await find_signature(connection, report)
    if found is None:
        raise NotFound(Text("Báo cáo không có chữ ký.", "The report is not signed."))
    return Response(found.jws, media_type="application/jose")


@router.post(
    "/{report}/return",
    response_model=FullReport,
    openapi_extra=takes(Reason),
    responses=problems(400, 401, 403, 404, 409, 413, 415),
)
async def return_report(
    report: UUID,
    request: Request,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Reviewer,
    language: Spoken,
    today: Today,
) -> Response:
    """Return a report to its sender, with a reason: it stops counting until it is corrected."""
    given = await read_document(request, Reason)
    kept = await _find(gateway, catalogue, caller, report, today)
    relay = await may_speak_for(gateway, caller, Scope.reports_review, report)
    if relay is None and kept.head.agency == caller.agency:
        raise Forbidden(Text("Chỉ cấp trên mới được trả lại báo cáo.", "Only a level above may return a report."))
    ending = Ending(Status.returned, caller.client, given.reason)
    return await _end(gateway, catalogue, kept, ending, language)


@router.post(
    "/{report}/withdraw",
    response_model=FullReport,
    openapi_extra=takes(Reason) | {"parameters": ENDED},
    responses=problems(400, 401, 403, 404, 409, 413, 415),
)
async def withdraw_report(
    report: UUID,
    request: Request,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Relayer,
    language: Spoken,
    today: Today,
) -> Response:
    """Withdraw a report, with a reason: it stops counting; a new one needs no `corrects`."""
    given = await read_document(request, Reason)
    kept = await _find(gateway, catalogue, caller, report, today)
    await may_speak_for(gateway, caller, Scope.reports_write, report)
    at = ended_at(request, caller)
    ending = Ending(Status.withdrawn, caller.client, given.reason, at=at)
    return await _end(gateway, catalogue, kept, ending, language)


async def _end(
    gateway: Gateway, catalogue: Catalogue, kept: KeptReport, ending: Ending, language: Language
) -> Response:
    changed = await end_report(gateway.engine, catalogue, kept.head.id, ending)
    return Json(await whole_report(gateway, catalogue, changed, language))
