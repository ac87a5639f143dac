"""What the watcher sees: headings, sentences, tables and progress; plain text where there is no terminal."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_WIDTH = 110


def number(value: int | None) -> str:
    """A figure with its thousands set apart; a dash where there is none."""
    return "–" if value is None else f"{value:,}"


class Bar:
    """How far a long step is."""

    def __init__(self, progress: Progress, words: str, total: int) -> None:
        self._progress, self._task = progress, progress.add_task(words, total=total)

    def at(self, done: int) -> None:
        self._progress.update(self._task, completed=done)


class Show:
    """Writes the demonstration to a console."""

    def __init__(self, console: Console) -> None:
        self.console = console if console.is_terminal else Console(file=console.file, width=_WIDTH, no_color=True)
        self._step = 0

    def step(self, vi: str, en: str) -> None:
        """The heading of the next step."""
        self._step += 1
        self.console.print()
        self.console.rule(f"[bold]{self._step}. {en}[/] · {vi}", align="left")

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

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[RenderableType]], title: str = "") -> None:
        """A table; columns whose name begins with ``#`` hold figures."""
        table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
        for column in columns:
            is_figure = column.startswith("#")
            table.add_column(column.removeprefix("#"), justify="right" if is_figure else "left", no_wrap=is_figure)
        for row in rows:
            table.add_row(*row)
        self.console.print(Padding(table, (0, 0, 0, 2)))

    @contextmanager
    def bar(self, words: str, total: int) -> Iterator[Bar]:
        """A progress bar for as long as the block runs; nothing where there is no terminal."""
        columns = (TextColumn("{task.description}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        shown = self.console.is_terminal
        with Progress(*columns, console=self.console, disable=not shown, transient=True) as progress:
            yield Bar(progress, words, total)
