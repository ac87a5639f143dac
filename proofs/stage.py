"""The stage of one run: a database of its own, and the processes, upstreams and links that a scenario asks for."""

import asyncio
import random
import socket
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from typing import Any

import httpx

from proofs.ledger import Connected, Fault, Ledger, Observed
from proofs.load import Client, Key, Load, keys
from proofs.postgres import Postgres
from proofs.processes import Nursery, Process
from proofs.survey import Survey, survey
from proofs.upstream import Behaviour, Upstream, taking

LEASE, ATTEMPT = 3.0, 1.2
"""Seconds of a lease and of an attempt in the runs: shorter than as shipped, so that waiting for one costs less."""
SIGNING_SECRET = "whsec_" + b64encode(token_bytes(32)).decode()
_SETTLE = 45.0
"""Seconds in which everything has to be delivered once all is well again."""
_START = 30.0
_STARTED = {"GATEWAY_LEASE_SECONDS": str(LEASE), "GATEWAY_ATTEMPT_SECONDS": str(ATTEMPT)} | {
    "GATEWAY_WORKER_POLL_SECONDS": "0.3",
    "GATEWAY_DATABASE_POOL": "8",
    "GATEWAY_DRAIN_SECONDS": "5",
    "GATEWAY_TOKEN_SECONDS": "3600",
    "GATEWAY_LOSS_LIMIT": "50",
}


@dataclass(frozen=True, slots=True)
class Ground:
    """What runs share: PostgreSQL, the nursery of processes, and a directory for keys, logs and ledgers."""

    postgres: Postgres
    nursery: Nursery
    directory: Path


class NotRun(RuntimeError):
    """A process did not start, or ended by itself: the run says nothing about the promises."""


