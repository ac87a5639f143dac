"""Runs: one scenario, once, on a stage of its own, and what the checker finds."""

import asyncio
import random
import shutil
import tempfile
import traceback
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from proofs.books import Books, Fate
from proofs.check import Violation, check
from proofs.faults.disk import NotPossible
from proofs.ledger import Began, Ledger
from proofs.postgres import prepared, running
from proofs.processes import Nursery
from proofs.scenario import Order
from proofs.stage import ATTEMPT, LEASE, Ground, Stage


class Figures(NamedTuple):
    """How much happened in a run."""

    requests: int
    acknowledged: int
    unknown: int
    arrivals: int
    duplicates: int
    crashes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run. ``trouble``: why there is none; ``is_possible``: whether there could have been one here."""

    order: Order
    figures: Figures | None = None
    violations: Sequence[Violation] = field(default_factory=list)
    trouble: str | None = None
    is_possible: bool = True

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept, or the one that was broken on purpose was missed."""
        if self.trouble is not None:
            return not self.is_possible
        return bool(self.violations) == (self.order.broken is not None)

    @property
    def verdict(self) -> str:
        if self.trouble is not None:
            return f"NOT RUN: {self.trouble}"
        found = ", ".join(sorted({each.promise for each in self.violations}))
        if self.order.broken is not None:
            return f"found: {found}" if found else "NOT FOUND"
        return f"BROKEN: {found}" if found else "holds"


async def run_all(orders: Sequence[Order], directory: Path) -> AsyncIterator[Result]:
    """Run one after another. What shares a PostgreSQL shares it; a run that needs its own gets that."""
    shared = [each for each in orders if each.scenario.volume is None]
    if shared:
        async with ground(directory, directory / "postgresql") as place:
            for order in shared:
                yield await _result(place, order)
    for order in orders:
        if order.scenario.volume is not None:
            try:
                with order.scenario.volume() as volume:
                    async with ground(directory, volume) as place:
                        yield await _result(place, order)
            except NotPossible as reason:
                yield Result(order, trouble=str(reason), is_possible=False)


@asynccontextmanager
async def ground(directory: Path, volume: Path) -> AsyncIterator[Ground]:
    """What runs share: keys, logs and ledgers in a directory, PostgreSQL on a volume."""
    with running(volume) as server:
        async with Nursery({}) as nursery:
            yield Ground(await prepared(server), nursery, directory)


async def _result(ground: Ground, order: Order) -> Result:
    """A run's result, also where it came to nothing."""
    try:
        return await run(ground, order)
    except NotPossible as reason:
        return Result(order, trouble=str(reason), is_possible=False)
    except Exception as error:
        (ground.directory / f"{order.name}.trouble").write_text(traceback.format_exc())
        return Result(order, trouble=f"{type(error).__name__} {error}".strip())


async def run(ground: Ground, order: Order) -> Result:
    """Let a scenario act once, let everything settle, and check what came of it."""
    scenario = order.scenario
    began = Began(
        scenario=scenario.name, seed=order.seed, turn=order.turn, lease=LEASE, attempt=ATTEMPT, broken=order.broken
    )
    chance = random.Random(f"{order.seed} {order.turn} {scenario.name}")  # noqa: S311 - to be repeated, not secret
    loop = asyncio.get_running_loop()
    started = loop.time()
    path = ground.directory / f"{order.name}.jsonl"
    path.unlink(missing_ok=True)
    with Ledger(path) as ledger:
        ledger.write(began)
        async with (
            ground.postgres.database(order.name) as database,
            Stage(
                ground, database, ledger, chance, order.turn, scenario.settings, order.broken, order.minutes
            ) as stage,
        ):
            async with asyncio.timeout(scenario.seconds + 60 * order.minutes):
                await scenario.act(stage)
            found = await stage.settle()
        path.with_suffix(".survey.json").write_bytes(msgspec.json.encode(found))
        books = Books(ledger.lines(), found)
        return Result(order, _figures(books, loop.time() - started), check(books))


def _figures(books: Books, seconds: float) -> Figures:
    return Figures(
        sum(each.tries for each in books.pushes.values()),
        len(books.with_fate(Fate.acknowledged)),
        len(books.with_fate(Fate.unknown)),
        len(books.arrivals),
        books.duplicates(),
        sum(each.what == "kill" for each in books.faults),
        seconds,
    )


@contextmanager
def workplace(kept: Path | None) -> Iterator[Path]:
    """A directory for everything: the one given, which stays, or one that is gone at the end."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    made = Path(tempfile.mkdtemp(prefix="gateway-proofs-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
