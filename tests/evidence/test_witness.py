"""Witnesses sign what they saw to have grown, and what they hold against the log is seen; nothing waits for them."""

import asyncio
import base64
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from factories import a_report
from forwarding import connect_upstream
from gateway.api.deps import Gateway
from gateway.db.engine import driver
from gateway.db.log import add_entries
from gateway.domain.entry import NewEntry
from gateway.evidence.merkle import InvalidProof, verify_consistency
from gateway.evidence.note import LogSigner, Signature, Verifier, cosign, line_of, open_checkpoint, read_note
from gateway.evidence.sealer import Sealer
from gateway.upstreams import Upstreams
from gateway.witnessing import Witnessing
from gateway_under_test import NewClient, accepted

COSIGNATURE = 4
NAME = "witness.example/w1"
NUMBERS = itertools.count()


@dataclass
class StandIn:
    """A witness as C2SP tlog-witness has it; it can be told to go wrong."""

    gateway: Gateway
    url: str = ""
    size: int = 0
    root: bytes = b""
    asked: list[int] = field(default_factory=list)
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    answer: Response | None = None
    signs_other_text: bool = False

    @property
    def verifier(self) -> Verifier:
        return Verifier(NAME, COSIGNATURE, self.key.public_key())

    async def add_checkpoint(self, request: Request) -> Response:
        head, _, note = (await request.body()).decode().partition("\n\n")
        first, *hashes = head.split("\n")
        old = int(first.removeprefix("old "))
        self.asked.append(old)
        if self.answer is not None:
            return self.answer
        signer = LogSigner(self.gateway.keys.log, self.gateway.settings.issuer)
        checkpoint = open_checkpoint(note, signer.verifiers)
        if old != self.size:
            return Response(f"{self.size}\n", 409, media_type="text/x.tlog.size")
        try:
            path = [base64.b64decode(each) for each in hashes]
            if self.size:
                verify_consistency(self.size, self.root, checkpoint.size, checkpoint.root, path)
        except InvalidProof:
            return Response(status_code=422)
        self.size, self.root = checkpoint.size, checkpoint.root
        text = "other\n" if self.signs_other_text else checkpoint.text
        value = cosign(text, self.key, datetime.now(UTC))
        return Response(line_of(Signature(NAME, self.verifier.key_id, value)), media_type="text/plain")


