"""`GET /metrics`: true to what is stored, the same from every process, and harmless however it is asked for."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from described import DOCUMENT
from factories import a_report, a_row, ndjson
from forwarding import (
    NOWHERE,
    attempts,
    claim,
    connect_upstream,
    deliveries,
    outbox,
    receive,
    run_out,
    states,
    until,
    until_all,
    upstream,
    working,
)
from gateway.api import metrics
from gateway.api.deps import Gateway
from gateway.app import build_gateway
from gateway.db.engine import open_engine
from gateway.domain.breaker import BreakerPolicy
from gateway.domain.delivery import DEFAULT_SCHEDULE, OutcomeClass
from gateway_under_test import connected, in_process, push, until_waiting, waiting

NO_SOCKET = "postgresql+asyncpg://gateway@/gateway?host=/nonexistent"
TOUCHY = BreakerPolicy(3, timedelta(seconds=60), timedelta(seconds=60))


class Scraped:
    """What Prometheus would read."""

    def __init__(self, text: str) -> None:
        samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
        self.values = {(each.name, frozenset(each.labels.items())): each.value for each in samples}
        assert len(self.values) == len(samples), "a series is given twice"

    def value(self, name: str, **labels: str) -> float:
        return self.values[name, frozenset(labels.items())]

    def by(self, label: str, name: str, connector: str = "national") -> dict[str, float]:
        """The values of a connector's metric that are not 0, by a label of it."""
        found = {}
        for (each, pairs), value in self.values.items():
            labels = dict(pairs)
            if each == name and value and labels["connector"] == connector:
                found[labels[label]] = value
        return found

    def labels(self, label: str) -> set[str]:
        """Every value that a label has anywhere."""
        return {value for _, pairs in self.values for name, value in pairs if name == label}


async def scrape(client: httpx.AsyncClient) -> Scraped:
    answer = await client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return Scraped(answer.text)


