"""The demonstration from its first line to its last: start everything, tell the story, keep serving or end."""

import asyncio
import signal
import time
from contextlib import suppress

from rich.console import Console

from gateway.db.engine import database
from gateway.demo.compare import check_figures
from gateway.demo.complete import check_completeness
from gateway.demo.conclude import Outcome, conclude, tell_what_to_open
from gateway.demo.consolidate import tell_consolidation, tell_refresh
from gateway.demo.deliver import check_deliveries
from gateway.demo.figures import CAPITAL, country
from gateway.demo.place import fresh
from gateway.demo.processes import Processes, free_port
from gateway.demo.push import push_country, tell_period
from gateway.demo.show import Show
from gateway.demo.stage import Stage
from gateway.demo.start import Addresses, staged, start
from gateway.demo.tell import tell_correction, tell_duplicate, tell_late, tell_receipt, tell_return, tell_wrong
from gateway.demo.unlock import tell_locked
from gateway.settings import Settings

_SANDBOX_PORT = 8900


async def run_demo(settings: Settings, once: bool, provinces: int, console: Console) -> bool:
    """Run the demonstration; True when every figure and every delivery was as it must be.

    Without ``once`` it goes on serving until Ctrl-C. Raises ``DemoError`` when it cannot go on.
    """
    started = time.monotonic()
    _end_cleanly_on_sigterm()
    show = Show(console)
    own = settings.model_copy(update={"data_dir": (settings.data_dir / "demo").resolve(), "database_url": None})
    addresses = Addresses(free_port(None if once else settings.port), free_port(None if once else _SANDBOX_PORT))
    with fresh(own.data_dir) as lock, database(own) as engine:
        async with Processes(own.data_dir / "logs", addresses.environment(own), lock.fileno()) as processes:
            accounts = await start(show, own, engine, processes, addresses)
            async with staged(show, own, processes, accounts, addresses) as stage:
                outcome = await processes.during(_perform(stage, provinces))
            good = conclude(show, outcome, time.monotonic() - started)
            if not once:
                tell_what_to_open(show, outcome, accounts[CAPITAL], addresses, own)
                await _serve(processes)
    return good


def _end_cleanly_on_sigterm() -> None:
    """Let SIGTERM end the demonstration as Ctrl-C does: with everything it started."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _perform(stage: Stage, provinces: int) -> Outcome:
    """The story, step by step."""
    batches = country(stage.periods.current, provinces)
    tell_period(stage)
    rate = await push_country(stage, batches)
    communes = [report for report in batches[0] if report.level == "commune"]
    await check_completeness(stage)
    await tell_late(stage)
    await tell_locked(stage)
    await tell_receipt(stage, *await tell_wrong(stage))
    await tell_duplicate(stage, communes[0])
    await tell_return(stage, communes[1])
    consolidation = await tell_consolidation(stage)
    await tell_correction(stage, communes[2])
    await tell_refresh(stage, consolidation, communes[2])
    delivery_rate = await check_deliveries(stage)
    compared = await check_figures(stage)
    reports = sum(map(len, batches))
    return Outcome(stage.periods, reports, rate, len(stage.owed), delivery_rate, compared, stage.faults)


async def _serve(processes: Processes) -> None:
    """Go on until Ctrl-C, or until a process ends that should run."""
    with suppress(asyncio.CancelledError):
        while True:
            processes.check()
            await asyncio.sleep(0.5)
