"""A national system that keeps a copy of what counts from the feed of changes, while everything is killed in turn."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import Process as Subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.demo.remote import every
from proofs.follower import Counted, counted, place, repeated
from proofs.ledger import Followed
from proofs.load import FORM
from proofs.processes import Process
from proofs.scenario import Scenario
from proofs.stage import Stage

_LINGER = """
CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(CASE WHEN random() < 0.15 THEN 0.4 ELSE random() * 0.05 END); RETURN NULL; END $$;
CREATE TRIGGER linger AFTER INSERT ON report_events FOR EACH STATEMENT EXECUTE FUNCTION linger()
"""
"""Every transaction stays open for a while once it has told what happened, some for long enough that a slow follower
reads meanwhile: commits overtake one another."""
_OPEN = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
_PATIENCE = 30.0
"""Seconds a follower has to be told all."""
_PAUSE, _LONG_PAUSE = 0.15, 1.0
"""The longest a sender rests, in seconds; more where it goes on for minutes, as all that was sent is looked through."""
_RESTS, _LONG_RESTS = (0.5, 1.5), (1.0, 6.0)
"""Seconds between two kills, at least and at most."""
_ASKED_PERIODS = 100
"""Periods of which figures are asked for at once."""
_VICTIMS = ("api", "postgres", "follower")
_TURNS = 3
"""How often each of them is killed."""


class Follower:
    """The process that follows, and its copy, which outlives it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.copy = stage.ledger.path.with_suffix(".copy")
        for each in (self.copy, Path(f"{self.copy}-journal")):
            each.unlink(missing_ok=True)
        self._subprocess: Subprocess | None = None
        self._process: Process | None = None

    async def start(self) -> None:
        http = self._stage.http
        token = http.headers["Authorization"].removeprefix("Bearer ")
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        environment |= {"PROOFS_API": str(http.base_url), "PROOFS_TOKEN": token}
        self._subprocess = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proofs.follower", str(self.copy), env=environment
        )
        self._process = Process("follower", self._subprocess.pid, self._stage.ledger)

    async def kill(self) -> None:
        assert self._subprocess is not None
        assert self._process is not None
        self._process.kill()
        await self._subprocess.wait()

    async def end(self) -> None:
        if self._subprocess is not None and self._subprocess.returncode is None:
            self._subprocess.terminate()
            await self._subprocess.wait()


async def follow_changes(stage: Stage) -> None:
    """The API, PostgreSQL and a follower are killed in any order while commits overtake one another; then the copy is
    compared with what counts, and with the figures."""
    await stage.begin(1)
    async with stage.postgres.connected(stage.database) as connection:
        await connection.execute(_LINGER)
    follower = Follower(stage)
    await follower.start()
    try:
        async with stage.load(pause=_LONG_PAUSE if stage.minutes else _PAUSE):
            for victim in _victims(stage):
                await stage.wait(*(_LONG_RESTS if stage.minutes else _RESTS))
                await _harm(stage, follower, victim)
        await _until_told(stage, follower.copy)
    finally:
        await follower.end()
    copy = counted(follower.copy)
    stage.ledger.write(
        Followed(
            counted=[(each.report, each.revision, each.sha256) for each in copy],
            repeated=repeated(follower.copy),
            figures=_added(copy),
            answered=await _answered(stage),
        )
    )


def _victims(stage: Stage) -> Iterator[str]:
    """Who is killed, one after another, each as often as the others."""
    until = time.monotonic() + 60 * stage.minutes
    while True:
        yield from stage.chance.sample(_VICTIMS * _TURNS, len(_VICTIMS) * _TURNS)
        if time.monotonic() >= until:
            return


async def _harm(stage: Stage, follower: Follower, victim: str) -> None:
    match victim:
        case "api":
            stage.running_api.kill()
            await stage.serve()
        case "postgres":
            stage.postgres.kill(stage.ledger)
            await stage.wait(0, 0.3)
            await stage.postgres.start()
        case _:
            await follower.kill()
            await stage.wait(0, 0.3)
            await follower.start()


async def _until_told(stage: Stage, copy: Path) -> None:
    """Wait until nothing is under way and the feed has nothing more; a copy that never gets there the checker finds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE
    async with stage.postgres.connected() as connection:
        while loop.time() < until:
            is_quiet = await connection.fetchval(_OPEN) == 0
            cursor = place(copy)
            page = (await stage.http.get("/v1/changes", params={"cursor": cursor} if cursor else {})).json()
            if is_quiet and cursor and not page["items"] and not page["more"]:
                return
            await asyncio.sleep(0.1)


def _added(copy: Sequence[Counted]) -> Mapping[str, int]:
    """Every figure of every province and period, added up from a copy."""
    found: Counter[str] = Counter()
    for each in copy:
        for row in each.rows:
            for name, value in row.items():
                if name != "sector":
                    found[f"{each.agency.split('.')[0]} {each.period} {name}"] += value
    return dict(found)


async def _answered(stage: Stage) -> Mapping[str, int]:
    """The same by the gateway."""
    periods = sorted({each["period"] for each in await every(stage.http, "/v1/reports")})
    found: dict[str, int] = {}
    for first in range(0, len(periods), _ASKED_PERIODS):
        asked = {"form": FORM, "period": ",".join(periods[first : first + _ASKED_PERIODS]), "by": "agency,period"}
        answer = (await stage.http.get("/v1/aggregates", params=asked)).raise_for_status().json()
        found |= {
            f"{row['agency']} {row['period']} {name}": value
            for row in answer["rows"]
            for name, value in row.items()
            if name not in ("agency", "own", "period")
        }
    return found


SCENARIOS = [Scenario("follow-changes", follow_changes, ["passes-open-transactions"], can_last=True)]
