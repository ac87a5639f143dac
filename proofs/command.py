"""The command: which scenarios to run, how often, and what to print."""

import asyncio
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from proofs.broken import CONTROLS
from proofs.run import Result, run_all, workplace
from proofs.scenario import Order, Scenario
from proofs.scenarios import SCENARIOS

_SHOWN = 8
"""How many violations of one run are printed."""
_COLUMNS = ("requests", "acknowledged", "unknown", "arrivals", "duplicates", "crashes", "seconds")

out = Console(width=None if os.isatty(1) else 160)


def prove(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SCENARIO]…", help="All of them if absent.")] = None,
    seed: Annotated[int | None, typer.Option(help="What chance is drawn from; another each time if absent.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often every scenario is run.")] = 1,
    controls: Annotated[bool, typer.Option("--controls", help="Break every promise on purpose instead.")] = False,
    broken: Annotated[str | None, typer.Option(help="Break this one promise on purpose.")] = None,
    minutes: Annotated[float, typer.Option(min=0, help="How long to go on, where a scenario can: follow-changes.")] = 0,
    keep: Annotated[Path | None, typer.Option(help="A directory for ledgers and logs, which stays.")] = None,
) -> None:
    """Harm the gateway in every way and show that nothing is lost; or break its promises and show that it is seen."""
    if unknown := set(names or ()) - {each.name for each in SCENARIOS}:
        raise typer.BadParameter(f"there is no scenario {', '.join(sorted(unknown))}")
    if broken is not None and broken not in CONTROLS:
        raise typer.BadParameter(f"nobody knows how to break {broken}; there are {', '.join(CONTROLS)}")
    chosen = [each for each in SCENARIOS if not names or each.name in names]
    if minutes and (short := [each.name for each in chosen if not each.can_last]):
        raise typer.BadParameter(f"cannot go on for minutes: {', '.join(short)}")
    seed = secrets.randbelow(10_000) if seed is None else seed
    orders = list(_orders(chosen, seed, rounds, controls, broken, minutes))
    results: list[Result] = []
    with workplace(keep) as directory:
        for result in _in_turn(orders, directory):
            results.append(result)
            _tell(result)
    out.print(_table(results, seed))
    raise typer.Exit(0 if all(each.is_good for each in results) else 1)


def _orders(
    scenarios: Sequence[Scenario], seed: int, rounds: int, controls: bool, broken: str | None, minutes: float
) -> Iterator[Order]:
    for turn in range(rounds):
        for scenario in scenarios:
            for name in scenario.broken if controls else [broken]:
                yield Order(scenario, seed, turn, name, minutes)


def _in_turn(orders: Sequence[Order], directory: Path) -> Iterator[Result]:
    with asyncio.Runner() as runner:
        results = run_all(orders, directory)
        while (result := runner.run(anext(results, None))) is not None:
            yield result


def _tell(result: Result) -> None:
    out.print(f"{result.order}: {result.verdict}", highlight=False, markup=False)
    if not result.is_good:
        for violation in result.violations[:_SHOWN]:
            out.print(f"    {violation.promise}: {violation.subject} {violation.words}", highlight=False, markup=False)


def _table(results: Sequence[Result], seed: int) -> Table:
    table = Table(title=f"seed {seed}")
    for name in ("scenario", "seed", *_COLUMNS, "verdict"):
        table.add_column(name, justify="right" if name in _COLUMNS or name == "seed" else "left")
    for each in results:
        figures = [f"{value:.0f}" for value in each.figures] if each.figures else ["–"] * len(_COLUMNS)
        table.add_row(str(each.order), f"{each.order.seed}/{each.order.turn}", *figures, each.verdict)
    return table


def main() -> None:
    """Run the command."""
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(prove)
    command()
