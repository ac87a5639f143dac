"""The matrix of rights, made from the routes themselves: every bad token on each, and whatever is another's in each
place of a request where it could be named."""

import base64
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey
from uuid_utils.compat import uuid7

from described import DOCUMENT
from factories import a_codelist, a_form, a_regime, a_report, an_agency, body
from forwarding import connect_upstream, deliveries
from gateway.access.scopes import Scope
from gateway.api.deps import Gateway
from gateway_under_test import NewClient, accepted, add_account, bearer, connected, in_process, push
from rights import GUARDED, RIGHTS, call

ALL = tuple(scope.value for scope in Scope)
OWN, OWN_BELOW, FOREIGN, FOREIGN_BELOW = "H29", "H29.18", "H26", "H26.18"
OPEN = "the catalogue is everybody's"
NAMED = {"agency", "under", "report", "connector", "from", "cursor"}
"""Query parameters by which something of others could be named."""


@dataclass(frozen=True, slots=True)
class Others:
    """What another province has, and one's own."""

    report: str
    delivery: str
    client: str
    own_report: str
    cursors: dict[str, str]
    marks: tuple[str, ...]
    """What no answer may hold."""


@dataclass(frozen=True, slots=True)
class Try:
    """A request that names something of others, and the status it is answered with."""

    status: int
    request: Callable[[Others], dict[str, Any]]


Entry: TypeAlias = Try | str
"""What is tried in a place; or why nothing there can be another's."""


def query(status: int, **values: str) -> Try:
    return Try(status, lambda _: {"params": values})


def named(status: int, **values: str) -> Try:
    """A query whose values name members of ``Others``."""
    return Try(status, lambda others: {"params": {key: getattr(others, value) for key, value in values.items()}})


def sent(status: int, document: object) -> Try:
    return Try(status, lambda _: {"json": document})


def cursor(route: str, **more: str) -> Try:
    """The place where a list went on for somebody else: it goes on from there in one's own."""
    return Try(200, lambda others: {"params": {"cursor": others.cursors[route], **more}})


FILE = Try(
    403,
    lambda _: {
        "params": {"form": "TTHC_06A", "agency": FOREIGN_BELOW, "period": "2098-Q3"},
        "content": b"sector\nLAND\n",
        "headers": {"Content-Type": "text/csv"},
    },
)
AGENCY = {"agency": query(403, agency=FOREIGN_BELOW), "under": query(403, under=FOREIGN)}
FIGURES = {"form": "TTHC_06A", "period": "2098-Q3"}
BY_REPORT: dict[str, Entry] = {"{report}": Try(404, lambda others: {"path": {"report": others.report}})}
BY_DELIVERY: dict[str, Entry] = {"{delivery}": Try(404, lambda others: {"path": {"delivery": others.delivery}})}
BY_CLIENT: dict[str, Entry] = {"{client}": Try(404, lambda others: {"path": {"client": others.client}, "json": {}})}
BY_CONNECTOR: dict[str, Entry] = {"{name}": Try(404, lambda _: {"path": {"name": "theirs"}})}
REASON: dict[str, Entry] = {"body": "a reason"}
PUSHED = {"content": body(a_report(agency=FOREIGN_BELOW))}
JSON = {"headers": {"Content-Type": "application/json"}}
PUSH: dict[str, Entry] = {"body": Try(403, lambda _: PUSHED | JSON)}
CONNECTOR = {"kind": "http_json", "url": "https://up.example/", "under": FOREIGN}

