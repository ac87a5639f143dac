"""The command: which scenarios to run, how often, and what to print."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from proofs.run import Result, ground, run, workplace
from proofs.scenario import Scenario
from proofs.scenarios import SCENARIOS

out = Console(width=None if os.isatty(1) else 160)
_SHOWN = 12


async def prove(scenarios: Sequence[Scenario], seed: int, rounds: int, broken: str | None, kept: Path | None) -> bool:
    """Run scenarios and show what came of each; whether all promises were kept."""
    holds = True
    with workplace(kept) as directory:
        async with ground(directory) as place:
            for turn in range(rounds):
                for scenario in scenarios:
                    result = await run(place, scenario, seed, turn, broken)
                    show(result)
                    holds &= result.holds
    return holds


def show(result: Result) -> None:
    out.print(
        result.began.scenario,
        result.requests,
        result.acknowledged,
        result.unknown,
        result.arrivals,
        result.duplicates,
        result.crashes,
        f"{result.seconds:.1f}s",
        "holds" if result.holds else "VIOLATED",
    )
    for violation in result.violations[:_SHOWN]:
        out.print("   ", *violation)


def prove_command(
    names: Annotated[list[str] | None, typer.Argument(metavar="SCENARIO…", help="All of them if absent.")] = None,
    seed: int = 1,
    rounds: Annotated[int, typer.Option(min=1)] = 1,
    broken: str | None = None,
    keep: Path | None = None,
) -> None:
    chosen = [each for each in SCENARIOS if not names or each.name in names]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        good = runner.run(prove(chosen, seed, rounds, broken, keep))
    raise typer.Exit(0 if good else 1)


def main() -> None:
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(prove_command)
    command()