@asynccontextmanager
async def another_process(
    gateway: Gateway, headers: Mapping[str, str] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway on the same database that has counted nothing and read nothing yet."""
    async with in_process(build_gateway(gateway.settings, gateway.engine), headers=headers) as client:
        yield client


async def scraped(gateway: Gateway) -> Scraped:
    async with another_process(gateway) as client:
        return await scrape(client)


# What is stored.


async def test_the_depth_of_a_queue_is_that_of_the_stored_rows(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    await connect_upstream(gateway, NOWHERE, "other")
    await outbox(gateway.engine, number, 21, keys=21)
    async with connected(gateway.engine) as connection:
        await connection.execute(
            "UPDATE deliveries SET state = ($1::text[])[seq % 5 + 1]"
            " WHERE seq IN (SELECT seq FROM deliveries ORDER BY seq LIMIT 10)",
            ["refused", "exhausted", "exhausted", "delivered", "cancelled"],
        )
        await connection.execute(
            "UPDATE deliveries SET due_at = now() + interval '1 hour', is_behind = agency_id % 2 = 0"
            " WHERE seq IN (SELECT seq FROM deliveries WHERE state = 'pending' ORDER BY seq LIMIT 4)"
        )
    await claim(gateway.engine, slots=3)
    found, rows = await scraped(gateway), await deliveries(gateway.engine)
    depths = Counter(each["state"] for each in rows)
    assert found.by("state", "gateway_deliveries") == {"pending": 8, "sending": 3, "refused": 2, "exhausted": 4}
    assert found.by("state", "gateway_deliveries").items() <= depths.items()
    assert (
        found.value("gateway_deliveries_behind", connector="national") == sum(each["is_behind"] for each in rows) == 2
    )
    assert found.value("gateway_deliveries_due", connector="national") == 4
    assert found.value("gateway_leases_held", connector="national") == 3
    assert found.by("state", "gateway_deliveries", "other") == {}


async def test_ages_are_of_the_first_that_is_due_and_of_the_oldest_that_is_open(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    await connect_upstream(gateway, NOWHERE, "other")
    await outbox(gateway.engine, number, 4, keys=4)
    async with connected(gateway.engine) as connection:
        for state, made, due in (
            ("delivered", 9000, 9000),
            ("pending", 7200, -600),
            ("pending", 500, 300),
            ("pending", 50, 40),
        ):
            await connection.execute(
                "UPDATE deliveries SET state = $1, made_at = now() - $2::interval, due_at = now() - $3::interval"
                " WHERE seq = (SELECT min(seq) FROM deliveries WHERE made_at > now() - interval '10 seconds')",
                state,
                timedelta(seconds=made),
                timedelta(seconds=due),
            )
    found = await scraped(gateway)
    assert 300 <= found.value("gateway_oldest_due_delivery_age_seconds", connector="national") < 330
    assert 7200 <= found.value("gateway_oldest_open_delivery_age_seconds", connector="national") < 7230
    assert found.value("gateway_oldest_due_delivery_age_seconds", connector="other") == 0
    assert found.value("gateway_oldest_open_delivery_age_seconds", connector="other") == 0


async def test_what_is_being_sent_is_open_too(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    await receive(gateway)
    await claim(gateway.engine)
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE deliveries SET made_at = now() - interval '1 hour'")
    found = await scraped(gateway)
    assert 3600 <= found.value("gateway_oldest_open_delivery_age_seconds", connector="national") < 3630
    assert found.value("gateway_oldest_due_delivery_age_seconds", connector="national") == 0


async def test_a_connector_that_is_left_alone_or_paused_shows_it(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    assert (await scraped(gateway)).by("state", "gateway_breaker_state") == {"closed": 1}
    for year in range(2031, 2036):
        await receive(gateway, period=f"{year}-Q1")

    async def is_open() -> bool:
        return (await scraped(gateway)).by("state", "gateway_breaker_state") == {"open": 1}

    async with working(gateway, breaker=TOUCHY, schedule=DEFAULT_SCHEDULE):
        await until(is_open)
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE connectors SET paused_at = now() WHERE id = $1", number)
        failures = await connection.fetchval("SELECT failures FROM breakers")
    found = await scraped(gateway)
    assert found.value("gateway_breaker_openings_total", connector="national") == 1
    assert found.value("gateway_breaker_failures", connector="national") == failures
    assert found.value("gateway_connector_paused", connector="national") == 1


# What workers counted.


async def outcomes(gateway: Gateway) -> dict[str, int]:
    return Counter(each["outcome"] for each in await attempts(gateway.engine))


async def test_the_counts_of_all_workers_add_up_and_outlive_them_whichever_process_is_asked(gateway: Gateway) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        for year in range(2031, 2037):
            await receive(gateway, period=f"{year}-Q1")
        await national.behave(mode="stall", seconds=0.4, count=2)

        async def both_send() -> bool:
            return (await states(gateway.engine)).count("sending") == 2

        async with working(gateway, count=2, worker_concurrency=1, attempt_seconds=5):
            await until(both_send)
            await until_all(gateway.engine, "delivered")
        first = await scraped(gateway)
        assert first.by("outcome", "gateway_attempts_total") == await outcomes(gateway) == {"delivered": 6}

        await national.behave(mode="throttle", count=2, retry_after=0)
        for year in range(2037, 2040):
            await receive(gateway, period=f"{year}-Q1")
        async with working(gateway):
            await until_all(gateway.engine, "delivered")
    made = await outcomes(gateway)
    assert made == {"delivered": 9, "throttled": 2}
    for found in (await scraped(gateway), await scraped(gateway)):
        assert found.by("outcome", "gateway_attempts_total") == made
        assert found.value("gateway_attempt_duration_seconds_count", connector="national") == 11
        assert found.value("gateway_attempt_duration_seconds_sum", connector="national") >= 0.8
        assert found.value("gateway_delivery_latency_seconds_count", connector="national") == 9


async def test_each_outcome_is_counted_as_it_was_recorded_and_is_there_before_it_happens(gateway: Gateway) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        before = await scraped(gateway)
        for outcome in OutcomeClass:
            assert before.value("gateway_attempts_total", connector="national", outcome=outcome.value) == 0
        await national.behave(mode="drop", count=1)
        await receive(gateway)
        async with working(gateway):
            await until_all(gateway.engine, "delivered")
            await national.behave(mode="refuse", count=1)
            await receive(gateway, period="2097-Q1")
            await until(lambda: _has(gateway, "refused"))
    made = await outcomes(gateway)
    assert made == {"ambiguous": 1, "delivered": 1, "refused": 1}
    assert (await scraped(gateway)).by("outcome", "gateway_attempts_total") == made


async def _has(gateway: Gateway, state: str) -> bool:
    return state in await states(gateway.engine)


async def test_latency_runs_from_the_receipt_of_the_report_to_its_acknowledgement(gateway: Gateway) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        await receive(gateway)
        async with connected(gateway.engine) as connection:
            await connection.execute("UPDATE reports SET received_at = received_at - interval '2 hours'")
        async with working(gateway):
            await until_all(gateway.engine, "delivered")
    found = await scraped(gateway)
    assert 7200 <= found.value("gateway_delivery_latency_seconds_sum", connector="national") < 7260
    buckets = found.by("le", "gateway_delivery_latency_seconds_bucket")
    assert buckets == {"14400.0": 1, "43200.0": 1, "86400.0": 1, "259200.0": 1, "604800.0": 1, "+Inf": 1}


async def test_a_lease_that_was_lost_is_counted_once_by_whoever_took_the_delivery_over(gateway: Gateway) -> None:
    async with upstream() as national:
        await connect_upstream(gateway, national.url)
        await receive(gateway)
        await claim(gateway.engine)
        await run_out(gateway.engine)
        async with working(gateway, count=2):
            await until_all(gateway.engine, "delivered")
    found = await scraped(gateway)
    assert found.value("gateway_leases_lost_total", connector="national") == 1
    assert found.by("outcome", "gateway_attempts_total") == {"delivered": 1}, (
        "the lost one was not recorded by its worker"
    )


async def test_a_connector_made_anew_under_its_name_goes_on_counting(gateway: Gateway) -> None:
    async with upstream() as national:
        for period in ("2031-Q1", "2033-Q1"):
            await connect_upstream(gateway, national.url)
            await receive(gateway, period=period)
            async with working(gateway):
                await until_all(gateway.engine, "delivered")
            before = await scraped(gateway)
            async with connected(gateway.engine) as connection:
                await connection.execute("UPDATE connectors SET removed_at = now()")
            assert (await scraped(gateway)).by("outcome", "gateway_attempts_total") == {}
    assert before.by("outcome", "gateway_attempts_total") == {"delivered": 2}


# What a process counted.


async def test_requests_are_counted_by_the_template_of_their_route(
    gateway: Gateway, country: httpx.AsyncClient
) -> None:
    async with another_process(gateway, country.headers) as client:
        for form in ("TTHC_06A", "KTXH_01", "NO_SUCH"):
            await client.get(f"/v1/forms/{form}")
        found = await scrape(client)
    asked = {"method": "GET", "route": "/v1/forms/{code}"}
    assert found.value("gateway_http_requests_total", **asked, status="200") == 2
    assert found.value("gateway_http_requests_total", **asked, status="404") == 1
    assert found.value("gateway_http_request_duration_seconds_count", **asked) == 3


async def test_no_label_has_a_value_that_a_client_chose(gateway: Gateway, country: httpx.AsyncClient) -> None:
    async with another_process(gateway, country.headers) as client:
        for number in range(20):
            await client.request(f"WILD{number}", f"/v1/reports/wild-{number}")
            await client.get(f'/wild/{number}/"}}/%0a\\?wild={number}', headers={"X-Request-Id": f"wild-{number}"})
            await client.post(f"/v1/forms/wild-{number}/versions/wild")
            await client.get(f"/docs/static/wild-{number}.js")
            await push(client, a_report(agency=f"wild-{number}", form=f"WILD_{number}"))
        text = (await client.get("/metrics")).text
    found = Scraped(text)
    assert "wild" not in text.lower()
    assert found.labels("method") == {"GET", "POST", "other"}
    assert found.labels("route") <= {"", "/docs", *DOCUMENT["paths"]}
    assert found.labels("status") == {"404", "405"}


async def test_reports_are_counted_by_what_became_of_them(gateway: Gateway, country: httpx.AsyncClient) -> None:
    wrong = a_report(period="2097-Q1", rows=[a_row(received_total=1)])
    async with another_process(gateway, country.headers) as client:
        await push(client, a_report(), key="k")
        await push(client, a_report(), key="k")
        await push(client, a_report())
        await push(client, wrong)
        await push(client, a_report(form="NO_SUCH"))
        await push(client, a_report(), to="/validate")
        lines = ndjson(a_report(period="2097-Q2"), a_report(), wrong | {"period": "2097-Q3"}, b"{")
        await push(client, lines, to="/batch")
        found = await scrape(client)
    results = {
        each: found.value("gateway_reports_received_total", result=each)
        for each in ("accepted", "replayed", "rejected", "refused")
    }
    assert results == {"accepted": 2, "replayed": 3, "rejected": 2, "refused": 2}


async def test_a_request_that_fails_within_the_gateway_is_counted_as_it_was_answered(
    gateway: Gateway, country: httpx.AsyncClient
) -> None:
    engine = open_engine(gateway.settings, NO_SOCKET)
    async with in_process(build_gateway(gateway.settings, engine), headers=country.headers) as client:
        await client.get("/v1/reports")
        found = await scrape(client)
    assert found.value("gateway_http_requests_total", method="GET", route="/v1/reports", status="503") == 1


# Asking for it.


async def test_while_the_database_is_away_the_metrics_of_the_process_are_there(gateway: Gateway) -> None:
    async with in_process(build_gateway(gateway.settings, open_engine(gateway.settings, NO_SOCKET))) as client:
        await client.get("/healthz")
        found = await scrape(client)
    assert found.value("gateway_database_up") == 0
    assert found.value("gateway_http_requests_total", method="GET", route="/healthz", status="200") == 1
    assert found.value("process_resident_memory_bytes") > 0
    assert found.value("gateway_build_info", version="0.1.0") == 1
    assert found.labels("connector") == set()


async def test_a_database_that_does_not_answer_counts_as_away_until_it_does(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connect_upstream(gateway, NOWHERE)
    monkeypatch.setattr(metrics, "_PATIENCE", 0.1)
    monkeypatch.setattr(metrics, "_FRESH", 0)
    async with another_process(gateway) as client:
        async with connected(gateway.engine) as connection, connection.transaction():
            await connection.execute("LOCK TABLE tallies IN ACCESS EXCLUSIVE MODE")
            assert (await scrape(client)).value("gateway_database_up") == 0
        monkeypatch.setattr(metrics, "_PATIENCE", 5)
        found = await scrape(client)
    assert found.value("gateway_database_up") == 1
    assert found.labels("connector") == {"national"}
    assert found.value("gateway_database_connections_max") == gateway.settings.database_pool


async def test_many_who_ask_at_once_cost_the_database_one_reading(gateway: Gateway) -> None:
    await connect_upstream(gateway, NOWHERE)
    async with another_process(gateway) as client, connected(gateway.engine) as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE tallies IN ACCESS EXCLUSIVE MODE")
            asking = [asyncio.create_task(scrape(client)) for _ in range(10)]
            await until_waiting(connection, "relation")
            assert await waiting(connection, "relation") == 1
        assert {(await each).value("gateway_database_up") for each in asking} == {1}
        async with connection.transaction():  # what was read is told again for a while
            await connection.execute("LOCK TABLE tallies IN ACCESS EXCLUSIVE MODE")
            assert (await scrape(client)).value("gateway_database_up") == 1