PLACES: dict[str, dict[str, Entry]] = {
    "POST /v1/reports": {
        "agency": FILE,
        **PUSH,
        "Idempotency-Key": Try(403, lambda _: PUSHED | {"headers": {**JSON["headers"], "Idempotency-Key": "theirs"}}),
    },
    "POST /v1/reports/validate": {**PUSH, "agency": FILE, "Idempotency-Key": "nothing is stored by it"},
    "POST /v1/reports/batch": {
        "body": Try(200, lambda _: {"content": PUSHED["content"], "headers": {"Content-Type": "application/x-ndjson"}}),
        "Idempotency-Key": Try(
            200,
            lambda _: {
                "content": PUSHED["content"],
                "headers": {"Content-Type": "application/x-ndjson", "Idempotency-Key": "theirs"},
            },
        ),
    },
    "GET /v1/reports": {**AGENCY, "cursor": cursor("/reports")},
    "GET /v1/reports/{report}": BY_REPORT,
    "GET /v1/reports/{report}/payload": BY_REPORT,
    "GET /v1/reports/{report}/history": BY_REPORT,
    "GET /v1/reports/{report}/receipt": BY_REPORT,
    "GET /v1/reports/{report}/signature": BY_REPORT,
    "GET /v1/reports/{report}/difference": {
        **BY_REPORT,
        "from": Try(400, lambda others: {"path": {"report": others.own_report}, "params": {"from": others.report}}),
    },
    "POST /v1/reports/{report}/return": {
        "{report}": Try(404, lambda others: {"path": {"report": others.report}, "json": {"reason": "x"}}),
        **REASON,
    },
    "POST /v1/reports/{report}/withdraw": {
        "{report}": Try(404, lambda others: {"path": {"report": others.report}, "json": {"reason": "x"}}),
        **REASON,
    },
    "POST /v1/consolidations": {"body": sent(403, FIGURES | {"agency": FOREIGN})},
    "GET /v1/consolidations": {**AGENCY, "cursor": cursor("/reports")},
    "GET /v1/regimes": {"cursor": OPEN},
    "GET /v1/regimes/{code}": {"{code}": OPEN},
    "PUT /v1/regimes/{code}": {
        "{code}": "what a regime binds is in the body",
        "body": sent(403, a_regime(code="TTHC_06A", owner=FOREIGN)),
    },
    "GET /v1/calendars/{year}": {"{year}": OPEN},
    "PUT /v1/calendars/{year}": {
        "{year}": Try(403, lambda _: {"json": {"days": []}}),
        "body": "only the whole country",
    },
    "GET /v1/periods": {},
    "GET /v1/obligations": {**AGENCY, "cursor": "a place in the list of what is owed; nothing of others is in it"},
    "POST /v1/obligations/extensions": {
        "body": sent(403, FIGURES | {"agency": FOREIGN_BELOW, "until": "2099-01-01", "reason": "x"})
    },
    "GET /v1/obligations/extensions": {**AGENCY, "cursor": cursor("/reports")},
    "GET /v1/completeness": {"under": query(403, **FIGURES, under=FOREIGN)},
    "GET /v1/aggregates": {"under": query(403, **FIGURES, under=FOREIGN)},
    "GET /v1/aggregates/lineage": {
        "under": query(403, **FIGURES, indicator="received_total", under=FOREIGN),
        "cursor": "holds the question it goes on with",
    },
    "GET /v1/observations": {
        "under": query(403, **FIGURES, under=FOREIGN),
        "cursor": "holds the question it goes on with",
    },
    "GET /v1/changes": {"under": query(403, under=FOREIGN), "cursor": cursor("/changes")},
    "GET /sdmx/v1/data/{path}": {"{path}": Try(403, lambda _: {"path": {"path": "TTHC_06A/Q.H26"}})},
    "GET /sdmx/v1/availableconstraint/{path}": {"{path}": Try(403, lambda _: {"path": {"path": "TTHC_06A/Q.H26"}})},
    "GET /sdmx/v2/data/{path}": {
        "{path}": Try(403, lambda _: {"path": {"path": "dataflow/VNGOV/TTHC_06A?c[AGENCY]=H26"}})
    },
    "GET /sdmx/v2/availability/{path}": {
        "{path}": Try(403, lambda _: {"path": {"path": "dataflow/VNGOV/TTHC_06A?c[AGENCY]=H26"}})
    },
    "GET /sdmx/v1/schema/{path}": {"{path}": OPEN},
    "GET /sdmx/v1/{path}": {"{path}": OPEN},
    "GET /sdmx/v2/schema/{path}": {"{path}": OPEN},
    "GET /sdmx/v2/structure/{path}": {"{path}": OPEN},
    "GET /sdmx/v2/{path}": {"{path}": OPEN},
    "GET /v1/forms": {"cursor": OPEN},
    "GET /v1/forms/{code}": {"{code}": OPEN},
    "GET /v1/forms/{code}/versions/{version}": {"{code}": OPEN, "{version}": OPEN},
    "GET /v1/forms/{code}/schema": {"{code}": OPEN},
    "GET /v1/forms/{code}/example": {"{code}": OPEN},
    "GET /v1/forms/{code}/template.csv": {"{code}": OPEN},
    "GET /v1/forms/{code}/template.xlsx": {"{code}": OPEN},
    "PUT /v1/forms/{code}/versions/{version}": {
        "{code}": "only the whole country",
        "{version}": "only the whole country",
        "body": Try(403, lambda _: {"path": {"code": "TEST_01", "version": "1"}, "json": a_form()}),
    },
    "POST /v1/forms/{code}/versions/{version}/backtest": {
        "{code}": OPEN,
        "{version}": OPEN,
        "under": query(403, period="2098-Q3", under=FOREIGN),
        "body": "a form",
    },
    "GET /v1/codelists/{id}": {"{id}": OPEN},
    "PUT /v1/codelists/{id}": {
        "{id}": "only the whole country",
        "body": Try(403, lambda _: {"path": {"id": "TEST_LIST"}, "json": a_codelist("A", id="TEST_LIST")}),
    },
    "GET /v1/agencies": {"under": OPEN, "cursor": OPEN},
    "GET /v1/agencies/{code}": {"{code}": OPEN},
    "PUT /v1/agencies/{code}": {
        "{code}": Try(
            403, lambda _: {"path": {"code": FOREIGN_BELOW}, "json": an_agency(code=FOREIGN_BELOW, parent=FOREIGN)}
        ),
        "body": Try(
            403, lambda _: {"path": {"code": "H29.18.01"}, "json": an_agency(code="H29.18.01", parent=FOREIGN_BELOW)}
        ),
    },
    "GET /v1/connectors": {"cursor": "a name after which one's own follow"},
    "GET /v1/connectors/{name}": BY_CONNECTOR,
    "PUT /v1/connectors/{name}": {
        "{name}": Try(404, lambda _: {"path": {"name": "theirs"}, "json": CONNECTOR | {"under": OWN}}),
        "body": Try(403, lambda _: {"path": {"name": "mine"}, "json": CONNECTOR}),
    },
    "DELETE /v1/connectors/{name}": BY_CONNECTOR,
    "POST /v1/connectors/{name}/pause": BY_CONNECTOR | REASON,
    "POST /v1/connectors/{name}/resume": BY_CONNECTOR | REASON,
    "POST /v1/connectors/{name}/retry": {
        **BY_CONNECTOR,
        **REASON,
        "agency": Try(403, lambda _: {"path": {"name": "mine"}, "params": {"agency": FOREIGN_BELOW}}),
        "under": Try(403, lambda _: {"path": {"name": "mine"}, "params": {"under": FOREIGN}}),
        "report": "it narrows what is taken up of one's own connector",
    },
    "GET /v1/connectors/{name}/interventions": {
        **BY_CONNECTOR,
        "cursor": "a place in the list of one's own connector",
    },
    "GET /v1/connectors/{name}/reconciliation": {
        "{name}": Try(404, lambda _: {"path": {"name": "theirs"}, "params": FIGURES})
    },
    "GET /v1/deliveries": {
        **AGENCY,
        "connector": query(404, connector="theirs"),
        "report": named(200, report="report"),
        "cursor": cursor("/deliveries"),
    },
    "GET /v1/deliveries/{delivery}": BY_DELIVERY,
    "POST /v1/deliveries/{delivery}/retry": BY_DELIVERY | REASON,
    "POST /v1/deliveries/{delivery}/cancel": BY_DELIVERY | REASON,
    "GET /v1/log/entries": {"from": Try(403, lambda _: {"params": {"from": "0"}})},
    "GET /v1/reports/{report}/proof": BY_REPORT,
    "GET /v1/clients": {"under": query(403, under=FOREIGN), "cursor": cursor("/clients")},
    "POST /v1/clients": {"body": sent(403, {"name": "x", "agency": FOREIGN_BELOW, "scopes": ["reports:read"]})},
    "POST /v1/clients/{client}/rotate": BY_CLIENT | {"body": "nothing in it is another's"},
    "PUT /v1/clients/{client}/limits": BY_CLIENT | {"body": "nothing in it is another's"},
    "POST /v1/clients/{client}/revoke": BY_CLIENT,
    "GET /v1/agencies/{code}/signers": {"{code}": Try(404, lambda _: {"path": {"code": FOREIGN_BELOW}})},
    "PUT /v1/agencies/{code}/signers": {
        "{code}": Try(404, lambda _: {"path": {"code": FOREIGN_BELOW}, "json": {"signers": []}}),
        "body": "nothing in it is another's",
    },
}
"""Of every guarded route each place of a request, with what is tried there."""


