"""Reports in files: which notations are taken, and what a file with several reports is answered."""

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import Request, Response

from gateway.access.tokens import Caller
from gateway.api.deps import Gateway
from gateway.api.json import Json
from gateway.api.problems import problem
from gateway.api.push import answer_of
from gateway.domain.exact import decode
from gateway.errors import (
    GatewayError,
    MalformedRequest,
    PartsRefused,
    Place,
    Text,
    UnsupportedMediaType,
)
from gateway.flow.prepare import Push
from gateway.flow.receive import MAX_TOGETHER, Reply, check
from gateway.flow.unpack import CSV, JSON, READERS, SDMX_CSV, SDMX_GENERIC, SDMX_ML_3, SDMX_SPECIFIC, unpack

_CHARSETS = frozenset({"utf-8", "utf8"})
_PARAMETERS: Mapping[str, Mapping[str, frozenset[str]]] = {
    CSV: {"header": frozenset({"present"})},
    SDMX_CSV: {"version": frozenset({"1.0.0", "2.0.0"}), "labels": frozenset({"id"})},
    SDMX_GENERIC: {"version": frozenset({"2.1"})},
    SDMX_SPECIFIC: {"version": frozenset({"2.1"})},
    SDMX_ML_3: {"version": frozenset({"3.0.0"})},
}
"""What a media type may say besides, and what of it is taken (RFC 4180 section 3; SDMX-CSV, section 2)."""

_NAME = re.compile(r"[ \t]*([^ \t;,]+)[ \t]*")
_PARAMETER = re.compile(r"""[ \t]*;[ \t]*(?:([a-z]+)=([a-z0-9._-]+|"[a-z0-9._-]+"))?[ \t]*""")
_BESIDE = ThreadPoolExecutor(2, "files")
"""Reads files beside the event loop; few at a time, so that many large ones take little more memory."""


def report_type_of(request: Request) -> str:
    """The media type of a report, as it is kept: with its version and nothing else. Raises ``UnsupportedMediaType``."""
    name, given = _read(request.headers.get("content-type", "").lower())
    known = {"charset": _CHARSETS} | dict(_PARAMETERS.get(name, {}))
    unknown = [key for key, value in given.items() if value not in known.get(key, ())]
    if name not in {JSON, *READERS} or unknown:
        accepted = [JSON, *READERS]
        raise UnsupportedMediaType(
            Text(
                f"Chỉ nhận {', '.join(accepted)}, UTF-8.",
                f"This route takes {', '.join(accepted)}, in UTF-8.",
            ),
            extra={"accepted": accepted},
        )
    return f"{name};version={given['version']}" if "version" in given else name


def _read(field: str) -> tuple[str, dict[str, str]]:
    """A media type and its parameters (RFC 9110, 8.3.1); an empty name where the field is not well formed."""
    begun = _NAME.match(field)
    given: dict[str, str] = {}
    at = begun.end() if begun else 0
    while begun and at < len(field):
        found = _PARAMETER.match(field, at)
        if found is None or found[1] in given:
            return "", {}
        if found[1]:
            given[found[1]] = found[2].strip('"')
        at = found.end()
    return begun[1] if begun else "", given


async def unpacked(push: Push) -> list[Push]:
    """A push for each report of a body; large files are read beside the event loop. Raises as ``unpack`` does."""
    if push.media_type == JSON and not push.query:
        return [push]
    found = await asyncio.get_running_loop().run_in_executor(_BESIDE, unpack, push)
    if push.first is not None and len(found) > 1:
        message = Text(
            f"Tệp có {len(found)} báo cáo: phải nêu báo cáo nào.",
            f"The file has {len(found)} reports: it has to be said which one is relayed.",
        )
        raise MalformedRequest(errors=[Place("part", message)])
    return found


async def receive_file(gateway: Gateway, caller: Caller, push: Push) -> Response:
    """Receive the reports of a body: each is stored or refused by itself, in order."""
    pushes = await unpacked(push)
    limits = gateway.standing.limits(caller)
    allowed, refusal = await gateway.allowance.take_reports(caller.client, limits, len(pushes))
    if len(pushes) == 1:
        if refusal is not None:
            raise refusal
        return answer_of(await gateway.intake.receive(pushes[0]))
    replies: list[Reply] = []
    for start in range(0, allowed, MAX_TOGETHER):
        replies += await gateway.intake.receive_all(pushes[start : min(start + MAX_TOGETHER, allowed)])
    replies += [refusal] * (len(pushes) - allowed) if refusal is not None else []
    return _answer(pushes, replies, push)


def _answer(pushes: list[Push], replies: list[Reply], push: Push) -> Response:
    parts: list[dict[str, Any]] = []
    for each, reply in zip(pushes, replies, strict=True):
        body = problem(reply, push.language) if isinstance(reply, GatewayError) else decode(reply.body)
        parts.append(_named(each) | body)
    if any(reply.status >= 400 for reply in replies):
        raise PartsRefused(extra={"parts": parts})
    is_new = any(reply.status == 201 for reply in replies)
    return Json({"parts": parts}, 201 if is_new else 200)


def _named(push: Push) -> dict[str, object]:
    """Which report of a file it is, for those who wrote the file."""
    if push.unpacked is None:
        return {}
    envelope = push.unpacked.envelope
    return {
        "part": push.unpacked.part,
        "form": envelope.form,
        "agency": envelope.agency,
        "period": envelope.period,
    }


async def check_file(gateway: Gateway, push: Push) -> dict[str, object]:
    """What validation says of the reports of a body. Raises as ``check`` does for a body of one report."""
    pushes = await unpacked(push)
    shown: list[dict[str, Any]] = []
    for each in pushes:
        try:
            verdict = await check(gateway.intake, each)
        except GatewayError as error:
            if len(pushes) == 1:
                raise
            shown.append(_named(each) | {"accepted": False, "findings": []} | problem(error, push.language))
            continue
        findings = [finding.shown(push.language) for finding in verdict.findings]
        shown.append(_named(each) | {"accepted": not verdict.refused, "findings": findings})
    accepted = all(each["accepted"] for each in shown)
    together = {"accepted": accepted, "findings": [finding for each in shown for finding in each["findings"]]}
    return together if len(pushes) == 1 else together | {"parts": shown}
