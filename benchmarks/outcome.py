"""What a benchmark found: rounds of the bare thing and ours in turns, as ratios with the figures beside them."""

from dataclasses import dataclass, field
from statistics import median

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rounds of (bare, ours), taken in turns so that both meet the same noise; ``aim`` is of ours over bare."""

    name: str
    unit: str
    rounds: list[tuple[float, float]]
    aim: str = ""
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        return sorted(ours / bare for bare, ours in self.rounds)

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "unit": self.unit,
            "aim": self.aim,
            "ratio": round(median(self.ratios), 3),
            "ratios": [round(each, 3) for each in self.ratios],
            "bare": median(bare for bare, _ in self.rounds),
            "ours": median(ours for _, ours in self.rounds),
            "notes": self.notes,
        }


def as_table(title: str, comparisons: list[Comparison]) -> Table:
    """Ratios first; the spread is over the rounds."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("ratio", "spread", "aim", "ours", "bare"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    table.add_column("beside it (CPU in µs for a report)")
    for each in comparisons:
        ratios = each.ratios
        table.add_row(
            each.name,
            f"[bold]{median(ratios):.2f}[/]",
            f"{ratios[0]:.2f}–{ratios[-1]:.2f}",
            each.aim,
            f"{median(ours for _, ours in each.rounds):,.0f}",
            f"{median(bare for bare, _ in each.rounds):,.0f}",
            each.unit,
            ", ".join(f"{name} {value:,.0f}" for name, value in each.notes.items()),
        )
    return table


@dataclass(frozen=True, slots=True)
class Memory:
    """What a batch did to the API's resident memory, in bytes."""

    reports: int
    body: int
    baseline: int
    peak: int
    seconds: float

    def as_json(self) -> dict[str, object]:
        return {
            "name": f"memory of a batch of {self.reports:,} reports",
            "body_mb": round(self.body / 1e6, 1),
            "baseline_mb": round(self.baseline / 1e6, 1),
            "peak_mb": round(self.peak / 1e6, 1),
            "added_mb": round((self.peak - self.baseline) / 1e6, 1),
            "seconds": round(self.seconds, 1),
        }


def memory_table(found: list[Memory]) -> Table:
    table = Table(title="Resident memory of the API process while a batch passes", title_justify="left")
    columns = list(found[0].as_json())
    for column in columns:
        table.add_column(column.replace("_", " "), justify="left" if column == "name" else "right")
    for each in found:
        table.add_row(*(str(value) for value in each.as_json().values()))
    return table
