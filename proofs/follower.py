"""A follower: keeps a copy of what counts, only from the feed of changes, and may be killed at any moment.

    python -m proofs.follower FILE

The copy and the place in the feed are in one SQLite file and change together. Where the API is, and the token to ask
it with, are ``PROOFS_API`` and ``PROOFS_TOKEN``. It ends when it is told to.
"""

import json
import os
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx

_TABLES = """
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS place (cursor TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS told (change TEXT NOT NULL, report TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counted (report TEXT PRIMARY KEY, revision INTEGER, sha256 TEXT, agency TEXT, period TEXT,
                                    rows TEXT);
"""
_REST = 0.005
"""Seconds between two looks at a feed that has nothing new."""
_PAGE, _TOGETHER = 20, 8
"""How many changes are asked for at once, and how many reports."""


def follow(http: httpx.Client, file: Path) -> None:
    """Follow the feed from where the copy stands, without end."""
    with closing(sqlite3.connect(file, isolation_level=None)) as copy:
        copy.executescript(_TABLES)
        while True:
            try:
                if not take(http, copy):
                    time.sleep(_REST)
            except httpx.HTTPError:
                time.sleep(0.05)  # the API is away


def take(http: httpx.Client, copy: sqlite3.Connection) -> bool:
    """Take the next page of changes, whole or not at all; whether there may be more at once."""
    place = copy.execute("SELECT cursor FROM place").fetchone()
    given = {"limit": _PAGE} | ({} if place is None else {"cursor": place[0]})
    page = http.get("/v1/changes", params=given).raise_for_status().json()
    with ThreadPoolExecutor(_TOGETHER) as together:
        rows_of = list(together.map(partial(_rows, http), page["items"]))
    copy.execute("BEGIN")
    for change, rows in zip(page["items"], rows_of, strict=True):
        apply(copy, change, rows)
    copy.execute("DELETE FROM place")
    copy.execute("INSERT INTO place VALUES (?)", [page["next"]])
    copy.execute("COMMIT")
    return bool(page["more"])


def apply(copy: sqlite3.Connection, change: dict[str, Any], rows: str | None) -> None:
    """Let one change happen to the copy: what is accepted counts, what it replaces or what is ended does not."""
    report = change["report"]
    copy.execute("INSERT INTO told VALUES (?, ?)", [change["change"], report["id"]])
    if rows is None:
        copy.execute("DELETE FROM counted WHERE report = ?", [report["id"]])
        return
    copy.execute("DELETE FROM counted WHERE report = ?", [change["replaces"]])
    kept = [report[name] for name in ("id", "revision", "sha256", "agency", "period")]
    copy.execute("INSERT OR REPLACE INTO counted VALUES (?, ?, ?, ?, ?, ?)", [*kept, rows])


def _rows(http: httpx.Client, change: dict[str, Any]) -> str | None:
    """The rows of a report that counts from now on; None for one that stops counting."""
    if change["change"] not in {"accepted", "corrected"}:
        return None
    payload = http.get(f"/v1/reports/{change['report']['id']}/payload").raise_for_status()
    return json.dumps(payload.json()["rows"])


class Counted(NamedTuple):
    """A report that counts by a copy."""

    report: str
    revision: int
    sha256: str
    agency: str
    period: str
    rows: list[dict[str, Any]]


def counted(file: Path) -> list[Counted]:
    """The reports that count by a copy."""
    with closing(sqlite3.connect(file)) as copy:
        found = copy.execute("SELECT report, revision, sha256, agency, period, rows FROM counted").fetchall()
    return [Counted._make((*head, json.loads(rows))) for *head, rows in found]


def repeated(file: Path) -> int:
    """How many changes a copy was told more than once."""
    with closing(sqlite3.connect(file)) as copy:
        ((number,),) = copy.execute("SELECT count(*) - count(DISTINCT change || ' ' || report) FROM told")
    return int(number)


def place(file: Path) -> str | None:
    """How far in the feed a copy is."""
    with closing(sqlite3.connect(file)) as copy:
        found = copy.execute("SELECT cursor FROM place").fetchone()
    return None if found is None else str(found[0])


if __name__ == "__main__":
    with httpx.Client(
        base_url=os.environ["PROOFS_API"],
        headers={"Authorization": f"Bearer {os.environ['PROOFS_TOKEN']}"},
        timeout=5,
        trust_env=False,
    ) as client:
        follow(client, Path(sys.argv[1]))
