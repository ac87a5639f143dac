"""Upstreams that fail, and upstreams that mean harm, beside ones that are well."""

import asyncio
import ssl
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proofs.ledger import Answered, Arrived, Measured
from proofs.processes import Process
from proofs.scenario import Scenario
from proofs.stage import Stage
from proofs.upstream import Behaviour, Exchange, taking

_MEMORY = 48 * 1024 * 1024
"""Bytes by which a worker may grow while upstreams try to make it grow without end."""
_LATENESS = 5.0
"""Seconds within which 99 of 100 reports arrive at an upstream that is well, whatever others do."""
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n"


async def stalling(exchange: Exchange) -> None:
    """Never answers."""
    await exchange.reader.read()


async def trickling(exchange: Exchange) -> None:
    """Answers one byte a second."""
    await exchange.write(_HEAD % (1000, b""))
    while True:
        await asyncio.sleep(1)
        await exchange.write(b".")


async def flooding(exchange: Exchange) -> None:
    """Answers 10 GB, and that it has taken the report."""
    exchange.note(200)
    await exchange.write(_HEAD % (10 * 1024**3, b""))
    while True:
        await exchange.write(b"." * 262_144)


async def bombing(exchange: Exchange) -> None:
    """Answers 256 KB that would inflate to 256 MB, and that it has taken the report."""
    exchange.note(200)
    await exchange.write(_HEAD % (len(_BOMB), b"Content-Encoding: gzip\r\n") + _BOMB)


async def splitting(exchange: Exchange) -> None:
    """Answers one byte after another, each with a length of its own, and that it has taken the report."""
    exchange.note(200)
    await exchange.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await exchange.write(b"1\r\n.\r\n" * 10_000)


async def hinting(exchange: Exchange) -> None:
    """Is about to answer, for ever (103 Early Hints)."""
    while True:
        await exchange.write(b"HTTP/1.1 103 Early Hints\r\nLink: </later>\r\n\r\n" * 100)
        await asyncio.sleep(0.001)


def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(1024**2)) for _ in range(256)) + packer.flush()


_BOMB = _bomb()


@dataclass(frozen=True, slots=True)
class Hostile:
    """What a hostile upstream does, what its attempts come to, and the state its deliveries are in."""

    behave: Behaviour
    outcomes: tuple[str, ...]
    state: str = "pending"


_HOSTILE: Mapping[str, Hostile] = {
    "stalling": Hostile(stalling, ("ambiguous",)),
    "trickling": Hostile(trickling, ("ambiguous",)),
    "hinting": Hostile(hinting, ("ambiguous",)),
    "flooding": Hostile(flooding, ("delivered",), "delivered"),
    "splitting": Hostile(splitting, ("delivered",), "delivered"),
    "bombing": Hostile(bombing, ("delivered",), "delivered"),
}


async def hostile_upstreams(stage: Stage) -> None:
    """Upstreams that refuse, stall, trickle, flood, split, bomb, hint for ever, have no good TLS; and a good one."""
    await stage.serve()
    worker = await stage.work()
    await stage.upstream("national")
    for name, hostile in _HOSTILE.items():
        await stage.upstream(
            name, behave=hostile.behave, outcomes=hostile.outcomes, ends=(hostile.state,), concurrency=4
        )
    await _unreachable(stage)
    watching = asyncio.create_task(_watched(stage, worker))
    async with stage.load(6, 0.4):
        await asyncio.sleep(8)
    watching.cancel()
    await asyncio.wait({watching})
    _measure_lateness(stage, "national")


async def _unreachable(stage: Stage) -> None:
    """Upstreams that no request ever reaches."""
    never = partial(stage.upstream, ends=("pending",), outcomes=("unreachable",), concurrency=4)
    (await stage.stub("refusing")).refuse()
    await never("refusing")
    await never("without-tls", scheme="https")
    await stage.stub("unknown-tls", tls=_own_tls())
    await never("unknown-tls", scheme="https")


def _own_tls() -> ssl.SSLContext:
    """TLS by a certificate that nobody vouches for."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = builder.not_valid_before(now).not_valid_after(now + timedelta(hours=1)).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(file.name)
    return context


async def _watched(stage: Stage, worker: Process) -> None:
    """Measure how much a worker grows, until cancelled."""
    before = most = worker.resident
    try:
        while True:
            most = max(most, worker.resident)
            await asyncio.sleep(0.05)
    finally:
        stage.ledger.write(Measured(what="bytes that the worker grew by", value=most - before, most=_MEMORY))


def _measure_lateness(stage: Stage, connector: str) -> None:
    """Measure how long after their receipts reports arrived."""
    lines = stage.ledger.lines()
    receipts = {each.report: each.at for each in lines if isinstance(each, Answered) and each.report is not None}
    waits = sorted(
        each.at - receipts[each.report]
        for each in lines
        if isinstance(each, Arrived) and each.connector == connector and each.event == "accepted"
    )
    value = waits[int(len(waits) * 0.99)] if waits else float("inf")
    stage.ledger.write(Measured(what=f"seconds until 99 % had arrived at {connector}", value=value, most=_LATENESS))


async def flaky_upstream(stage: Stage) -> None:
    """An upstream that is too busy, throttles, stalls or hangs up, now and then, while reports are corrected."""

    async def flaky(exchange: Exchange) -> None:
        match stage.chance.choice(["taking", "taking", "taking", "busy", "throttling", "stalling", "hanging up"]):
            case "busy":
                await exchange.answer(503)
            case "throttling":
                await exchange.answer(429, b"", "Retry-After: 1")
            case "stalling":
                await stalling(exchange)
            case "hanging up":
                exchange.reset()
            case _:
                await taking(exchange)

    await stage.begin(3)
    stage.upstreams["national"].behave = flaky
    async with stage.load(6):
        for _ in range(6):
            await asyncio.sleep(0.8)
            await stage.hasten()


SCENARIOS = [
    Scenario("hostile-upstreams", hostile_upstreams, ["reads-without-end", "one-at-a-time"]),
    Scenario("flaky-upstream", flaky_upstream, ["overtakes", "renames-repeats", "rewrites-repeats"]),
]
