"""What the benchmarks push: a form like II.06a that weeks are reported of, and correct reports of any size."""

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.catalog import bundled_agencies, bundled_documents

FIRST_WEEK = "2026-W01"
MOST_ROWS = 300
_VARIANTS = 64
_CODELIST = "BENCH_SECTOR"
_PENDING = 25
"""Dossiers pending at the end of every row, and so carried over at the beginning of the next week's."""


def _title(text: str) -> dict[str, str]:
    return {"vi": text, "en": text}


def documents() -> list[tuple[str, str, dict[str, Any]]]:
    """A code list of 300 sectors, form II.06a twice (without and with the rule that looks back), and their regime."""
    original = next(each.document for each in bundled_documents() if each.document.get("code") == "TTHC_06A")
    codes = [{"code": code, "title": _title(code)} for code in sectors()]
    found = [("benchmarks", "codelist", {"id": _CODELIST, "title": _title("Benchmark sectors"), "codes": codes})]
    for code in ("BENCH_11", "BENCH_11_PREVIOUS"):
        form: dict[str, Any] = copy.deepcopy(original)
        form |= {"code": code, "valid_from": "2020-01-01", "frequencies": ["weekly", "quarterly"]}
        form["breakdowns"][0]["codelist"] = _CODELIST
        looking = ("within", "previous") if code == "BENCH_11" else ("within",)
        form["rules"] = [rule for rule in form["rules"] if not any(word in rule["check"] for word in looking)]
        found.append(("benchmarks", "form", form))
    regime = {"code": "BENCH", "legal_basis": "for measuring", "frequency": "weekly", "who": [{"report_kind": "own"}]}
    return [*found, ("benchmarks", "regime", regime | {"forms": ["BENCH_11", "BENCH_11_PREVIOUS"]})]


def sectors() -> list[str]:
    return [f"S{number:03}" for number in range(MOST_ROWS)]


def agencies() -> list[str]:
    """Codes of every agency in force."""
    return [each["code"] for each in bundled_agencies() if each["valid_to"] is None]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the form that all its rules hold for: as JSON, and as PostgreSQL's text format has it."""

    json: str
    copy: str


def _row(sector: str, chance: random.Random) -> Row:
    online, offline = chance.randrange(5000), chance.randrange(500)
    total = online + offline + _PENDING
    early, late = (total - _PENDING) // 2, chance.randrange(1 + (total - _PENDING) // 4)
    on_time = total - _PENDING - early - late
    in_time = chance.randrange(_PENDING)
    figures = {
        "received_total": total,
        "received_online": online,
        "received_offline": offline,
        "carried_over": _PENDING,
        "resolved_total": total - _PENDING,
        "resolved_early": early,
        "resolved_on_time": on_time,
        "resolved_late": late,
        "pending_total": _PENDING,
        "pending_in_time": in_time,
        "pending_late": _PENDING - in_time,
    }
    literal = "{" + ",".join(map(str, figures.values())) + "}"
    return Row(json.dumps({"sector": sector, **figures}), f"{{{sector}}}\t{literal}")


_chance = random.Random(2026)  # noqa: S311 - figures, not secrets
_ROWS = [[_row(sector, _chance) for _ in range(_VARIANTS)] for sector in sectors()]
INDICATORS = [name for name in json.loads(_ROWS[0][0].json) if name != "sector"]
FIGURES = len(INDICATORS)


def rows(count: int, variant: int) -> list[Row]:
    """The first so many sectors, with other figures for each variant."""
    return [_ROWS[place][(variant + 7 * place) % _VARIANTS] for place in range(count)]


@dataclass(slots=True)
class Keys:
    """Keys of reports, each given once: week after week, in each of them one agency after another."""

    codes: list[str]
    next: int = 0

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return self

    def __next__(self) -> tuple[str, str]:
        week, agency = divmod(self.next, len(self.codes))
        self.next += 1
        years, number = divmod(week, 52)
        return self.codes[agency], f"{2026 + years}-W{number + 1:02}"


def body(form: str, agency: str, period: str, count: int, variant: int) -> bytes:
    """A correct report of so many rows."""
    text = ", ".join([row.json for row in rows(count, variant)])
    return f'{{"form": "{form}", "agency": "{agency}", "period": "{period}", "rows": [{text}]}}'.encode()
