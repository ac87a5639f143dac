"""The checker: acknowledged = stored = delivered at least once, and nothing else anywhere.

It knows nothing but a ledger and a survey, shares no code with what it judges, and names every violation it finds.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from msgspec.json import decode

from proofs.books import RANKS, Books, Fate, Move, Push
from proofs.ledger import Arrived, Connected, Observed
from proofs.survey import KeptDelivery, KeptReport

GRACE = 2.0
"""Seconds beyond its lease within which a delivery whose worker went away is sent again."""
_OPEN = frozenset({"pending", "sending"})


class Violation(NamedTuple):
    """A promise that was not kept, by what."""

    promise: str
    subject: str
    words: str


def check(books: Books) -> list[Violation]:
    """Every violation of every promise."""
    return [
        Violation(promise, subject, words)
        for promise, breaches in PROMISES.items()
        for subject, words in breaches(books)
    ]


Breaches = Iterator[tuple[str, str]]
"""What broke a promise, and how."""


def _acknowledged_is_stored(books: Books) -> Breaches:
    """A report that was acknowledged is stored under that id, with these bytes and the receipt that was given."""
    keys = KeySet([OKPKey.import_key({**each}) for each in books.survey.keys["keys"]])
    for push in _pushes_of(books, "accepted"):
        for answer in push.good:
            name, kept = f"push {push.sent.push}", books.reports.get(answer.report or "")
            if kept is None:
                yield name, f"was acknowledged as {answer.report}, which is not stored"
            elif not push.sent.sha256 == answer.sha256 == kept.sha256 == kept.payload_sha256:
                yield name, f"was acknowledged as {answer.report}, which is stored with other bytes"
            elif kept.revision is None or kept.revision != answer.revision:
                yield name, f"was acknowledged as revision {answer.revision}, and stored as {kept.revision}"
            elif (fault := _receipt_fault(answer.receipt, kept, keys)) is not None:
                yield name, fault
    for push in [each for event in ("returned", "withdrawn") for each in _pushes_of(books, event)]:
        if push.good and not _has_happened(books.reports.get(push.sent.about or ""), push.sent.event):
            yield f"push {push.sent.push}", f"was acknowledged, and {push.sent.about} is not {push.sent.event}"


def _has_happened(report: KeptReport | None, event: str) -> bool:
    later = {"returned": {"returned", "withdrawn", "superseded"}, "withdrawn": {"withdrawn"}}
    return report is not None and report.status in later[event]


def _receipt_fault(receipt: str | None, kept: KeptReport, keys: KeySet) -> str | None:
    """What is wrong with the receipt of a report."""
    if receipt is None:
        return "was acknowledged without a receipt"
    try:
        claims = decode(jws.deserialize_compact(receipt, keys, algorithms=["Ed25519"]).payload)
    except (JoseError, ValueError) as error:
        return f"the receipt does not verify: {error}"
    named = ("sha256", "agency", "form", "period", "kind", "revision")
    expected = {"report": kept.id, **{name: getattr(kept, name) for name in named}}
    wrong = [name for name, value in expected.items() if claims.get(name) != value]
    return f"the receipt says otherwise of {', '.join(wrong)}" if wrong else None


def _one_answer(books: Books) -> Breaches:
    """A request that is repeated is one report; what goes wrong inside is never answered 500."""
    for push in books.pushes.values():
        if len({each.report for each in push.good}) > 1:
            yield f"push {push.sent.push}", "was acknowledged as several reports"
        if any(each.status == 500 for each in push.answers):
            yield f"push {push.sent.push}", "was answered 500"
    stored = defaultdict(list)
    for report in books.reports.values():
        if report.revision is not None:
            stored[report.sha256].append(report.id)
    for sha256, ids in stored.items():
        if len(ids) > 1:
            yield sha256, f"the same bytes are stored as {', '.join(ids)}"


def _nothing_from_nowhere(books: Books) -> Breaches:
    """What is stored was acknowledged or is unknown: never refused, never unheard of."""
    fates = {push.sent.sha256: push.fate for push in _pushes_of(books, "accepted")}
    for report in books.reports.values():
        fate = fates.get(report.sha256)
        if fate is None:
            yield report.id, "is stored, and nobody sent it"
        elif fate is Fate.refused and report.status != "rejected":
            yield report.id, "is stored, and its sender was told that it was refused"


def _nothing_else_arrives(books: Books) -> Breaches:
    """What arrived upstream was acknowledged or is unknown, and is stored: never what was refused."""
    fates = {push.sent.sha256: push.fate for push in _pushes_of(books, "accepted")}
    ends = {(push.sent.about, push.sent.event): push.fate for push in books.pushes.values() if push.sent.about}
    for arrived in books.arrivals:
        about = arrived.report, arrived.event
        fate = fates.get(arrived.report_sha256) if arrived.event == "accepted" else ends.get(about)
        kept = books.reports.get(arrived.report)
        if fate is None or fate is Fate.refused:
            yield _name(arrived), "arrived, and was refused" if fate else "arrived, and nobody sent it"
        elif kept is None or kept.revision is None:
            yield _name(arrived), "arrived, and is not stored as accepted"
        elif arrived.event == "accepted" and (kept.sha256, kept.revision) != (arrived.report_sha256, arrived.revision):
            yield _name(arrived), "arrived as another report than is stored"


def _stored_is_delivered(books: Books) -> Breaches:
    """Every accepted report, every return and every withdrawal arrived at every upstream that it is for."""
    found = {(each.connector, each.report, each.event): each for each in books.deliveries.values()}
    ended = _ends(books)
    if len(found) != len(books.deliveries):
        yield "deliveries", "there are several of one event to one upstream"
    for connector in books.connectors.values():
        for report in books.reports.values():
            if report.revision is None or not books.takes(connector, report):
                continue
            for event in ("accepted", *sorted(ended[report.id])):
                delivery = found.get((connector.name, report.id, event))
                if delivery is None:
                    yield report.id, f"is stored, and there is no delivery to {connector.name} that it is {event}"
                elif (fault := _delivery_fault(books, connector, delivery)) is not None:
                    yield report.id, f"{event}, to {connector.name}: {fault}"


def _ends(books: Books) -> Mapping[str, set[str]]:
    """The returns and withdrawals of each report that surely happened."""
    happened = {each.id: {each.status} & {"returned", "withdrawn"} for each in books.reports.values()}
    for push in books.pushes.values():
        if push.sent.about in happened and push.good:
            happened[push.sent.about].add(push.sent.event)
    return happened


def _delivery_fault(books: Books, connector: Connected, delivery: KeptDelivery) -> str | None:
    if delivery.state not in connector.ends:
        return f"it ended {delivery.state}" if delivery.state not in _OPEN else f"it is still {delivery.state}"
    if delivery.state == "delivered" and not any(map(books.was_taken, books.by_delivery.get(delivery.id, ()))):
        return "it is called delivered, and never arrived"
    return None


def _repeats_are_alike(books: Books) -> Breaches:
    """A repeat carries the same ids and the same bytes, and an event never arrives under two ids."""
    ids: dict[tuple[str, str, str], str] = {}
    for delivery, arrivals in books.by_delivery.items():
        if len({(each.sha256, each.repeat_key, each.event, each.report) for each in arrivals}) > 1:
            yield delivery, "arrived again with other bytes or another key"
        if delivery not in books.deliveries:
            yield delivery, "arrived, and is not a delivery that the gateway knows"
        first = arrivals[0]
        if ids.setdefault((first.connector, first.report, first.event), delivery) != delivery:
            yield first.report, f"arrived at {first.connector} under two ids"


def _in_order(books: Books) -> Breaches:
    """Of one agency, form, period and kind, whatever arrives for the first time is later than all before it."""
    latest: dict[tuple[str, ...], tuple[Move, Arrived]] = {}
    seen = set()
    for arrived in sorted(books.arrivals, key=lambda each: each.at):
        report = books.reports.get(arrived.report)
        if report is None or report.revision is None or arrived.delivery in seen:
            continue
        seen.add(arrived.delivery)
        key = arrived.connector, report.agency, report.form, report.period, report.kind
        move = Move(report.revision, RANKS[arrived.event])
        before = latest.get(key)
        if before is not None and before[0] > move:
            yield _name(arrived), f"arrived after {_name(before[1])}, which is later"
        else:
            latest[key] = move, arrived


def _nothing_is_stuck(books: Books) -> Breaches:
    """With all workers gone nothing is being sent, and nothing waits but for an upstream that is not well."""
    for delivery in books.deliveries.values():
        connector = books.connectors.get(delivery.connector)
        if delivery.state == "sending":
            yield delivery.id, "is being sent by nobody"
        elif delivery.state == "pending" and connector is not None and "pending" not in connector.ends:
            yield delivery.id, "waits, and its upstream is well"


def _sent_again_in_time(books: Books) -> Breaches:
    """What a worker was sending when it went away is sent again when the lease ends, or shortly after."""
    lease = books.began.lease if books.began else 15.0
    for fault in books.faults:
        if fault.delivery is None:
            continue
        waits = [each.at - fault.at for each in books.by_delivery[fault.delivery] if each.at > fault.at]
        if not waits:
            yield fault.delivery, f"was not sent again after {fault.who} went away"
        elif min(waits) > lease + GRACE:
            yield fault.delivery, f"was sent again only {min(waits):.1f} s after {fault.who} went away"


def _few_duplicates(books: Books) -> Breaches:
    """Nothing arrives more often than it was tried; it is sent again only if it is unclear whether it arrived, and
    that is unclear at most once for each thing that went wrong."""
    for delivery, arrivals in books.by_delivery.items():
        kept = books.deliveries.get(delivery)
        if kept is None:
            continue
        taken, unclear = sum(map(books.was_taken, arrivals)), kept.outcomes.count("ambiguous")
        if len(arrivals) > kept.attempts:
            yield delivery, f"arrived {len(arrivals)} times in {kept.attempts} attempts"
        if taken > 1 + unclear or kept.outcomes.count("delivered") > 1:
            yield delivery, f"was taken {taken} times, and {unclear} attempts were unclear"
        if unclear > len(books.faults) + len(arrivals) - taken:
            yield delivery, f"{unclear} attempts were unclear, and {len(books.faults)} things went wrong"


def _finals_stand(books: Books) -> Breaches:
    """A delivery that was seen in a final state stays in it."""
    final: dict[str, str] = {}
    last = [Observed(delivery=each.id, state=each.state) for each in books.deliveries.values()]
    for seen in [*books.observed, *last]:
        before = final.get(seen.delivery, seen.state)
        if before != seen.state:
            yield seen.delivery, f"was {before}, and then {seen.state}"
        if seen.state not in _OPEN:
            final[seen.delivery] = seen.state


def _outcomes_are_right(books: Books) -> Breaches:
    """Attempts at an upstream that misbehaves come to what they should, in the time they are given."""
    for delivery in books.deliveries.values():
        connector = books.connectors.get(delivery.connector)
        if connector is not None and connector.outcomes is not None:
            wrong = sorted(set(delivery.outcomes) - set(connector.outcomes))
            if wrong:
                yield delivery.id, f"an attempt at {connector.name} came to {', '.join(wrong)}"
            if books.began and delivery.longest > books.began.attempt + GRACE:
                yield delivery.id, f"an attempt at {connector.name} took {delivery.longest:.1f} s"


def _within_bounds(books: Books) -> Breaches:
    """What was measured is within its bounds."""
    for figure in books.measured:
        if figure.value > figure.most:
            yield figure.what, f"was {figure.value:.6g}, above {figure.most:.6g}"


def _copy_is_state(books: Books) -> Breaches:
    """Who follows the feed of changes has, in the end, what counts, each change once, and the same figures."""
    kept = {each.id: (each.revision, each.sha256) for each in books.reports.values() if each.status == "accepted"}
    for copy in books.copies:
        copied = {report: (revision, sha256) for report, revision, sha256 in copy.counted}
        for report in sorted(kept.keys() | copied.keys()):
            if kept.get(report) != copied.get(report):
                yield report, f"is {copied.get(report, 'not')} in the copy, and {kept.get(report, 'not')} what counts"
        for name in sorted(copy.figures.keys() | copy.answered.keys()):
            ours, theirs = copy.figures.get(name), copy.answered.get(name)
            if ours != theirs:
                yield name, f"is {ours} by the copy, and answered as {theirs}"
        if copy.repeated:
            yield "the feed", f"told {copy.repeated} changes again"


def _pushes_of(books: Books, event: str) -> list[Push]:
    return [each for each in books.pushes.values() if each.sent.event == event]


def _name(arrived: Arrived) -> str:
    return f"{arrived.report} ({arrived.event}) at {arrived.connector}"


PROMISES: dict[str, Callable[[Books], Breaches]] = {
    "acknowledged is stored": _acknowledged_is_stored,
    "one request, one report": _one_answer,
    "nothing is stored from nowhere": _nothing_from_nowhere,
    "nothing else arrives": _nothing_else_arrives,
    "stored is delivered": _stored_is_delivered,
    "repeats are alike": _repeats_are_alike,
    "in order": _in_order,
    "nothing is stuck": _nothing_is_stuck,
    "sent again in time": _sent_again_in_time,
    "few duplicates": _few_duplicates,
    "finals stand": _finals_stand,
    "outcomes are right": _outcomes_are_right,
    "within bounds": _within_bounds,
    "a copy is the state": _copy_is_state,
}
"""What is promised, and what finds that it was not kept."""
