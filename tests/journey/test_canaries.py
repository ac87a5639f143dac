"""Secrets and what is in reports, planted in every flow: none is ever found where it does not belong."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import asyncpg
import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from answering import TOKEN, Upstream, needed_options, upstream
from factories import a_report, a_row, body
from gateway.access.assertions import ASSERTION_TYPE
from gateway.settings import Settings
from gateway_under_test import add_account, connected, shown
from signing import authority

SCOPES = ("reports:write", "reports:read", "operations", "clients:write", "aggregates:read")
CONNECTOR_SECRETS = {
    "bearer": "canary-bearer/of+the-connector-7731",
    "signing_secret": "whsec_Y2FuYXJ5LXNpZ25pbmctc2VjcmV0LTEyMzQ1Njc4",
}
OTHER_SECRETS: Mapping[str, Mapping[str, str]] = {
    "webhook": {"signing_secret": f"whsk_{b64encode(b'canary of a private key, 32 long').decode()}"},
    "lgsp": {"client_id": "lgsp-client", "client_secret": "canary/lgsp-secret+2210"},
    "ndxp": {"username": "ndxp-user", "password": 'canary"ndxp\\mật/khẩu-5512'},
    "dhis2": {"username": "dhis2-user", "password": "canary/dhis2+password-8120"},
}
"""What connectors of the other kinds keep, of which only names of users are not secret."""
_BASIC = [
    b64encode(f"{name}:{word}".encode()).decode()
    for name, word in (
        ("lgsp-client", quote_plus(OTHER_SECRETS["lgsp"]["client_secret"])),
        ("dhis2-user", OTHER_SECRETS["dhis2"]["password"]),
    )
]
KEPT_BY_CONNECTORS = [
    *CONNECTOR_SECRETS.values(),
    *(word for each in OTHER_SECRETS.values() for name, word in each.items() if name not in {"client_id", "username"}),
    *_BASIC,
    TOKEN,
]
IN_REPORTS = ("canary-explanation-4402", "canary-cell-9917", "canary-column-3305", "71932640558")
"""Texts and a figure that stand in reports: they belong into the database, and into what shows reports."""


@dataclass(slots=True)
class Found:
    """All that a gateway said while it was used, and the secrets that were given to it or by it."""

    secrets: list[str] = field(default_factory=lambda: [*KEPT_BY_CONNECTORS])
    problems: list[str] = field(default_factory=list)
    metrics: str = ""
    attempts: str = ""
    log: str = ""
    database: str = ""
    headers: list[str] = field(default_factory=list)

    def note(self, answer: httpx.Response) -> httpx.Response:
        self.headers += [name.lower() for name in answer.headers]
        if answer.status_code >= 400:
            self.problems.append(answer.text)
        return answer


@asynccontextmanager
async def serving(settings: Settings, url: str, log: Path) -> AsyncIterator[httpx.AsyncClient]:
    """``gateway serve`` with its worker, as an operator runs it, at the level that tells most."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")} | {
        "GATEWAY_DATABASE_URL": url.replace("+asyncpg", ""),
        "GATEWAY_DATA_DIR": str(settings.data_dir),
        "GATEWAY_PORT": str(port),
        "GATEWAY_LOG_LEVEL": "debug",
        "GATEWAY_WORKER_POLL_SECONDS": "0.05",
    }
    process = _started(environment, log)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            for _ in range(600):
                try:
                    await client.get("/healthz")
                    break
                except httpx.TransportError:
                    assert process.poll() is None
                    await asyncio.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)


def _started(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gateway", "serve"]
    with log.open("w") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


async def echo(told: str, writer: asyncio.StreamWriter) -> None:
    """A hostile upstream: it refuses, and repeats what it was told, written as many do."""
    said = json.dumps(told).replace("/", "\\/").replace("+", "\\u002B").encode()
    writer.write(b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))


