"""A world to be asked about: a gateway, all that is done to it, and what its answers may be then.

Every report carries a mark, a number with two digits of its own in a sum of thirty: so an answer tells which revisions
it counts. It has to be what comes of exactly these, all of them possible at that moment, none older than the rest.
"""

import csv
import itertools
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import zip_longest
from typing import Any, NamedTuple

import httpx

from gateway.api.deps import Gateway
from gateway_under_test import have, load, push, put, shown
from histories import DAYS, FIRST, NOT_COUNTED, REGIME, Key, Reform, Step, a_branch, a_measured_report
from measured_form import CODE, INDICATORS, VERSIONS, form_document
from recomputing import ENDS, Catalogue, Question, Recomputation, Row

GROUPS = ("agency", "level", "period", "sector", "stage")


class Done(NamedTuple):
    """What a request of a sender did to what counts of its report: when it was made and answered, and what counts.

    ``report`` is None for nothing, ``mark`` 0 for what has no rows.
    """

    asked: float
    answered: float
    report: int | None
    mark: int


@dataclass(slots=True)
class Sender:
    """One report's sender: what it did in order, and what is current."""

    key: Key
    place: int
    done: list[Done] = field(default_factory=lambda: [Done(-1, -1, None, 0)])
    current: str | None = None
    status: str | None = None
    sent: bytes = b""
    marks: int = 0

    def possible(self, since: float, until: float) -> range:
        """The numbers of what may have been last, for somebody who asked between two times."""
        known = max(number for number, each in enumerate(self.done) if each.answered < since)
        return range(known, 1 + max(number for number, each in enumerate(self.done) if each.asked < until))


class Asked(NamedTuple):
    """A question, when it was asked and when it was answered, and the answer."""

    question: Question
    since: float
    until: float
    body: bytes


