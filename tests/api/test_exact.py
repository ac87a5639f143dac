"""Figures are exact: every aggregate is what another engine recomputes from the bytes that were pushed.

Histories of pushes, corrections, returns, withdrawals and agency changes, all at the same time, and questions of every
kind while they happen and afterwards (``world``, ``recomputing``). ``make histories`` lives through many more.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import date

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Work

from gateway.api import deps
from gateway.api.deps import Gateway
from gateway_under_test import NewClient
from histories import PROVINCES, TODAY, History, Reform, histories
from recomputing import ENDS, Question
from world import GROUPS, Asked, World

SCOPES = ("aggregates:read", "catalog:write", "reports:read", "reports:review", "reports:write")
GROUPINGS = [by for number in range(6) for by in itertools.combinations(GROUPS, number)]
WHOLE = [("2097-Q1",), ("2097-Q3",), ("2097-Q1", "2097-Q2"), ("2097-Q2", "2097-Q3", "2097-Q4"), tuple(ENDS)]
WITH_GAPS = [("2097-Q1", "2097-Q3"), ("2097-Q2", "2097-Q4"), ("2097-Q1", "2097-Q3", "2097-Q4")]
LONG = settings.get_current_profile_name() == "long"


NewWorld = Callable[[], Awaitable[World]]


def questions(chance: random.Random, world: World) -> Iterator[Question]:
    """Questions without end: every grouping in turn, of any subtree and any periods, in either view."""
    for by in itertools.cycle(chance.sample(GROUPINGS, len(GROUPINGS))):
        periods = chance.choice(WHOLE + WITH_GAPS if "period" in by else WHOLE)
        under = chance.choice([None, None, *PROVINCES, chance.choice([code for code, _ in world.agencies])])
        yield Question(periods, by, under, chance.choice([None, TODAY]))


async def relive(world: World, history: History) -> None:
    """Let a history happen, asking all the time, and ask about everything whenever it is quiet."""
    chance = random.Random(history.seed)  # noqa: S311 - to be repeated, not secret
    asking = questions(chance, world)
    for number, phase in enumerate(history.phases, start=1):
        answers: list[Asked] = []
        happening = asyncio.gather(
            *(world.tell(world.sender(key), story) for key, story in phase.stories.items()),
            *(world.consolidate(*each) for each in phase.consolidations),
            reorganise(world, phase.reforms),
        )
        while not happening.done():
            answers.append(await world.ask(next(asking)))
        await happening
        everything = len(GROUPINGS) if number == len(history.phases) else 8
        answers += [await world.ask(next(asking)) for _ in range(everything)]
        for answer in answers:
            world.check(answer)
        await world.look_through()
        await world.ask_again(chance, 8)


async def reorganise(world: World, reforms: Iterable[Reform]) -> None:
    for reform in reforms:
        await world.reform(reform)


@pytest.fixture
def new_world(
    app: FastAPI, gateway: Gateway, emptied: Callable[[], Awaitable[None]], client_for: NewClient
) -> Iterator[NewWorld]:
    """Makes an empty world, long after every reform there will be."""

    async def made() -> World:
        await emptied()
        world = World(await client_for(*SCOPES))
        await world.begin(gateway)
        return world

    app.dependency_overrides[deps.today] = lambda: date.fromisoformat(TODAY)
    yield made
    del app.dependency_overrides[deps.today]


@settings(
    max_examples=100 if LONG else 2,
    derandomize=not LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Work.generate, Work.shrink] if LONG else [Work.generate],
)
@given(history=histories())
async def test_every_answer_is_what_comes_of_the_bytes_that_it_counts(new_world: NewWorld, history: History) -> None:
    world = await new_world()
    try:
        await relive(world, history)
    finally:
        world.engine.close()