@asynccontextmanager
async def serving(witness: StandIn) -> AsyncIterator[None]:
    app = Starlette(routes=[Route("/w/add-checkpoint", witness.add_checkpoint, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        witness.url = f"http://127.0.0.1:{listening.getsockname()[1]}/w"
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield
        finally:
            server.should_exit = True
            await task


@pytest.fixture
async def witness(gateway: Gateway) -> AsyncIterator[StandIn]:
    stand_in = StandIn(gateway)
    async with serving(stand_in):
        options = {"vkey": stand_in.verifier.vkey}
        await connect_upstream(gateway, stand_in.url, "w1", kind="witness", what="none", options=options)
        yield stand_in


async def grow(gateway: Gateway, count: int) -> None:
    async with driver(gateway.engine) as connection:
        await add_entries(connection, [NewEntry(b'{"n":%d}' % next(NUMBERS)) for _ in range(count)])
        await Sealer(gateway.engine, LogSigner(gateway.keys.log, gateway.settings.issuer)).seal(connection)


async def ask(gateway: Gateway) -> None:
    upstreams = Upstreams(gateway.keys.secrets, 2)
    await Witnessing(gateway.engine, upstreams, timedelta()).witness()
    await upstreams.aclose()


async def state(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/v1/connectors/w1")
    found: dict[str, Any] = answer.json()["witness"]
    return found


async def test_a_witness_signs_each_newest_checkpoint_and_its_signature_is_published(
    gateway: Gateway, witness: StandIn, client_for: NewClient
) -> None:
    operator = await client_for("operations")
    for count in (3, 5, 20):
        await grow(gateway, count)
        await ask(gateway)
        text = (await operator.get("/v1/log/checkpoint")).text
        assert witness.verifier.verify(read_note(text)) is not None
        assert (await state(operator))["size"] == witness.size
    await ask(gateway)
    assert witness.asked == [0, *witness.asked[1:]]
    assert len(witness.asked) == 3
    assert (await state(operator))["failure"] is None


async def test_a_witness_that_knows_an_older_size_is_asked_from_there(
    gateway: Gateway, witness: StandIn, client_for: NewClient
) -> None:
    await grow(gateway, 3)
    await ask(gateway)
    kept = witness.size, witness.root
    await grow(gateway, 5)
    async with driver(gateway.engine) as connection:
        await connection.execute("UPDATE follows SET cursor = NULL, due_at = now()")
    await ask(gateway)
    assert witness.asked[-2:] == [0, kept[0]]
    assert (await state(await client_for("operations")))["failure"] is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Response(status_code=500), "answered 500"),
        (Response("nonsense", 409), "did not say what it knows"),
        (Response("99\n", 409), "contradiction: the witness has signed 99 entries, and the log has"),
        (Response("0\n", 409), "contradiction: the witness signed"),
        (Response(status_code=422), "contradiction: the witness does not find"),
        (Response("— x y\n"), "contradiction: what the witness signed"),
    ],
)
async def test_what_a_witness_says_against_the_log_is_seen_by_the_operator(
    gateway: Gateway, witness: StandIn, client_for: NewClient, answer: Response, words: str
) -> None:
    operator = await client_for("operations")
    await grow(gateway, 3)
    await ask(gateway)
    await grow(gateway, 3)
    witness.answer = answer
    await ask(gateway)
    assert words in (await state(operator))["failure"]
    witness.answer = None
    await ask(gateway)
    assert (await state(operator))["failure"] is None


async def test_a_signature_of_another_text_is_an_alarm(
    gateway: Gateway, witness: StandIn, client_for: NewClient
) -> None:
    witness.signs_other_text = True
    await grow(gateway, 3)
    await ask(gateway)
    assert "contradiction" in (await state(await client_for("operations")))["failure"]
    async with driver(gateway.engine) as connection:
        assert await connection.fetchval("SELECT count(*) FROM log_cosignatures") == 0


async def test_a_log_that_went_back_is_seen_by_its_witness(
    gateway: Gateway, witness: StandIn, client_for: NewClient
) -> None:
    await grow(gateway, 3)
    await ask(gateway)
    earlier = witness.size
    await grow(gateway, 3)
    await ask(gateway)
    async with driver(gateway.engine) as connection:
        await connection.execute("DELETE FROM log_entries WHERE index >= $1", earlier)
        await connection.execute("DELETE FROM log_checkpoints WHERE size > $1", earlier)
    await grow(gateway, 1)
    await ask(gateway)
    assert "went back" in (await state(await client_for("operations")))["failure"]
    await grow(gateway, 10)  # longer than before, with other entries: it hangs together, but not with what was signed
    await ask(gateway)
    assert "contradiction" in (await state(await client_for("operations")))["failure"]


async def test_a_witness_that_is_away_holds_up_nothing(gateway: Gateway, client_for: NewClient) -> None:
    key = Verifier(NAME, COSIGNATURE, Ed25519PrivateKey.generate().public_key()).vkey
    await connect_upstream(gateway, "http://127.0.0.1:9/w", "w1", kind="witness", what="none", options={"vkey": key})
    client = await client_for("reports:write", "reports:read", "operations")
    head = await accepted(client, a_report())
    await grow(gateway, 0)
    await ask(gateway)
    assert "could not connect" in (await state(client))["failure"]
    assert (await client.get(f"/v1/reports/{head['id']}/proof")).status_code == 200
    assert (await client.get("/v1/deliveries")).json()["items"] == []


async def test_a_witness_needs_its_key_and_takes_no_reports(client_for: NewClient) -> None:
    client = await client_for("operations")
    given = {"kind": "witness", "url": "https://w.example/", "what": "none"}
    for changes, pointer in (
        ({}, "/options/vkey"),
        ({"options": {"vkey": "x+y+z"}}, "/options/vkey"),
        ({"what": "own", "options": {"vkey": "x"}}, "/what"),
    ):
        answer = await client.put("/v1/connectors/w1", json=given | changes)
        assert answer.status_code == 400
        assert pointer in [each["pointer"] for each in answer.json()["errors"]]
