"""Runs: one scenario, once, on a stage of its own, and what the checker finds."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from proofs.books import Books, Fate
from proofs.check import Violation, check
from proofs.ledger import Began, Ledger
from proofs.postgres import prepared, running
from proofs.processes import Nursery
from proofs.scenario import Scenario
from proofs.stage import LEASE, Ground, Stage


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run, in figures and violations."""

    began: Began
    requests: int
    acknowledged: int
    unknown: int
    arrivals: int
    duplicates: int
    crashes: int
    seconds: float
    violations: list[Violation]

    @property
    def holds(self) -> bool:
        return not self.violations


@asynccontextmanager
async def ground(directory: Path, volume: Path | None = None) -> AsyncIterator[Ground]:
    """What runs share, in a directory; PostgreSQL on a volume of its own if one is given."""
    with running(volume or directory / "postgresql") as server:
        async with Nursery({}) as nursery:
            yield Ground(await prepared(server), nursery, directory)


async def run(ground: Ground, scenario: Scenario, seed: int, turn: int, broken: str | None = None) -> Result:
    """Let a scenario act once, and check what came of it."""
    began = Began(scenario=scenario.name, seed=seed, turn=turn, lease=LEASE, broken=broken)
    name = "-".join([scenario.name, str(seed), str(turn), *([broken] if broken else [])])
    chance = random.Random(f"{seed} {turn} {scenario.name}")  # noqa: S311 - to be repeated, not to be secret
    loop = asyncio.get_running_loop()
    started = loop.time()
    with Ledger(ground.directory / f"{name}.jsonl") as ledger:
        ledger.write(began)
        async with (
            ground.postgres.database(name) as database,
            Stage(ground, database, ledger, chance, scenario.settings, broken) as stage,
        ):
            async with asyncio.timeout(scenario.seconds):
                await scenario.act(stage)
            found = await stage.settle()
        ledger.path.with_suffix(".survey.json").write_bytes(msgspec.json.encode(found))
        return _result(began, Books(ledger.lines(), found), loop.time() - started)


def _result(began: Began, books: Books, seconds: float) -> Result:
    return Result(
        began,
        sum(each.tries for each in books.pushes.values()),
        len(books.with_fate(Fate.acknowledged)),
        len(books.with_fate(Fate.unknown)),
        len(books.arrivals),
        books.duplicates(),
        sum(each.what == "kill" for each in books.faults),
        seconds,
        check(books),
    )


@contextmanager
def workplace(kept: Path | None) -> Iterator[Path]:
    """A directory for everything: the one given, which stays, or one that is gone at the end."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="gateway-proofs-") as made:
        yield Path(made)
