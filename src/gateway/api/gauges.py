"""What is stored of connectors, as metrics: the same from whichever process, since all read one database."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gateway.db.log import Length
from gateway.db.queues import Queue
from gateway.db.tallies import Tallied
from gateway.domain.breaker import BreakerState
from gateway.domain.delivery import OutcomeClass
from gateway.flow.tally import ATTEMPT_SECONDS, LATENCY_SECONDS, SUM, Measure


@dataclass(frozen=True, slots=True)
class Stored:
    """What was read of every connector, and of the log, at once."""

    queues: Sequence[Queue]
    sums: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    log: Length = field(default_factory=lambda: Length(0, 0))

    @classmethod
    def of(cls, queues: Sequence[Queue], tallies: Sequence[Tallied], log: Length) -> "Stored":
        return cls(queues, {(each.connector, each.measure, each.label): each.amount for each in tallies}, log)

    def families(self) -> Iterator[Metric]:
        """Every metric, with a value for each connector even where nothing happened yet."""
        yield from self._depths()
        yield from self._ages()
        yield from self._breakers()
        yield from self._leases()
        yield from self._attempts()
        yield GaugeMetricFamily("gateway_log_entries", "Entries of the log that are sealed.", self.log.sealed)
        yield GaugeMetricFamily("gateway_log_waiting", "Entries that wait to be sealed.", self.log.waiting)

    def _depths(self) -> Iterator[Metric]:
        depth = _gauge("gateway_deliveries", "Deliveries that are not over, by state.", "state")
        behind = _gauge(
            "gateway_deliveries_behind", "Pending deliveries put off until an earlier one of their key ends."
        )
        due = _gauge("gateway_deliveries_due", "Pending deliveries whose time has come.")
        for queue in self.queues:
            for state, count in queue.depths.items():
                depth.add_metric([queue.connector, state.value], count)
            behind.add_metric([queue.connector], queue.behind)
            due.add_metric([queue.connector], queue.due)
        yield from (depth, behind, due)

    def _ages(self) -> Iterator[Metric]:
        due = _gauge("gateway_oldest_due_delivery_age_seconds", "How long a pending delivery has been due; 0: none is.")
        made = _gauge("gateway_oldest_open_delivery_age_seconds", "How long a delivery has been open; 0: none is.")
        for queue in self.queues:
            due.add_metric([queue.connector], _age(queue.due_since, queue.at))
            made.add_metric([queue.connector], _age(queue.open_since, queue.at))
        yield from (due, made)

    def _breakers(self) -> Iterator[Metric]:
        breaker = _gauge("gateway_breaker_state", "1 for the state that the connector's breaker is in.", "state")
        failures = _gauge("gateway_breaker_failures", "Failed attempts in a row.")
        paused = _gauge("gateway_connector_paused", "1 while an operator has paused the connector.")
        openings = _counter("gateway_breaker_openings_total", "How often the connector was left alone.")
        for queue in self.queues:
            now = queue.breaker.state(queue.at)
            for state in BreakerState:
                breaker.add_metric([queue.connector, state.value], state is now)
            failures.add_metric([queue.connector], queue.breaker.failures)
            paused.add_metric([queue.connector], queue.is_paused)
            openings.add_metric([queue.connector], self._sum(queue, Measure.breaker_openings))
        yield from (breaker, failures, paused, openings)

    def _leases(self) -> Iterator[Metric]:
        held = _gauge("gateway_leases_held", "Deliveries that workers are sending, under leases that have not run out.")
        lost = _counter("gateway_leases_lost_total", "Deliveries taken over from a worker that went away.")
        for queue in self.queues:
            held.add_metric([queue.connector], queue.held)
            lost.add_metric([queue.connector], self._sum(queue, Measure.leases_lost))
        yield from (held, lost)

    def _attempts(self) -> Iterator[Metric]:
        outcomes = _counter("gateway_attempts_total", "Attempts that were recorded, by outcome.", "outcome")
        for queue in self.queues:
            for outcome in OutcomeClass:
                count = self._sum(queue, Measure.attempts, outcome.value)
                outcomes.add_metric([queue.connector, outcome.value], count)
        yield outcomes
        yield self._histogram(
            "gateway_attempt_duration_seconds",
            "Of one attempt, from its claim to its end.",
            Measure.attempt_seconds,
            ATTEMPT_SECONDS,
        )
        yield self._histogram(
            "gateway_delivery_latency_seconds",
            "From the receipt of a report (of anything else: from the event) until the upstream acknowledged it.",
            Measure.latency_seconds,
            LATENCY_SECONDS,
        )

    def _histogram(self, name: str, words: str, measure: Measure, bounds: Sequence[float]) -> Metric:
        family = HistogramMetricFamily(name, words, labels=["connector"])
        for queue in self.queues:
            count, buckets = 0.0, []
            for bound in bounds:
                count += self._sum(queue, measure, str(bound))
                buckets.append(("+Inf" if bound == math.inf else str(bound), count))
            family.add_metric([queue.connector], buckets, self._sum(queue, measure, SUM))
        return family

    def _sum(self, queue: Queue, measure: Measure, label: str = "") -> float:
        return self.sums.get((queue.connector, measure.value, label), 0.0)


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, labels=["connector", *labels])


def _counter(name: str, words: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, words, labels=["connector", *labels])


def _age(since: datetime | None, at: datetime) -> float:
    return 0.0 if since is None else max((at - since).total_seconds(), 0.0)
