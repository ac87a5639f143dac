"""The demonstration from its first line to its last: start everything, tell the story, keep serving or end."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.access.accounts import create_client
from gateway.access.scopes import Scope
from gateway.db.engine import database
from gateway.demo.compare import check_figures
from gateway.demo.deliver import check_deliveries
from gateway.demo.figures import CAPITAL, FORM, LAND_DEPARTMENT, Report, country
from gateway.demo.place import fresh
from gateway.demo.processes import Processes, free_port
from gateway.demo.push import push_quarter
from gateway.demo.quarters import Quarters, quarters_at
from gateway.demo.remote import Account, answering, connection, expect, signed_in
from gateway.demo.show import Show, number
from gateway.demo.stage import Stage
from gateway.demo.tell import tell_correction, tell_duplicate, tell_late, tell_return, tell_wrong
from gateway.serve import prepare
from gateway.settings import Settings

SANDBOX_PORT = 8900
_LEASE, _ATTEMPT = 6, 4
"""Seconds; shorter than usual (15 and 10), so that nobody waits long for what a killed worker held."""
_CITY_SCOPES = (Scope.reports_write, Scope.reports_read, Scope.aggregates_read)
_SCOPES = {
    "systems of ministries and provinces": (Scope.reports_write,),
    "national system": (Scope.aggregates_read, Scope.reports_read, Scope.reports_review),
    "operator": (Scope.operations,),
}


async def run_demo(settings: Settings, once: bool, provinces: int, console: Console) -> bool:
    """Run the demonstration; True when every figure and every delivery was as it must be.

    Without ``once`` it goes on serving until Ctrl-C. Raises ``DemoError`` when it cannot go on.
    """
    started = time.monotonic()
    _end_cleanly_on_sigterm()
    show = Show(console)
    directory = settings.data_dir / "demo"
    with fresh(directory) as lock:
        ports = free_port(None if once else settings.port), free_port(None if once else SANDBOX_PORT)
        environment = _environment(directory, ports[0])
        async with AsyncExitStack() as stack:
            own = Settings(data_dir=directory, database_pool=2)
            engine = stack.enter_context(database(own))
            processes = await stack.enter_async_context(Processes(directory / "logs", environment, lock.fileno()))
            accounts = await _prepare(show, engine, own, processes, ports, started)
            stage = await stack.enter_async_context(_stage(show, processes, accounts, ports))
            good = await processes.during(_perform(stage, provinces, started))
            if not once:
                _tell_what_to_open(stage, accounts[CAPITAL], directory, ports)
                await _serve(processes)
    return good


def _end_cleanly_on_sigterm() -> None:
    """Stop the children on SIGTERM too, as Ctrl-C does by itself."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _environment(directory: Path, port: int) -> dict[str, str]:
    return {
        "GATEWAY_DATA_DIR": str(directory.resolve()),
        "GATEWAY_PORT": str(port),
        "GATEWAY_ISSUER": f"http://127.0.0.1:{port}",
        "GATEWAY_LEASE_SECONDS": str(_LEASE),
        "GATEWAY_ATTEMPT_SECONDS": str(_ATTEMPT),
    }


async def _prepare(
    show: Show, engine: AsyncEngine, own: Settings, processes: Processes, ports: tuple[int, int], started: float
) -> dict[str, Account]:
    """Everything that runs, and an account for each system that takes part."""
    show.step("Khởi động", "Everything starts")
    await prepare(engine, own)
    show.done(f"PostgreSQL 18, migrated, with the bundled catalogue, in {own.data_dir} ({_since(started)})")
    api = await processes.start("api", "serve", "--no-worker")
    worker = await processes.start("worker", "worker")
    sandbox = await processes.start("sandbox", "sandbox", "--port", str(ports[1]))
    accounts = {name: await _account(engine, name, scopes) for name, scopes in _SCOPES.items()}
    scopes = [argument for scope in _CITY_SCOPES for argument in ("--scope", scope.value)]
    command = ("client", "create", "Hà Nội", "--agency", CAPITAL, *scopes, "--json")
    made = json.loads(await processes.during(processes.output(*command)))
    accounts[CAPITAL] = Account(made["client_id"], made["client_secret"])
    await engine.dispose()
    for port, path in zip(ports, ("/readyz", "/healthz"), strict=True):
        async with connection(f"http://127.0.0.1:{port}") as http:
            await processes.during(answering(http, path))
    show.table(
        ("Process", "#pid", "Command", "Address"),
        [
            ("API", str(api), "gateway serve --no-worker", f"http://127.0.0.1:{ports[0]}"),
            ("Worker", str(worker), "gateway worker", "–"),
            ("National system (sandbox)", str(sandbox), "gateway sandbox", f"http://127.0.0.1:{ports[1]}"),
        ],
    )
    show.done(f"Four API clients, one of them by 'gateway client create \"Hà Nội\" --agency {CAPITAL} …'")
    return accounts


async def _account(engine: AsyncEngine, name: str, scopes: Sequence[Scope]) -> Account:
    async with engine.begin() as database_connection:
        return Account(*await create_client(database_connection, name, scopes, None))


@asynccontextmanager
async def _stage(
    show: Show, processes: Processes, accounts: dict[str, Account], ports: tuple[int, int]
) -> AsyncIterator[Stage]:
    url = f"http://127.0.0.1:{ports[0]}"
    async with AsyncExitStack() as stack:
        local, national, operator = [
            await stack.enter_async_context(signed_in(url, accounts[name])) for name in _SCOPES
        ]
        hanoi = await stack.enter_async_context(signed_in(url, accounts[CAPITAL]))
        sandbox = await stack.enter_async_context(connection(f"http://127.0.0.1:{ports[1]}"))
        yield Stage(show, processes, quarters_at(datetime.now(UTC)), local, hanoi, national, operator, sandbox)


async def _perform(stage: Stage, provinces: int, started: float) -> bool:
    await _connect(stage)
    quarter = stage.quarters.current
    batches = country(quarter.code, quarter.end, provinces)
    stage.show.step("Báo cáo quý của cả nước", f"The country reports for {quarter.code}, in form II.06a/VPCP/KSTT")
    _tell_quarter(stage.show, stage.quarters)
    rate = await push_quarter(stage, batches)
    await tell_late(stage)
    await tell_wrong(stage)
    communes = _communes(batches[0])
    await tell_duplicate(stage, communes[0])
    await tell_correction(stage, communes[1])
    await tell_return(stage, communes[2])
    await check_deliveries(stage)
    compared = await check_figures(stage)
    _conclude(stage, rate, compared, started)
    return not stage.faults