class World:
    """A gateway, all that is done to it, and the engine that recomputes what it should answer."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client, self.clock = client, itertools.count()
        self.engine = Recomputation()
        self.agencies = {(each["code"], each["valid_from"]): each for each in FIRST}
        self.versions = [1]
        self.known: list[tuple[float, float]] = []
        """When each catalogue began to be possible, and when it was sure."""
        self.senders: dict[Key, Sender] = {}
        self.reports = itertools.count(1)
        self.answers: dict[tuple[Question, str], bytes] = {}
        self.seen: list[tuple[float, dict[Key, int]]] = []
        """When an answer was there, and of each report the number of what it shows to have happened at least."""

    def sender(self, key: Key) -> Sender:
        return self.senders.setdefault(key, Sender(key, len(self.senders)))

    async def begin(self, gateway: Gateway) -> None:
        documents = [*(("agency", each) for each in FIRST), ("form", form_document(1)), ("regime", REGIME)]
        await load(gateway.engine, *documents)
        self.learn(-1)

    def learn(self, asked: float) -> None:
        """Take in the catalogue as it now is; it was asked for at a time."""
        self.engine.know(Catalogue(tuple(self.agencies.values()), tuple(self.versions)))
        self.known.append((asked, next(self.clock)))

    # What is done

    async def tell(self, sender: Sender, story: Iterable[Step]) -> None:
        """One step after another of the story of a report."""
        for step in story:
            match step.what:
                case "return" | "withdraw":
                    await self.end(sender, step.what)
                case "again" if sender.status == "accepted":
                    answer = await push(self.client, sender.sent)
                    assert answer.status_code == 200, answer.text
                case "clash" if sender.current is not None:
                    answer = await push(self.client, self.report(sender, step, None))
                    assert answer.status_code == 409, answer.text
                case _:
                    await self.push(sender, step)

    def report(self, sender: Sender, step: Step, corrects: str | None) -> bytes:
        sender.marks += 1
        last = ENDS[sender.key[1]]
        version = random.Random(step.seed).choice([each for each in self.versions if VERSIONS[each] <= last])  # noqa: S311
        mark = None if step.what == "nil" else sender.marks * 100**sender.place
        corrected = {"corrects": corrects, "reason": None if corrects is None else "rà soát"}
        return a_measured_report(sender.key, version, mark, step, **corrected)

    async def push(self, sender: Sender, step: Step) -> None:
        document = self.report(sender, step, sender.current)
        asked, number = next(self.clock), next(self.reports)
        mark = 0 if step.what == "nil" else sender.marks
        sender.done.append(Done(asked, float("inf"), number, mark))
        answer = await push(self.client, document)
        if answer.status_code in {404, 422}:
            sender.done.pop()
            return
        assert answer.status_code == 201, answer.text
        head = shown(answer)
        sender.current, sender.status, sender.sent = head["id"], "accepted", document
        payload = await self.client.get(f"/v1/reports/{head['id']}/payload")
        self.engine.take(number, head["form_version"], payload.content)
        sender.done[-1] = Done(asked, next(self.clock), number, mark)

    async def end(self, sender: Sender, what: str) -> None:
        """Return or withdraw what is current, if it can be."""
        if sender.current is None or (what == "return" and sender.status != "accepted"):
            return
        asked = next(self.clock)
        sender.done.append(Done(asked, float("inf"), None, 0))
        answer = await self.client.post(f"/v1/reports/{sender.current}/{what}", json={"reason": "xem lại"})
        assert answer.status_code == 200, answer.text
        sender.done[-1] = Done(asked, next(self.clock), None, 0)
        sender.status = "returned" if what == "return" else None
        sender.current = sender.current if what == "return" else None

    async def reform(self, reform: Reform) -> None:
        """Change the catalogue, if that is taken."""
        if reform.what == "version":
            if 2 not in self.versions:
                asked = next(self.clock)
                await have(self.client, f"/forms/{CODE}/versions/2", form_document(2))
                self.versions.append(2)
                self.learn(asked)
            return
        document = self.reformed(reform)
        if document is None:
            return
        asked = next(self.clock)
        before = dict(self.agencies)
        self.agencies[document["code"], document["valid_from"]] = document
        answer = await put(self.client, f"/agencies/{document['code']}", document)
        if answer.status_code == 200:
            self.learn(asked)
        else:
            self.agencies = before

    def reformed(self, reform: Reform) -> dict[str, Any] | None:
        """The document that makes a change; None for one that makes no sense."""
        begun = sorted(day for code, day in self.agencies if code == reform.agency)
        if reform.what == "begin":
            return a_branch(reform.agency, reform.other, valid_from=reform.day)
        if not begun or reform.other == reform.agency:
            return None
        last = self.agencies[reform.agency, begun[-1]]
        if reform.what == "move":
            level = "district" if reform.day == DAYS[1] else last["level"]
            changes = {"parent": reform.other, "level": level, "valid_from": reform.day}
            return last | changes | {"valid_to": None, "successor": None}
        if reform.day <= begun[-1]:
            return None
        heir = reform.other if reform.what == "merge" else None
        end = date.fromisoformat(reform.day) - timedelta(days=1)
        return last | {"valid_to": end.isoformat(), "successor": heir}

    async def consolidate(self, agency: str, period: str) -> None:
        """Make a consolidation here, which is never counted."""
        document = {"form": CODE, "agency": agency, "period": period}
        answer = await self.client.post("/v1/consolidations", json=document)
        assert answer.status_code in {200, 201, 409, 422}, answer.text

    # What is asked, and checked once it is known what was done meanwhile

    async def ask(self, question: Question) -> Asked:
        since = next(self.clock)
        answer = await self.client.get("/v1/aggregates", params=self.parameters(question))
        assert answer.status_code == 200, answer.text
        return Asked(question, since, next(self.clock), answer.content)

    async def ask_again(self, chance: random.Random, number: int) -> None:
        """Ask for states of before: each answer is what it was, byte for byte."""
        known = sorted(self.answers.items(), key=lambda each: (str(each[0][0]), each[0][1]))
        for (question, as_of), content in chance.sample(known, min(number, len(known))):
            answer = await self.client.get("/v1/aggregates", params=self.parameters(question) | {"as_of": as_of})
            assert answer.content == content, f"{question} of {as_of} was {content!r}, and is {answer.content!r}"

    async def look_through(self) -> None:
        """While nothing happens: every single value is one that was pushed, and SDMX says what the aggregates say."""
        whole = Question(tuple(ENDS), ("period",))
        counting = self.counting(whole)
        given = {"form": CODE, "period": ",".join(ENDS)}
        values = await self.client.get("/v1/observations", params=given, headers={"Accept": "application/x-ndjson"})
        items = [json.loads(line, parse_float=Decimal) for line in values.text.splitlines()]
        found = {(counting[each["report"]], each["sector"], each["stage"], each["indicator"]): each for each in items}
        expected = self.engine.cells(list(counting.values()))
        assert len(found) == len(items)
        assert {key: each["value"] for key, each in found.items()} == expected
        totals: dict[tuple[str, ...], Decimal] = {}
        for by in (("period",), ("period", "sector")):
            answer = await self.ask(replace(whole, by=by))
            self.check(answer)
            for row in json.loads(answer.body, parse_float=Decimal)["rows"]:
                key = (row.get("sector", "_T"), row["stage"], row["period"])
                figures = {name: row[name] for name in row if name in INDICATORS and name != "note"}
                totals |= {(name, *key): Decimal(value) for name, value in figures.items() if value is not None}
        address = f"/sdmx/v2/data/dataflow/VNGOV/{CODE}?c[AGENCY]=_T&attributes=none"
        data = await self.client.get(address, headers={"Accept": "application/vnd.sdmx.data+csv;version=2.0.0"})
        lines = list(csv.DictReader(data.text.splitlines()))
        names = ("INDICATOR", "SECTOR", "STAGE", "TIME_PERIOD")
        assert {tuple(line[name] for name in names): Decimal(line["OBS_VALUE"]) for line in lines} == totals

    def counting(self, question: Question) -> dict[str, int]:
        """The reports that count while nothing happens: their ids, and their numbers."""
        within = self.engine.within(len(self.known) - 1, question)
        return {
            sender.current: sender.done[-1].report
            for key, sender in self.senders.items()
            if sender.current is not None and sender.done[-1].report is not None
            if key[:2] in within and key not in NOT_COUNTED
        }

    @staticmethod
    def parameters(question: Question) -> dict[str, str]:
        given = {"form": CODE, "period": ",".join(question.periods), "by": ",".join(question.by)}
        given |= {"agencies": "as_reported" if question.today is None else "reorganised"}
        return given | ({} if question.under is None else {"under": question.under})

    def check(self, asked: Asked) -> None:
        """Find out what an answer counts, and that it is what comes of that."""
        found = json.loads(asked.body, parse_float=Decimal)
        kept = self.answers.setdefault((asked.question, found["as_of"]), asked.body)
        assert kept == asked.body, f"two answers of one state to {asked.question}"
        wrong = [self.fault(asked, found, catalogue) for catalogue in self.possible(asked)]
        assert None in wrong, "\n".join([f"{asked.question}: ", *map(str, wrong)])

    def possible(self, asked: Asked) -> range:
        """The numbers of the catalogues that an answer may go by."""
        known = max(number for number, (_, sure) in enumerate(self.known) if sure < asked.since)
        return range(known, 1 + max(number for number, (begun, _) in enumerate(self.known) if begun < asked.until))

    def fault(self, asked: Asked, found: Mapping[str, Any], catalogue: int) -> str | None:
        """What is wrong with an answer by a catalogue; None for nothing."""
        question = asked.question
        if question.today is not None and question.under is not None:
            question = replace(question, under=self.engine.heir(catalogue, question.under, question.today))
        within = self.engine.within(catalogue, question)
        total = sum(row["mark"] or 0 for row in found["rows"])
        counted: dict[Key, list[int]] = {}
        for key, sender in self.senders.items():
            mark = total // 100**sender.place % 100
            if key[:2] not in within or key in NOT_COUNTED:
                if mark:
                    return f"{key} is counted"
                continue
            floor = max((least.get(key, 0) for end, least in self.seen if end < asked.since), default=0)
            could = [each for each in sender.possible(asked.since, asked.until) if each >= floor]
            counted[key] = [each for each in could if sender.done[each].mark == mark]
            if not counted[key]:
                return f"{key} has mark {mark}, of {[sender.done[each] for each in could]}"
        wrong = self.torn(asked, counted) or self.differing(question, found, catalogue, counted)
        if wrong is None:
            self.seen.append((asked.until, {key: min(each) for key, each in counted.items()}))
        return wrong

    def torn(self, asked: Asked, counted: Mapping[Key, list[int]]) -> str | None:
        """Whether an answer counts something and not what had been answered before that was asked for."""
        least = {key: min(each) for key, each in counted.items()}
        newest = max((self.senders[key].done[number].asked for key, number in least.items()), default=-1)
        since = max(newest, asked.since)
        for key, numbers in counted.items():
            if max(numbers) < self.senders[key].possible(since, since + 1).start:
                return f"{key} is older than the rest"
        return None

    def differing(
        self, question: Question, found: Mapping[str, Any], catalogue: int, counted: Mapping[Key, list[int]]
    ) -> str | None:
        """How an answer differs from what is recomputed of what it counts."""
        done = {key: [self.senders[key].done[each] for each in numbers] for key, numbers in counted.items()}
        reports = [every[0].report for every in done.values() if every[0].mark and every[0].report is not None]
        expected = sorted(self.engine.rows(catalogue, question, reports), key=_order)
        answered = sorted(map(_exact, found["rows"]), key=_order)
        if answered != expected:
            empty: Row = {}
            pairs = [each for each in zip_longest(answered, expected, fillvalue=empty) if each[0] != each[1]]
            return f"{len(pairs)} rows differ, the first in {_difference(*pairs[0])}"
        there = [{each.report for each in every} for every in done.values()]
        surely, perhaps = [each for each in there if None not in each], [each for each in there if each != {None}]
        if not len(surely) <= found["reports"] <= len(perhaps):
            return f"{found['reports']} reports, not {len(surely)} to {len(perhaps)}"
        if all(len(each) == 1 for each in there):
            versions = self.engine.versions([each for every in surely for each in every if each is not None])
            return None if versions == found["form_versions"] else f"versions {found['form_versions']}, not {versions}"
        return None


def _order(row: Row) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in (*GROUPS, "own"))


def _difference(answered: Row, expected: Row) -> dict[str, str]:
    names = [name for name in answered | expected if answered.get(name) != expected.get(name)]
    return {name: f"{answered.get(name)}, not {expected.get(name)}" for name in names}


def _exact(row: Mapping[str, Any]) -> Row:
    """A row with every number as a fraction, and nothing else changed."""
    return {
        name: Fraction(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value
        for name, value in row.items()
    }
