"""A rolling upgrade as an operator does it, with the load on: ``python -m proofs.upgrade [REVISION]``.

The processes of an older version work while the schema goes ahead, and are then replaced one by one. The older version
is real: its code and migrations come from git, and its own command makes the database. At the end everything that was
acknowledged is stored, delivered and in order, nothing was answered but 201, and nobody was turned away or cut off but
by the port that was closed on purpose. ``--broken`` takes a column away while the older version runs: the proof has to
fail.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx

from gateway.db.embedded import EmbeddedServer
from proofs.pushing import Load, keys
from proofs.versions import PATIENCE, ROOT, Version, archived, free_port, stop, until_answering

BEFORE = "ad1d233"
"""The last version of which attempts were one table, and that knew no schema but its own."""
_PUSHERS = 4
_SCOPES = ("reports:write", "reports:read", "operations")
_HISTORY = """
WITH made AS (
    INSERT INTO deliveries
           (id, connector_id, report_id, event, agency_id, form_id, period, kind, state, attempts, made_at)
    SELECT gen_random_uuid(), 0, gen_random_uuid(), 'accepted', n, 1, '1998', 'own', 'delivered', 1,
           now() - random() * interval '300 days'
      FROM generate_series(1, $1::int) AS n
    RETURNING id, made_at
)
INSERT INTO attempts (delivery_id, number, started_at, finished_at, outcome, status, reason, reply)
SELECT id, 1, made_at, made_at + interval '20 ms', 'delivered', 201, 'taken', '{"duplicate": false}' FROM made
"""


@dataclass(slots=True)
class Outcome:
    """What came of it: figures to show, and what was not as it must be."""

    figures: dict[str, object]
    violations: list[str]


@dataclass(slots=True)
class Rolling:
    """An upgrade from one version to another on a database."""

    old: Version
    new: Version
    database: asyncpg.Connection
    seconds: float
    ports: list[int] = field(default_factory=lambda: [free_port(), free_port()])
    upstream: int = field(default_factory=free_port)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    phases: list[tuple[str, float]] = field(default_factory=list)
    """The name of each, and when it began."""
    figures: dict[str, object] = field(default_factory=dict)

    @property
    def arrivals(self) -> Path:
        """Where the upstream writes down what arrives."""
        return self.old.place / "arrivals"

    async def run(self, is_broken: bool) -> Load:
        """Do it, pushing all the while; what was pushed."""
        api, worker, load = await self._begin()
        given = keys()
        pushing = [asyncio.create_task(load.push(given)) for _ in range(_PUSHERS)]
        self._phase("old on its own schema")
        await asyncio.sleep(self.seconds)
        self._phase("migration")
        await self.new.run("migrate")
        self._phase("old on the new schema")
        ready = await until_answering(self.ports[0], "/readyz", (200, 503))
        self.figures["readiness of the old API then"] = f"{ready.status_code} {ready.text}"
        async with _broken(self.database, is_broken):
            await asyncio.sleep(self.seconds)
        self._phase("handover")
        self._start(self.new, "serve", "--no-worker", GATEWAY_PORT=str(self.ports[1]))
        self._start(self.new, "worker")
        await until_answering(self.ports[1], "/readyz")
        self.figures["the old worker took to end"] = f"{await stop(worker):.1f} s"
        self.figures["the old API took to end"] = f"{await stop(api):.1f} s"
        self._phase("new alone")
        await asyncio.sleep(self.seconds)
        load.is_over = True
        await asyncio.gather(*pushing)
        self._phase("end")
        return load

    async def _begin(self) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes], Load]:
        """Start the older version and an upstream it forwards to; its API, its worker and who will push."""
        made = await self.old.run("client", "create", "x", "--json", *(f"--scope={each}" for each in _SCOPES))
        self._start(self.new, "sandbox", "--port", str(self.upstream), "--record", str(self.arrivals))
        api = self._start(self.old, "serve", "--no-worker", GATEWAY_PORT=str(self.ports[0]))
        worker = self._start(self.old, "worker")
        await until_answering(self.ports[0], "/readyz")
        await until_answering(self.upstream, "/received")
        token = await _token(self.ports[0], json.loads(made))
        await _connect(self.ports[0], token, self.upstream)
        return api, worker, Load(token, self.ports)

    def _start(self, version: Version, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        process = version.start(*arguments, **settings)
        self.running.append(process)
        return process

    def _phase(self, name: str) -> None:
        self.phases.append((name, time.monotonic()))

    def end(self) -> None:
        """End what still runs."""
        for process in self.running:
            if process.poll() is None:
                process.terminate()
                process.wait()

    def times(self, load: Load) -> None:
        """How long pushes took, phase by phase."""
        for (name, start), (_, end) in zip(self.phases, self.phases[1:], strict=False):
            taken = [each.seconds for each in load.answers if start <= each.at < end]
            longest = 1000 * max(taken, default=0)
            self.figures[name] = f"{end - start:.1f} s, {len(taken)} pushes, the longest {longest:.0f} ms"


async def prove(
    revision: str = BEFORE, seconds: float = 6.0, history: int = 300_000, is_broken: bool = False
) -> Outcome:
    """Upgrade under load; each phase lasts so many seconds, and so many old attempts are there to be taken along."""
    with (
        tempfile.TemporaryDirectory(dir="/tmp", prefix="upgrade-") as name,  # a short path, for a socket
        EmbeddedServer(Path(name) / "postgresql") as postgres,
    ):
        place, url = Path(name), postgres.url.replace("+asyncpg", "")
        settings = {"GATEWAY_DATABASE_URL": url, "GATEWAY_DATA_DIR": str(place / "state")}
        old = Version("old", archived(revision, place / "before"), place, settings)
        await old.run("catalog", "load")
        async with _connected(url) as database:
            await database.execute(_HISTORY, history, timeout=600)
            rolling = Rolling(old, Version("new", ROOT, place, settings), database, seconds)
            try:
                load = await rolling.run(is_broken)
                states = await _settled(database)
            finally:
                rolling.end()
            return await _judge(rolling, load, states, history)


async def _judge(rolling: Rolling, load: Load, states: Counter[str], history: int) -> Outcome:
    arrivals = [json.loads(line)["id"] for line in rolling.arrivals.read_text().splitlines()]
    rows = await rolling.database.fetch("SELECT id::text FROM reports WHERE status <> 'rejected'")
    attempts = await rolling.database.fetchval("SELECT count(*) FROM attempts")
    found = list(_violations(load, arrivals, {row["id"] for row in rows}, states))
    if attempts < history + len(load.answers):
        found.append(f"of {history + len(load.answers)} attempts {attempts} are there")
    [began] = [at for name, at in rolling.phases if name == "handover"]
    found += [f"cut off by port {port}" for port, at in load.cut_off if port != rolling.ports[0] or at < began]
    rolling.times(load)
    rolling.figures |= {
        "acknowledged": len(load.answers),
        "by port": dict(Counter(each.port for each in load.answers)),
        "turned away by a closed port": dict(load.refusals),
        "cut off by a port that closed": len(load.cut_off),
        "arrived upstream": len(arrivals),
        "of these again": len(arrivals) - len(set(arrivals)),
        "attempts beyond one a delivery": attempts - history - len(load.answers),
        "complaints logged by the old version": dict(rolling.old.complaints()),
        "and by the new": dict(rolling.new.complaints()),
    }
    return Outcome(rolling.figures, found)


def _violations(load: Load, arrivals: Sequence[str], stored: set[str], states: Counter[str]) -> list[str]:
    """What was not as it must be; ``arrivals`` are reports in the order in which they came."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for place, report in enumerate(arrivals):
        first.setdefault(report, place)
        last[report] = place
    found = [f"failed: {each}" for each in load.failures]
    for each in load.answers:
        if each.report not in stored:
            found.append(f"{each.report} was acknowledged and is not stored")
        if each.report not in first:
            found.append(f"{each.report} was acknowledged and never delivered")
        elif each.corrects is not None and last.get(each.corrects, len(arrivals)) > first[each.report]:
            found.append(f"{each.corrects} came after its correction {each.report}")
    if set(states) != {"delivered"}:
        found.append(f"at the end deliveries are {dict(states)}")
    return found