def places() -> dict[str, set[str]]:
    """The places of each guarded route where something could be named, by what it says of itself."""
    found: dict[str, set[str]] = {}
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            names = {
                parameter["name"] if parameter["in"] != "path" else f"{{{parameter['name']}}}"
                for parameter in operation.get("parameters", [])
                if parameter["in"] == "path" or parameter["name"] in NAMED | {"Idempotency-Key"}
            }
            found[f"{method.upper()} {path}"] = names | ({"body"} if "requestBody" in operation else set())
    return found


def listed(route: str) -> str:
    """A route of the table of rights by its name in the document."""
    return route.replace("{path:path}", "{path}")


def test_every_place_of_every_guarded_route_has_an_entry() -> None:
    found = places()
    assert {route: found[route] for route in map(listed, GUARDED)} == {
        route: set(entries) for route, entries in PLACES.items()
    }


def test_a_route_without_an_entry_would_be_found() -> None:
    """The control of the test before, and of the one that compares the table of rights with the routes."""
    found = places()
    assert len(found) == len(RIGHTS)
    del found["GET /v1/reports"]
    with pytest.raises(KeyError):
        _ = {route: found[route] for route in map(listed, GUARDED)}


@pytest.fixture
async def others(gateway: Gateway, client_for: NewClient) -> Others:
    country = await client_for(*ALL)
    own = await accepted(country, a_report(agency=OWN_BELOW))
    await connect_upstream(gateway, "http://127.0.0.1:9/theirs", "theirs", under=FOREIGN)
    first = (await accepted(country, a_report(agency=FOREIGN_BELOW)))["id"]
    theirs = await accepted(country, a_report(agency=FOREIGN_BELOW, corrects=first, reason="sai"), "theirs")
    foreign = await add_account(gateway.engine, ALL, FOREIGN)
    delivery, _ = await deliveries(gateway.engine)
    cursors = {}
    await accepted(country, a_report(agency=FOREIGN_BELOW, period="2097-Q3"))
    for path in ("/reports", "/deliveries", "/clients"):
        cursors[path] = (await country.get(f"/v1{path}", params={"limit": 1})).json()["next"]
    cursors["/changes"] = (await country.get("/v1/changes", params={"limit": 1})).json()["next"]
    marks = (theirs["sha256"], theirs["receipt"], "127.0.0.1:9/theirs", f'"agency":"{FOREIGN_BELOW}"')
    return Others(theirs["id"], str(delivery["id"]), str(foreign.id), own["id"], cursors, marks)