class Stage:
    """What a scenario acts on. Everything it draws by chance comes from ``chance``."""

    def __init__(
        self,
        ground: Ground,
        database: str,
        ledger: Ledger,
        chance: random.Random,
        turn: int,
        settings: Mapping[str, str],
        broken: str | None,
        minutes: float = 0,
    ) -> None:
        self.postgres, self.ledger, self.chance = ground.postgres, ledger, chance
        self.turn = turn
        """How often this scenario was run with this seed before."""
        self.minutes = minutes
        """How long to go on, where a scenario can; 0: as long as it does by itself."""
        self.broken = broken
        """The promise that is broken on purpose in this run, if one is."""
        self.database = database
        """Name of this run's database."""
        self.http = httpx.AsyncClient(timeout=5, trust_env=False, limits=httpx.Limits(keepalive_expiry=1))
        """Speaks to the API with every right."""
        self.api: Process | None = None
        self.workers: list[Process] = []
        self.upstreams: dict[str, Upstream] = {}
        self.wells: set[str] = set()
        """Names of upstreams that deliver in the end."""
        self._ground, self._settings = ground, settings
        self._urls: dict[str, str] = {}
        self._started: list[Process] = []
        self._port = free_port()
        self._keys = keys()
        self._client = Client(self.http, ledger, chance)
        self._ending = AsyncExitStack()

    async def __aenter__(self) -> "Stage":
        self._ending.push_async_callback(self.http.aclose)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await asyncio.gather(*(each.end() for each in self._started if each.is_wanted))
        await self._ending.aclose()

    # What a scenario brings up

    async def begin(self, workers: int = 2, *, api_port: int | None = None, worker_port: int | None = None) -> None:
        """The usual: an API, three upstreams of two kinds, and workers; each through a port if one is given."""
        await self.serve(api_port)
        await self.upstream("national")
        await self.upstream("hanoi", under="H26")
        await self.upstream("office", kind="webhook")
        for _ in range(workers):
            await self.work(worker_port)

    async def serve(self, port: int | None = None) -> Process:
        """Start the API, which reaches PostgreSQL through a ``port`` if one is given; wait until it answers.

        Started again after a kill it listens where it did, and goes through the port it went through.
        """
        self.api = await self._start("api", ["serve", "--no-worker"], port)
        self.http.base_url = f"http://127.0.0.1:{self._port}"
        await self._until_answering(self.api)
        if "authorization" not in self.http.headers:
            answer = await self.http.post(
                "/oauth/token", data={"grant_type": "client_credentials"}, auth=self.postgres.account
            )
            self.http.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
        return self.api

    @property
    def running_api(self) -> Process:
        """The API, which has to be up."""
        assert self.api is not None
        return self.api

    async def work(self, port: int | None = None, nursery: Nursery | None = None) -> Process:
        """Start one more worker, which reaches PostgreSQL through a ``port`` if one is given; in another nursery if
        that is."""
        worker = await self._start("worker", ["worker"], port, nursery)
        self.workers.append(worker)
        return worker

    async def upstream(
        self,
        name: str = "national",
        *,
        kind: str = "http_json",
        under: str | None = None,
        behave: Behaviour = taking,
        port: int | None = None,
        scheme: str = "http",
        host: str = "127.0.0.1",
        ends: Sequence[str] = ("delivered",),
        outcomes: Sequence[str] | None = None,
        **document: object,
    ) -> Upstream:
        """A stub upstream and the connector to it, through a ``port`` if one is given; the API has to be up.

        ``ends`` are the states its deliveries may be in at the end, ``outcomes`` what its attempts may come to.
        """
        stub = self.upstreams.get(name) or await self.stub(name, behave)
        credentials = {"signing_secret": SIGNING_SECRET} if kind == "webhook" else None
        document = {"kind": kind, "under": under, "allow_private_addresses": True, "concurrency": 16, **document}
        document |= {"url": f"{scheme}://{host}:{port or stub.port}/reports", "credentials": credentials}
        (await self.http.put(f"/v1/connectors/{name}", json=document)).raise_for_status()
        self.ledger.write(Connected(name=name, under=under, ends=ends, outcomes=outcomes))
        if tuple(ends) == ("delivered",):
            self.wells.add(name)
        return stub

    async def stub(self, name: str, behave: Behaviour = taking, **options: Any) -> Upstream:
        """A stub upstream that no connector leads to yet."""
        made = Upstream(name, self.ledger, behave, **options)
        self.upstreams[name] = await self._ending.enter_async_context(made)
        return made

    async def hasten(self) -> None:
        """Let everything that waits out a back-off be tried now, at upstreams that are well."""
        for name in sorted(self.wells):
            with suppress(httpx.TransportError):
                await self.http.post(f"/v1/connectors/{name}/retry", json={"reason": "healed"})

    async def observe(self, delivery: str) -> str:
        """The state that a delivery is in now, which is put down."""
        state = str((await self.http.get(f"/v1/deliveries/{delivery}")).raise_for_status().json()["state"])
        self.ledger.write(Observed(delivery=delivery, state=state))
        return state

    async def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        """Wait for something to become true. Raises ``TimeoutError``."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - of things outside
                await asyncio.sleep(0.01)

    def load(self, senders: int = 8, pause: float = 0.15, *, is_amended: bool = True) -> Load:
        """Senders at work for as long as an ``async with`` block runs."""
        return Load(self._client, self._keys, self.chance, senders, pause, is_amended)

    @property
    def client(self) -> Client:
        """Sends single reports."""
        return self._client

    def key(self) -> Key:
        """The key of a report that nobody has sent yet."""
        return next(self._keys)

    async def entered(self, fault: Any) -> Any:
        """Enter a link, a wire or a volume, which is left when the run is over."""
        return await self._ending.enter_async_context(fault)

    def note(self, what: str, who: str) -> None:
        """Put down in the ledger that something was done, which may leave what is under way unclear."""
        self.ledger.write(Fault(what=what, who=who))

    async def wait(self, shortest: float, longest: float) -> None:
        """Wait for a time drawn by chance."""
        await asyncio.sleep(self.chance.uniform(shortest, longest))

    # What is done once the scenario has acted

    async def settle(self) -> Survey:
        """Bring back what is gone, let everything be delivered, end the workers, and ask what there is."""
        await self.postgres.start()
        for name in self.wells:
            self.upstreams[name].behave = taking
        for process in self._started:
            process.resume()
        self.workers = [each for each in self.workers if each.is_wanted]
        if self.api is None or not self.api.is_wanted:
            await self.serve()
        if not self.workers:
            await self.work()
        await self._until_delivered()
        self._require_alive()
        await asyncio.gather(*(each.end() for each in self.workers))
        return await survey(self.http)

    def _require_alive(self) -> None:
        gone = [each.name for each in self._started if each.is_wanted and not each.is_alive]
        if gone:
            raise NotRun(f"{', '.join(gone)} ended without being told to; the logs say why")

    async def _until_delivered(self) -> None:
        """Wait, hastening what waits out its back-off; what is not delivered in time the checker finds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _SETTLE
        while loop.time() < until and await self._open():
            await self.hasten()
            await asyncio.sleep(0.3)

    async def _open(self) -> bool:
        """Whether anything is still on its way to an upstream that is well."""
        for state in ("pending", "sending"):
            for name in sorted(self.wells):
                try:
                    answer = await self.http.get(
                        "/v1/deliveries", params={"connector": name, "state": state, "limit": 1}
                    )
                except httpx.TransportError:
                    return True
                if not answer.is_success or answer.json()["items"]:
                    return True
        return False

    async def _start(
        self, name: str, arguments: Sequence[str], port: int | None, nursery: Nursery | None = None
    ) -> Process:
        if port is not None or name not in self._urls:
            self._urls[name] = self.postgres.url(self.database, port)
        environment = _STARTED | {
            "GATEWAY_DATABASE_URL": self._urls[name],
            "GATEWAY_DATA_DIR": str(self._ground.directory),
            "GATEWAY_PORT": str(self._port),
            **self._settings,
        }
        called = f"{name}-{len(self._started) + 1}"
        log = self.ledger.path.with_name(f"{self.ledger.path.stem}-{called}.log")
        pid = await (nursery or self._ground.nursery).start(arguments, environment, log, self.broken)
        self._started.append(Process(called, pid, self.ledger))
        return self._started[-1]

    async def _until_answering(self, api: Process) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _START
        while api.is_alive and loop.time() < until:
            try:
                if (await self.http.get("/healthz")).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.02)
        raise NotRun(f"{api.name} does not answer")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