@asynccontextmanager
async def failing(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """While the block runs the database refuses every report, and says what it was."""
    await connection.execute("ALTER TABLE reports ADD CONSTRAINT canary CHECK (reason IS NULL) NOT VALID")
    try:
        yield
    finally:
        await connection.execute("ALTER TABLE reports DROP CONSTRAINT canary")


async def use(client: httpx.AsyncClient, engine: AsyncEngine, system: Upstream, shut: Upstream) -> Found:
    """Every flow, well and badly; to one of the upstreams nobody can sign in."""
    found = Found()
    account = await add_account(engine, SCOPES, None)
    basic = (str(account.id), account.secret)
    granted = {"grant_type": "client_credentials"}
    token = shown(await client.post("/oauth/token", auth=basic, data=granted))["access_token"]
    found.secrets += [account.secret, token]
    bearer = {"Authorization": f"Bearer {token}", "Accept-Language": "en"}

    key = OKPKey.generate_key("Ed25519")
    jwks = {"keys": [key.as_dict(private=False) | {"kid": "k", "alg": "Ed25519"}]}
    keyed = {"name": "keyed", "scopes": ["reports:read"]}
    own = shown(await client.post("/v1/clients", json=keyed | {"jwks": jwks}, headers=bearer))["id"]
    made = shown(await client.post("/v1/clients", json=keyed, headers=bearer))
    found.secrets += [made["client_secret"], str(key.as_dict(private=True)["d"])]
    for issued_at in (0, -9999):
        assertion = _assertion(own, key, issued_at)
        found.secrets.append(assertion)
        form = granted | {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        for _ in range(2):  # the second time it is spent
            answer = found.note(await client.post("/oauth/token", data=form))
            found.secrets += [shown(answer)["access_token"]] if answer.status_code == 200 else []
    for wrong in ("canary-wrong-secret-5150", made["client_secret"] + "x"):
        found.secrets.append(wrong)
        found.note(await client.post("/oauth/token", auth=(basic[0], wrong), data=granted))
    for bad in (token[:-3] + "AAA", "canary-token-6621"):
        found.secrets.append(bad)
        found.note(await client.get("/v1/reports", headers={"Authorization": f"Bearer {bad}"}))
    found.note(await client.get("/sdmx/v2/structure/dataflow/VNGOV", auth=basic))
    found.note(await client.get("/sdmx/v2/structure/dataflow/VNGOV", auth=(basic[0], "canary-wrong-secret-5150")))

    connector = {"kind": "http_json", "url": system.url, "allow_private_addresses": True}
    with_secrets = connector | {"credentials": CONNECTOR_SECRETS}
    found.note(await client.put("/v1/connectors/up", json=with_secrets, headers=bearer))
    broken = connector | {"credentials": CONNECTOR_SECRETS | {"canary": "canary-unknown-8813"}, "kind": "dhis2"}
    found.secrets.append("canary-unknown-8813")
    found.note(await client.put("/v1/connectors/broken", json=broken, headers=bearer))

    signer = authority("Root CA").issue("Sở Tư pháp")
    found.secrets.append(signer.private.decode().splitlines()[1])

    async def push(document: object, **more: str) -> httpx.Response:
        content = document if isinstance(document, bytes) else body(document)
        headers = bearer | {"Content-Type": "application/json", **more}
        return found.note(await client.post("/v1/reports", content=content, headers=headers))

    explained = [{"rule": "R6", "row": {"sector": "LAND"}, "text": IN_REPORTS[0]}]
    for kind, credentials in OTHER_SECRETS.items():
        url = shut.url if kind == "ndxp" else system.url
        document = connector | {"kind": kind, "url": url, "options": needed_options(kind, url)}
        answer = await client.put(
            f"/v1/connectors/{kind}", json=document | {"credentials": credentials}, headers=bearer
        )
        assert answer.status_code == 201, answer.text

    report = a_report(explanations=explained)
    assert (await push(report)).status_code == 201
    wrong_cells = a_row(received_total=IN_REPORTS[1], **{IN_REPORTS[2].replace("-", "_"): 1})
    await push(a_report(period="2098-Q2", rows=[wrong_cells]))
    await push(b'{"form": "' + IN_REPORTS[1].encode() + b'", "form": 2')
    await push(a_report(period=IN_REPORTS[1]))
    another = a_report(period="2097-Q3", explanations=explained)
    await push(another, **{"Report-Signature": signer.sign(body(another))})
    await push(another, **{"Report-Signature": "canary-signature-1204"})
    found.secrets.append("canary-signature-1204")
    async with connected(engine) as connection, failing(connection):
        failed = await push(a_report(period="2098-Q1", reason=IN_REPORTS[0], rows=[a_row(pending_late=0)]))
        assert failed.status_code == 500
        lines = b"\n".join(
            body(a_report(period=period, reason=IN_REPORTS[0] if period == "2097-Q1" else None))
            for period in ("2097-Q1", "2097-Q2")
        )
        batch = bearer | {"Content-Type": "application/x-ndjson"}
        answer = await client.post("/v1/reports/batch", content=lines, headers=batch)
        assert [json.loads(line)["status"] for line in answer.text.splitlines()] == [500, "accepted"]

    for _ in range(300):
        items = shown(await client.get("/v1/deliveries", headers=bearer))["items"]
        if len(items) == 2 * (1 + len(OTHER_SECRETS)) and all(map(_is_tried, items)):
            break
        await asyncio.sleep(0.1)
    assert all(map(_is_tried, items))
    told = [shown(await client.get(f"/v1/deliveries/{each['id']}", headers=bearer)) for each in items]
    found.attempts = json.dumps([*told, shown(await client.get("/v1/connectors/up", headers=bearer))])
    found.metrics = (await client.get("/metrics")).text
    found.database = await everything_in(engine)
    return found


def _is_tried(delivery: dict[str, Any]) -> bool:
    """Whether an attempt has come to its end: refused, or to be made again."""
    return delivery["state"] in {"refused", "pending"} and delivery["outcome"] is not None


def _assertion(client: str, key: OKPKey, issued_at: int) -> str:
    now = int(time.time()) + issued_at
    claims: dict[str, Any] = {"iss": client, "sub": client, "aud": "http://127.0.0.1:8000", "iat": now}
    claims |= {"exp": now + 60, "jti": str(uuid7())}
    return jwt.encode({"alg": "Ed25519", "kid": "k"}, claims, key, algorithms=["Ed25519"])


async def everything_in(engine: AsyncEngine) -> str:
    """Every row of every table, as text."""
    async with connected(engine) as connection:
        tables = await connection.fetch(
            "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'"
        )
        parts = [
            await connection.fetchval(f"SELECT string_agg(t::text, E'\\n') FROM {each['name']} t") for each in tables
        ]
    return "\n".join(part for part in parts if part)


@pytest.fixture
async def found(engine: AsyncEngine, settings: Settings, database_url: str, tmp_path: Path) -> Found:
    log = tmp_path / "serve.log"

    async def answer(writer: asyncio.StreamWriter) -> None:
        await echo(str(system.requests[-1][0]), writer)

    async def refuse(writer: asyncio.StreamWriter) -> None:
        await echo(str(shut.sign_ins[-1]), writer)

    async with (
        upstream(answer) as system,
        upstream(answer, sign_in=refuse) as shut,
        serving(settings, database_url, log) as client,
    ):
        told = await use(client, engine, system, shut)
    told.log = log.read_text()
    keys = [line for path in settings.keys.glob("*.pem") for line in path.read_text().splitlines() if "KEY" not in line]
    told.secrets += [*keys, *(path.read_text() for path in settings.keys.glob("*.key"))]
    return told


async def test_no_secret_is_told_to_anybody_and_no_report_to_the_log(found: Found) -> None:
    assert "CheckViolationError" in found.log, "the control: what failed was logged"
    assert '"delivery attempted"' in found.log
    assert len(found.secrets) > 15
    problems = "\n".join(found.problems)
    for secret in found.secrets:
        hidden = secret.encode().hex()
        for place in (found.log, found.attempts, found.metrics, problems, found.database):
            assert secret not in place
            assert hidden not in place
    assert "***" in found.attempts, "the control: upstreams did repeat what they were told"
    for secret in set(KEPT_BY_CONNECTORS) - {TOKEN}:
        for part in re.findall(r"[A-Za-z0-9-]{8,}", secret):  # however the rest of it is written
            for place in (found.log, found.attempts, found.metrics, found.database):
                assert part not in place, secret
    for text in IN_REPORTS:
        for place in (found.log, found.metrics, found.attempts):
            assert text not in place, text
        assert text not in re.sub(r'"(actual|pointer|indicator)":"[^"]*"', "", problems), text
    assert IN_REPORTS[0] in found.database, "the control: reports are where they belong"
    assert "server" not in found.headers