async def ask(client: httpx.AsyncClient, route: str, tried: Try, others: Others) -> httpx.Response:
    asked = tried.request(others)
    method, path = route.split()
    defaults = {"report": others.own_report, "code": "TTHC_06A", "version": "1", "year": "2026", "id": "TTHC_SECTOR"}
    for name, value in (defaults | asked.pop("path", {})).items():
        path = path.replace(f"{{{name}}}", value)
    return await client.request(method, path, **asked)


async def test_nothing_of_another_province_is_reached_from_any_place_of_any_request(
    client_for: NewClient, others: Others, gateway: Gateway
) -> None:
    client = await client_for(*ALL, agency=OWN, headers={"Accept-Language": "en"})
    before = await standing(gateway)
    wrong = []
    for route, entries in PLACES.items():
        for place, tried in entries.items():
            if isinstance(tried, str):
                continue
            answer = await ask(client, route, tried, others)
            shown = [mark for mark in others.marks if mark in answer.text.replace(" ", "")]
            line = '"status":403' in answer.text if route == "POST /v1/reports/batch" else True
            if answer.status_code != tried.status or shown or not line:
                wrong.append(f"{route} {place}: {answer.status_code}, not {tried.status} {shown} {answer.text[:200]}")
    assert wrong == []
    assert await standing(gateway) == before


async def standing(gateway: Gateway) -> list[object]:
    """What must be the same afterwards: of another province nothing was changed, added or ended."""
    sql = (
        "SELECT ARRAY(SELECT id || status FROM reports ORDER BY id)"
        " || ARRAY(SELECT id || state FROM deliveries ORDER BY id)"
        " || ARRAY(SELECT name || coalesce(paused_at::text, '') FROM connectors ORDER BY id)"
        " || ARRAY(SELECT id::text || coalesce(revoked_at::text, '') FROM clients ORDER BY id)"
        " || ARRAY(SELECT id::text || coalesce(expires_at::text, '') FROM client_credentials ORDER BY id)"
    )
    async with connected(gateway.engine) as connection:
        return list(await connection.fetchval(sql))


async def test_with_the_other_province_s_own_token_the_same_requests_reach_it(
    client_for: NewClient, others: Others
) -> None:
    """The control: it is the subtree that keeps others out, not a request that leads nowhere."""
    client = await client_for(*ALL, agency=FOREIGN)
    for route, entries in PLACES.items():
        for place, tried in entries.items():
            if isinstance(tried, str) or not route.startswith("GET") or tried.status == 200 or place == "from":
                continue
            answer = await ask(client, route, tried, others)
            words = ("proof-pending", "không có chữ ký")
            reached = answer.status_code in {200, 409} or any(each in answer.text for each in words)
            assert reached, (route, place, answer.text[:300])


