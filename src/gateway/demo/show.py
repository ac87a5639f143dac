"""What the watcher sees: headings, sentences, tables and progress; plain text where there is no terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_WIDTH = 110


def number(value: int | None) -> str:
    """A figure with its thousands set apart; a dash where there is none."""
    return "–" if value is None else f"{value:,}"


class Bar:
    """How far a long step is: a bar on a terminal, a line at every quarter elsewhere."""

    def __init__(self, progress: Progress, words: str, total: int) -> None:
        self._progress, self._words, self._total = progress, words, total
        self._task = progress.add_task(words, total=total)
        self._quarters = 0

    def at(self, done: int) -> None:
        self._progress.update(self._task, completed=done)
        quarters = 4 * done // self._total
        if self._progress.disable and quarters > self._quarters:
            self._progress.console.print(f"  {self._words}: {number(done)} of {number(self._total)}")
        self._quarters = max(quarters, self._quarters)


class Show:
    """Writes the demonstration to a console."""

    def __init__(self, console: Console) -> None:
        self.console = console if console.is_terminal else Console(file=console.file, width=_WIDTH, no_color=True)
        self._step = 0

    def step(self, vi: str, en: str) -> None:
        """The heading of the next step."""
        self._step += 1
        self.console.print()
        self.console.rule(Text.from_markup(f"[bold]{self._step}. {en}[/] · {vi}"), align="left")

    def say(self, *lines: str) -> None:
        """Sentences, with rich's markup."""
        for line in lines:
            self.console.print(line, highlight=False)

    def done(self, words: str) -> None:
        self.console.print(f"[green]✓[/] {words}", highlight=False)

    def trouble(self, words: str) -> None:
        self.console.print(f"[yellow]![/] {words}", highlight=False)

    def fault(self, words: str) -> None:
        self.console.print(f"[bold red]✗[/] {words}", highlight=False)

    def exactly(self, text: str) -> None:
        """A line to copy: neither wrapped nor coloured."""
        self.console.print(Text(text), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table; columns whose name begins with ``#`` hold figures."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False)
        for column in columns:
            is_figure = column.startswith("#")
            table.add_column(column.removeprefix("#"), justify="right" if is_figure else "left")
        for row in rows:
            table.add_row(*row)
        self._set_apart(table)

    def facts(self, facts: Mapping[str, str]) -> None:
        """Values, each with what it says."""
        table = Table(box=None, show_header=False, show_edge=False)
        table.add_column()
        table.add_column(justify="right")
        for words, value in facts.items():
            table.add_row(words, value)
        self._set_apart(table)

    def _set_apart(self, table: Table) -> None:
        self.console.print(Padding(table, (1, 0, 1, 2), expand=False))

    @contextmanager
    def bar(self, words: str, total: int) -> Iterator[Bar]:
        """How far a step is, for as long as the block runs."""
        columns = (TextColumn("{task.description}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        plain = not self.console.is_terminal
        with Progress(*columns, console=self.console, disable=plain, transient=True) as progress:
            yield Bar(progress, words, total)