@asynccontextmanager
async def _broken(database: asyncpg.Connection, is_broken: bool) -> AsyncIterator[None]:
    """For the negative control: what a migration that takes away too early does to the version before."""
    if is_broken:
        await database.execute("ALTER TABLE reports RENAME COLUMN findings TO taken_away")
    yield
    if is_broken:
        await database.execute("ALTER TABLE reports RENAME COLUMN taken_away TO findings")


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _token(port: int, client: Mapping[str, str]) -> str:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"http://127.0.0.1:{port}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(client["client_id"], client["client_secret"]),
        )
    token: str = answer.raise_for_status().json()["access_token"]
    return token


async def _connect(port: int, token: str, upstream: int) -> None:
    connector = {"kind": "http_json", "url": f"http://127.0.0.1:{upstream}/reports", "allow_private_addresses": True}
    async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"Bearer {token}"}) as http:
        answer = await http.put(f"http://127.0.0.1:{port}/v1/connectors/national", json=connector)
    answer.raise_for_status()


async def _settled(database: asyncpg.Connection) -> Counter[str]:
    """How many deliveries are in which state, once none is open any more or it took too long."""
    until = time.monotonic() + PATIENCE
    while True:
        rows = await database.fetch("SELECT state, count(*) AS n FROM deliveries WHERE connector_id <> 0 GROUP BY 1")
        states = Counter({row["state"]: row["n"] for row in rows})
        if not {"pending", "sending"} & set(states) or time.monotonic() > until:
            return states
        await asyncio.sleep(0.2)


async def main(arguments: Sequence[str] = ()) -> bool:
    """Upgrade from a revision, if one is given, and show what came of it; whether all was as it must be."""
    [revision, *_] = [*(each for each in arguments if each != "--broken"), BEFORE]
    outcome = await prove(revision, is_broken="--broken" in arguments)
    for name, figure in outcome.figures.items():
        print(f"{name}: {figure}")
    for violation in outcome.violations[:20]:
        print(f"VIOLATED {violation}")
    print(f"{len(outcome.violations)} violations" if outcome.violations else "holds")
    return not outcome.violations


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(sys.argv[1:])) else 1)
