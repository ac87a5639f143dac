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
    directory of a PostgreSQL of its own, where the shared one will not do. ``seconds`` is the longest it may act.
    """

    name: str
    act: Act
    broken: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    volume: Callable[[], AbstractContextManager[Path]] | None = None
    seconds: float = 60.0
