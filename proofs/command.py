"""The command: which scenarios to run, how often, and what to print."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from proofs.run import Result, ground, run, workplace
from proofs.scenario import Scenario
from proofs.scenarios import SCENARIOS

out = Console(width=None if os.isatty(1) else 160)
_SHOWN = 12


_COLUMNS = (
    *("scenario", "broken", "seed", "requests", "acknowledged", "unknown", "arrivals", "repeats", "killed", "seconds"),
    "verdict",
)
_LINE = "{:<20} {:<24} {:>6} {:>8} {:>12} {:>7} {:>8} {:>7} {:>6} {:>7}  {}"


async def control(scenarios: Sequence[Scenario], seed: int, kept: Path | None) -> bool:
    """Run each scenario with each guarantee broken on purpose; whether the checker found every one of them out."""
    found = True
    with workplace(kept) as directory:
        async with ground(directory) as place:
            for scenario in scenarios:
                for broken in scenario.broken:
                    result = await run(place, scenario, seed, 0, broken)
                    show(result, "found out" if not result.holds else "NOT FOUND OUT")
                    found &= not result.holds
    return found


async def prove(scenarios: Sequence[Scenario], seed: int, rounds: int, kept: Path | None) -> bool:
    """Run scenarios and show what came of each; whether all promises were kept."""
    holds = True
    with workplace(kept) as directory:
        async with ground(directory) as place:
            for turn in range(rounds):
                for scenario in scenarios:
                    result = await run(place, scenario, seed, turn)
                    show(result, "holds" if result.holds else "VIOLATED")
                    holds &= result.holds
    return holds


def show(result: Result, verdict: str) -> None:
    """A line of the table, and below it what was violated."""
    line = _LINE.format(
        result.began.scenario,
        result.began.broken or "",
        f"{result.began.seed}.{result.began.turn}",
        result.requests,
        result.acknowledged,
        result.unknown,
        result.arrivals,
        result.duplicates,
        result.crashes,
        f"{result.seconds:.1f}",
        verdict,
    )
    out.print(line, highlight=False)
    for violation in result.violations[:_SHOWN]:
        out.print("   ", *violation, highlight=False)


def prove_command(
    names: Annotated[list[str] | None, typer.Argument(metavar="SCENARIO…", help="All of them if absent.")] = None,
    seed: Annotated[int, typer.Option(help="What is drawn by chance is drawn from this.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is run, each time with other chances.")] = 1,
    controls: Annotated[bool, typer.Option(help="Break the guarantees on purpose: each has to be found out.")] = False,
    keep: Annotated[Path | None, typer.Option(help="A directory for ledgers and logs, which stays.")] = None,
) -> None:
    """Harm the gateway in every way, and check by a record kept outside that nothing was lost."""
    known = {each.name for each in SCENARIOS}
    if unknown := set(names or ()) - known:
        raise typer.BadParameter(f"no scenario {', '.join(sorted(unknown))}; there is {', '.join(sorted(known))}")
    chosen = [each for each in SCENARIOS if not names or each.name in names]
    out.print(_LINE.format(*_COLUMNS), highlight=False)
    with asyncio.Runner() as runner:
        good = runner.run(control(chosen, seed, keep) if controls else prove(chosen, seed, rounds, keep))
    raise typer.Exit(0 if good else 1)


def main() -> None:
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(prove_command)
    command()
