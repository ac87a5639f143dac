"""Scenarios: each lets something go wrong while reports come in, and leaves the judgement to the checker."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from proofs.stage import Stage

Act = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way for things to go wrong.

    ``act`` brings up what it needs on the stage, sends reports and does harm; drawn from ``stage.chance``, so that a
    seed repeats it. When it returns, all that was harmed is healed, the gateway gets time to settle, and the ledger is
    checked. ``broken`` names the controls: with each of these guarantees broken on purpose (``proofs.broken``) the
    checker has to find a violation. ``settings`` are ``GATEWAY_*`` variables of every process. ``volume`` gives the
    directory of a PostgreSQL of its own, where the shared one will not do. ``seconds`` is the longest it may act;
    one that ``can_last`` goes on for as many minutes as it is told to besides.
    """

    name: str
    act: Act
    broken: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    volume: Callable[[], AbstractContextManager[Path]] | None = None
    seconds: float = 90.0
    can_last: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """A run that is wanted: the ``turn``-th of a scenario with a seed, with a promise ``broken`` on purpose or none.

    ``minutes``: how long a scenario that can last goes on (0: as long as it does by itself).
    """

    scenario: Scenario
    seed: int
    turn: int
    broken: str | None = None
    minutes: float = 0

    @property
    def name(self) -> str:
        """What its database and its files are called."""
        parts = (self.scenario.name, self.seed, self.turn, self.broken)
        return "-".join(str(each) for each in parts if each is not None)

    def __str__(self) -> str:
        return self.scenario.name if self.broken is None else f"{self.scenario.name}, {self.broken}"