async def test_an_idempotency_key_of_another_client_is_another_key(client_for: NewClient, others: Others) -> None:
    client = await client_for(*ALL, agency=OWN)
    answer = await push(client, a_report(agency=OWN_BELOW, period="2097-Q3"), "theirs")
    assert (answer.status_code, "idempotent-replayed" in answer.headers) == (201, False)


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    return {
        "iss": "http://127.0.0.1:8000",
        "aud": "http://127.0.0.1:8000",
        "sub": str(uuid7()),
        "scope": " ".join(ALL),
        "agency": None,
        "iat": now,
        "exp": now + 900,
        **changes,
    }


def signed(gateway: Gateway, key: Any = None, header: dict[str, Any] | None = None, **changes: object) -> str:
    key = key or gateway.keys.tokens.current
    full = {"alg": "Ed25519", "typ": "at+jwt", "kid": gateway.keys.tokens.current.kid, **(header or {})}
    return jwt.encode(full, claims(**changes), key, algorithms=[full["alg"]])


def unsigned(gateway: Gateway) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    return f"{header}.{signed(gateway).split('.')[1]}."


def by_the_public_key(gateway: Gateway) -> str:
    """Signed by what everybody knows, as if that were a secret (RFC 8725, 2.1)."""
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"at+jwt"}').rstrip(b"=").decode()
    content = f"{header}.{signed(gateway).split('.')[1]}"
    key = gateway.keys.tokens.current.as_pem(private=False)
    mac = hmac.digest(key, content.encode(), "sha256")
    return f"{content}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def altered(gateway: Gateway) -> str:
    head, _, signature = signed(gateway, agency="H29").split(".")
    return ".".join([head, signed(gateway).split(".")[1], signature])


FOREIGN_KEY = OKPKey.generate_key("Ed25519")
BAD: dict[str, Callable[[Gateway], str]] = {
    "none at all": lambda _: "",
    "expired": lambda gateway: signed(gateway, exp=int(time.time()) - 62),
    "for another audience": lambda gateway: signed(gateway, aud="https://elsewhere.example"),
    "of another issuer": lambda gateway: signed(gateway, iss="https://elsewhere.example"),
    "without a signature": unsigned,
    "HS256 with the public key": by_the_public_key,
    "of another type": lambda gateway: signed(gateway, header={"typ": "JWT"}),
    "by a key of nobody's under the id of ours": lambda gateway: signed(
        gateway, OKPKey.generate_key("Ed25519", {"kid": str(gateway.keys.tokens.current.kid)})
    ),
    "of a key it brings along": lambda gateway: signed(
        gateway, FOREIGN_KEY, header={"kid": "brought", "jwk": FOREIGN_KEY.as_dict(private=False)}
    ),
    "cut short": lambda gateway: signed(gateway)[:-10],
    "with other claims under the signature": altered,
    "signed by the key of receipts": lambda gateway: signed(gateway, gateway.keys.receipts.current),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_token_that_is_no_good_opens_no_route(gateway: Gateway, kind: str) -> None:
    token = BAD[kind](gateway)
    async with in_process(gateway, headers={"Authorization": f"Bearer {token}"} if token else {}) as client:
        wrong = [route for route in GUARDED if (await call(client, route)).status_code != 401]
    assert wrong == []


async def test_the_same_token_whole_and_in_time_opens_them(gateway: Gateway) -> None:
    """The control of the test before."""
    async with in_process(gateway, headers={"Authorization": f"Bearer {signed(gateway)}"}) as client:
        refused = [route for route in GUARDED if (await call(client, route)).status_code in {401, 403}]
    assert refused == []


async def test_a_revoked_client_opens_no_route(gateway: Gateway) -> None:
    account = await add_account(gateway.engine, ALL, None)
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE clients SET revoked_at = now()")
    gateway.standing._read_at = float("-inf")
    async with in_process(gateway, headers=bearer(gateway.tokens, account.id, ALL, None)) as client:
        wrong = [route for route in GUARDED if (await call(client, route)).status_code != 401]
    assert wrong == []


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_scope_opens_its_routes_and_no_others(gateway: Gateway, client_for: NewClient, scope: Scope) -> None:
    client = await client_for(scope.value, headers={"Accept-Language": "en"})
    wrong = []
    for route in GUARDED:
        status = (await call(client, route)).status_code
        takes = RIGHTS[route].split(" or ")
        opens = scope.value in takes or RIGHTS[route] == "any token"
        # Where a second scope opens a route, it does so for what its holder brought: with tests of their own.
        if (status == 403) == opens and not (opens and scope.value == "reports:relay"):
            wrong.append(f"{route}: {status}")
    assert wrong == []
