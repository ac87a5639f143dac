"""Everything is started: PostgreSQL, the API, a worker, the sandbox, and an account for each system taking part."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.access.accounts import create_client
from gateway.access.scopes import Scope
from gateway.demo.figures import CAPITAL
from gateway.demo.periods import periods_at
from gateway.demo.processes import Processes
from gateway.demo.remote import Account, answering, connection, expect, signed_in
from gateway.demo.show import Show
from gateway.demo.stage import Stage
from gateway.domain.calendar import civil_date
from gateway.ready import prepare
from gateway.settings import Settings

LEASE_SECONDS, ATTEMPT_SECONDS = 6, 4
"""Shorter than usual (15 and 10), so that nobody waits long for what a killed worker held."""
_LOCAL, _NATIONAL, _OPERATOR = "systems of ministries and provinces", "national system", "operator"
_SCOPES = {
    _LOCAL: (Scope.reports_write,),
    _NATIONAL: (Scope.aggregates_read, Scope.reports_read, Scope.reports_review),
    _OPERATOR: (Scope.operations,),
}
_HANOI_SCOPES = (Scope.reports_write, Scope.reports_read, Scope.aggregates_read)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the API and the sandbox listen, on this computer alone."""

    api_port: int
    sandbox_port: int

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    def environment(self, own: Settings) -> dict[str, str]:
        """The settings of the demonstration's processes."""
        return {
            "GATEWAY_DATA_DIR": str(own.data_dir),
            "GATEWAY_PORT": str(self.api_port),
            "GATEWAY_ISSUER": self.api,
            "GATEWAY_LEASE_SECONDS": str(LEASE_SECONDS),
            "GATEWAY_ATTEMPT_SECONDS": str(ATTEMPT_SECONDS),
        }


async def start(
    show: Show, own: Settings, engine: AsyncEngine, processes: Processes, addresses: Addresses
) -> dict[str, Account]:
    """Prepare the database, start every process on it, and give the accounts by name."""
    show.step("Khởi động", "Everything starts")
    await prepare(engine, own)
    show.done(f"PostgreSQL 18, migrated, with the bundled forms, code lists, agencies and regimes, in {own.data_dir}")
    pids = {
        "api": await processes.start("api", "serve", "--no-worker"),
        "worker": await processes.start("worker", "worker"),
        "sandbox": await processes.start("sandbox", "sandbox", "--port", str(addresses.sandbox_port)),
    }
    accounts = {name: await _account(engine, name, scopes) for name, scopes in _SCOPES.items()}
    await engine.dispose()
    accounts[CAPITAL] = await processes.during(_account_by_command(processes))
    await processes.during(_all_ready(addresses))
    show.table(
        ("Process", "#pid", "Address"),
        [
            ("gateway serve --no-worker", str(pids["api"]), addresses.api),
            ("gateway worker", str(pids["worker"]), "–"),
            ("gateway sandbox: the national system", str(pids["sandbox"]), addresses.sandbox),
        ],
    )
    show.done(
        f"Four API clients; Hà Nội's by the command 'gateway client create \"Hà Nội\" --agency {CAPITAL} --scope …'"
    )
    return accounts


async def _account(engine: AsyncEngine, name: str, scopes: Sequence[Scope]) -> Account:
    async with engine.begin() as transaction:
        return Account(*await create_client(transaction, name, scopes, None))


async def _account_by_command(processes: Processes) -> Account:
    """Ha Noi's account, made as its operator would."""
    scopes = [argument for scope in _HANOI_SCOPES for argument in ("--scope", scope.value)]
    made = json.loads(await processes.output("client", "create", "Hà Nội", "--agency", CAPITAL, *scopes, "--json"))
    return Account(made["client_id"], made["client_secret"])


async def _all_ready(addresses: Addresses) -> None:
    async with connection(addresses.api) as api, connection(addresses.sandbox) as sandbox:
        await answering(api, "/readyz")
        await answering(sandbox, "/healthz")


@asynccontextmanager
async def staged(
    show: Show, own: Settings, processes: Processes, accounts: dict[str, Account], addresses: Addresses
) -> AsyncIterator[Stage]:
    """Connections for each of the systems, with the sandbox connected as the gateway's upstream."""
    async with AsyncExitStack() as stack:
        names = (_LOCAL, CAPITAL, _NATIONAL, _OPERATOR)
        local, hanoi, national, operator = [
            await stack.enter_async_context(signed_in(addresses.api, accounts[name])) for name in names
        ]
        sandbox = await stack.enter_async_context(connection(addresses.sandbox))
        periods = await periods_at(national, civil_date(datetime.now(UTC)))
        stage = Stage(own.data_dir, show, processes, periods, local, hanoi, national, operator, sandbox)
        document = {
            "kind": "http_json",
            "url": f"{addresses.sandbox}/reports",
            "what": "all",
            "concurrency": 16,
            "allow_private_addresses": True,
        }
        await expect(201, stage.operator.put("/v1/connectors/national", json=document))
        show.done(
            "The sandbox is the gateway's upstream: PUT /v1/connectors/national, every accepted report goes there."
        )
        yield stage
