"""What this process was asked and answered: counted in memory, for Prometheus to read.

No label has values that clients choose: routes are templates, methods and results are of fixed lists.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from gateway.errors import GatewayError
from gateway.flow.receive import Reply

# Else there is a series beside every counter, of the moment it was made.
disable_created_metrics()  # type: ignore[no-untyped-call]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_RESULTS = {201: "accepted", 200: "replayed", 422: "rejected"}


class Traffic:
    """The counts of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        build = Info("gateway_build", "The version that runs.", registry=self.registry)
        build.info({"version": version("report-gateway")})
        self._requests = Counter(
            "gateway_http_requests_total",
            "Requests by route and status; the route of none is empty, the status of one that went away is 'none'.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "gateway_http_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ["method", "route"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._reports = Counter(
            "gateway_reports_received_total",
            "Reports pushed alone or in a batch: accepted, rejected by rules, replayed (kept before), or refused.",
            ["result"],
            registry=self.registry,
        )
        self._known: dict[tuple[str, str, int | None], tuple[Callable[[], None], Callable[[float], None]]] = {}
        for result in (*_RESULTS.values(), "refused"):
            self._reports.labels(result)

    def count_request(self, scope: Mapping[str, Any], status: int | None, seconds: float) -> None:
        """A request was answered, or went away without an answer."""
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "")
        try:
            count, observe = self._known[method, route, status]
        except KeyError:
            requests = self._requests.labels(method, route, "none" if status is None else str(status))
            count, observe = requests.inc, self._seconds.labels(method, route).observe
            self._known[method, route, status] = count, observe
        count()
        observe(seconds)

    def count_reports(self, replies: Sequence[Reply]) -> None:
        """Reports were received: what became of each."""
        for reply in replies:
            self._reports.labels(_result(reply)).inc()


def _result(reply: Reply) -> str:
    if isinstance(reply, GatewayError):
        return "refused"
    return "replayed" if reply.replayed else _RESULTS.get(reply.status, "refused")
