"""How a mapping tells a report to a system of another shape, and what it makes of its answers, on a real upstream."""

import hashlib
import re
from base64 import b64decode
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography.fernet import Fernet, MultiFernet
from hypothesis import given
from hypothesis import strategies as st

from answering import AT, DISPATCH, KEY, SECRET, TAKEN, Upstream, answering, needed_options, send_to, settings, upstream
from gateway.api.shapes import FullReport
from gateway.connectors.connector import Dispatch, InvalidConnectorOptions, InvalidConnectorSettings
from gateway.connectors.head import filled_header, filled_path, read_header, read_path
from gateway.connectors.mapping import REPORT
from gateway.connectors.registry import open_connector
from gateway.connectors.signing import signature
from gateway.connectors.template import Unfilled, fill
from gateway.connectors.template_syntax import TemplateReader
from gateway.db.claims import Target
from gateway.domain.delivery import Event, Outcome, OutcomeClass
from gateway.domain.exact import decode, encode
from gateway.upstreams import Upstreams

MAPPED = ["http_json", "lgsp", "ndxp"]
PAGE = Path(__file__).parents[2] / "docs" / "forwarding.md"
REPORT_BODY = (
    b'{"id":"01982222-0000-7000-8000-000000000002","form":"TTHC_06A","agency":"H26.18","period":"2026-Q2",'
    b'"received_at":"2026-07-20T07:00:00.000000Z","late":false,"nil":null,"ended":null,"rows":['
    b'{"sector":"LAND","received_total":2400.50,"resolved":12345678901234567890.000000000000000001},'
    b'{"sector":"BUILD","received_total":null,"resolved":0.10}]}'
)
ACCEPTED = DISPATCH._replace(body=REPORT_BODY)
WITHDRAWN = DISPATCH._replace(
    event=Event.withdrawn,
    body=encode({"event": "withdrawn", "report": DISPATCH.report, "reason": 'Sai "số" liệu'}),
)
DELIVERED, REFUSED = OutcomeClass.delivered, OutcomeClass.refused


def options_for(kind: str, url: str, **options: object) -> dict[str, object]:
    return {**(needed_options(kind, url) or {}), **options}


async def told(kind: str = "http_json", dispatch: Dispatch = ACCEPTED, **options: Any) -> tuple[Outcome, Upstream]:
    """What becomes of a dispatch, and what arrived of it."""
    async with upstream(answering("200 OK")) as system:
        return await send_to(
            kind, system.url, dispatch=dispatch, options=options_for(kind, system.url, **options)
        ), system


async def refused_with(dispatch: Dispatch = ACCEPTED, **options: Any) -> str:
    """Why a dispatch is refused, of which nothing may be sent."""
    outcome, system = await told(dispatch=dispatch, **options)
    assert (outcome.kind, outcome.status, system.requests) == (REFUSED, None, [])
    return outcome.reason.removeprefix("not sent: ")


# The page of the documentation


def _example() -> tuple[dict[str, Any], str, dict[str, str], Any]:
    """The connector of the page, and the request that it says arrives: target, headers, body."""
    section = PAGE.read_text(encoding="utf-8").split("\n## Mapping\n")[1]
    connector, request = re.findall(r"```(?:json|http)\n(.*?)```", section, re.DOTALL)[:2]
    head, body = request.split("\n\n")
    first, *lines = head.split("\n")
    return decode(connector.encode()), first, dict(line.split(": ") for line in lines), decode(body.encode())


async def test_the_worked_example_of_the_documentation_sends_what_it_says() -> None:
    connector, first, headers, body = _example()
    async with upstream(answering("200 OK", body=b'{"MSG":"Done","Count":2}')) as system:
        url = system.url.replace("/reports", "/api")
        outcome = await send_to(connector["kind"], url, dispatch=ACCEPTED, options=connector["options"])
    assert outcome.kind is DELIVERED
    assert f"{system.methods[0]} {system.targets[0]} HTTP/1.1" == first
    assert system.requests[0][0].items() >= {name.lower(): value for name, value in headers.items()}.items()
    assert decode(system.requests[0][1]) == body
    assert b'"value":2400.50,' in system.requests[0][1]


# What is sent


@pytest.mark.parametrize("kind", MAPPED)
async def test_the_digest_the_signature_and_the_key_are_those_of_the_mapped_request(kind: str) -> None:
    async with upstream(answering("200 OK", body=TAKEN.get(kind, b""))) as system:
        options = options_for(
            kind,
            system.url,
            accepted={
                "method": "PATCH",
                "path": "/{form}?p={period}",
                "headers": {"X-A": "{agency}"},
                "body": ["{late}"],
            },
        )
        outcome = await send_to(kind, system.url, {"signing_secret": SECRET}, dispatch=ACCEPTED, options=options)
    [(headers, body)] = system.requests
    assert (outcome.kind, body, system.methods) == (DELIVERED, b"[false]", ["PATCH"])
    assert "/TTHC_06A?p=2026-Q2" in system.targets[0]
    assert "?" not in system.targets[0].replace("?", "", 1)
    assert headers["x-a"] == "H26.18"
    assert headers["idempotency-key"] == f"{DISPATCH.report}:accepted"
    assert b64decode(headers["content-digest"][9:-1]) == hashlib.sha256(body).digest()
    assert headers["webhook-signature"] == signature(KEY, str(DISPATCH.delivery), AT, body)
    assert (headers["content-type"], headers["content-length"]) == ("application/json", str(len(body)))


async def test_every_attempt_sends_the_same_bytes() -> None:
    connector, *_ = _example()
    async with upstream(answering("503 No")) as system:
        for later in range(3):
            again = ACCEPTED._replace(attempted_at=AT + timedelta(hours=later))
            await send_to("http_json", system.url, dispatch=again, options=connector["options"])
    assert len(system.requests) == 3
    assert len({body for _, body in system.requests}) == 1
    assert len(set(system.targets)) == 1


async def test_a_notice_is_told_by_its_own_request() -> None:
    asked = {"method": "PUT", "path": "/thu-hoi/{report}", "body": {"lyDo": "{reason}", "su_kien": "{event}"}}
    outcome, system = await told(dispatch=WITHDRAWN, withdrawn=asked)
    assert outcome.kind is DELIVERED
    assert system.targets == [f"/reports/thu-hoi/{DISPATCH.report}"]
    assert decode(system.requests[0][1]) == {"lyDo": 'Sai "số" liệu', "su_kien": "withdrawn"}


async def test_an_event_with_an_empty_request_is_sent_as_without_a_mapping_and_one_without_any_is_not_sent() -> None:
    outcome, system = await told(dispatch=WITHDRAWN, accepted={"body": {}}, withdrawn={})
    assert (outcome.kind, system.methods, system.targets) == (DELIVERED, ["POST"], ["/reports"])
    assert system.requests[0][1] == WITHDRAWN.body
    why = await refused_with(WITHDRAWN, accepted={"body": {}})
    assert why == "options have no request for withdrawn: a person has to do it there"


async def test_codes_alone_change_nothing() -> None:
    outcome, system = await told(codes={"offices": {"H26.18": 1}})
    assert (outcome.kind, system.requests[0][1]) == (DELIVERED, REPORT_BODY)


# Templates


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{agency}", '"H26.18"'),
        ("{late}", "false"),
        ("{nil}", "null"),
        ("{rows/0/received_total}", "2400.50"),
        ("{rows/0/resolved}", "12345678901234567890.000000000000000001"),
        ("{rows/1/resolved|text}", '"0.10"'),
        ("{rows/1/received_total|text}", "null"),
        ("{rows/1}", '{"sector":"BUILD","received_total":null,"resolved":0.10}'),
        ("{year}{part}: {rows/1/resolved}, {late}", '"2026Q2: 0.10, false"'),
        ("{year}", "2026"),
        ("{{{agency}}}", '"{H26.18}"'),
        ("{{agency}}", '"{agency}"'),
        ("{agency|offices}", "18"),
        ("{agency|offices} {form}", '"18 TTHC_06A"'),
        ("{late|shown}", '"no"'),
        ({"a": [], "b": {}, "c": [1, Decimal("2.50"), None, True, "x"]}, '{"a":[],"b":{},"c":[1,2.50,null,true,"x"]}'),
        ({"$each": "row", "$give": "{row/sector}"}, '["LAND","BUILD"]'),
        ({"$each": "row", "$give": {"a": "{agency}", "s": ["{row/sector}"]}},
         '[{"a":"H26.18","s":["LAND"]},{"a":"H26.18","s":["BUILD"]}]'),
        ({"$each": "cell", "$of": ["received_total", "resolved"], "$give": ["{row/sector}", "{cell/value}"]},
         '[["LAND",2400.50],["LAND",12345678901234567890.000000000000000001],["BUILD",null],["BUILD",0.10]]'),
        ({"$each": "cell", "$of": ["received_total"], "$give": "{cell/indicator}", "$skip_blanks": True},
         '["received_total"]'),
        ({"$each": "row", "$give": {"$each": "cell", "$of": ["resolved"], "$give": "{cell/value}"}},
         "[[12345678901234567890.000000000000000001],[0.10]]"),
    ],
)  # fmt: skip
async def test_a_template_comes_to(template: object, expected: str) -> None:
    codes = {"offices": {"H26.18": 18}, "shown": {"false": "no"}}
    outcome, system = await told(accepted={"body": template}, codes=codes)
    assert (outcome.kind, system.requests[0][1].decode()) == (DELIVERED, expected)


async def test_a_year_and_an_ad_hoc_period_have_parts_too() -> None:
    for period, expected in (("2026", [2026, "Y"]), ("2026-07-20/P14D", [2026, "07-20/P14D"])):
        dispatch = ACCEPTED._replace(body=encode(decode(REPORT_BODY) | {"period": period}))
        _, system = await told(dispatch=dispatch, accepted={"body": ["{year}", "{part}"]})
        assert decode(system.requests[0][1]) == expected


async def test_a_report_without_rows_makes_empty_lists() -> None:
    dispatch = ACCEPTED._replace(body=encode(decode(REPORT_BODY) | {"rows": []}))
    _, system = await told(dispatch=dispatch, accepted={"body": {"a": {"$each": "row", "$give": 1}, "b": 2}})
    assert system.requests[0][1] == b'{"a":[],"b":2}'


async def test_decimals_written_in_options_keep_their_digits_where_a_worker_opens_the_connector() -> None:
    options = (
        '{"accepted": {"body": [0.10, 12345678901234567890.123, "{agency|t}"]}, "codes": {"t": {"H26.18": 1.500}}}'
    )
    upstreams = Upstreams(MultiFernet([Fernet(Fernet.generate_key())]), 5.0)
    async with upstream(answering("200 OK")) as system:
        async with upstreams.use(Target(1, "old", "http_json", system.url, True, None, options)) as connector:
            await connector.send(ACCEPTED)
        await upstreams.aclose()
    assert system.requests[0][1] == b"[0.10,12345678901234567890.123,1.500]"


# What cannot be told


@pytest.mark.parametrize(
    ("accepted", "why"),
    [
        ({"body": {"a": ["{rows/2/sector}"]}}, "/options/accepted/body/a/0: there is no rows/2/sector"),
        ({"body": "{ended/at}"}, "/options/accepted/body: there is no ended/at"),
        ({"body": "x {nil}"}, "/options/accepted/body: nil is null, which cannot be put into a text"),
        ({"body": "x {rows}"}, "/options/accepted/body: rows is a list or an object, which cannot be put into a text"),
        ({"body": {"~/": "{form|offices}"}},
         "/options/accepted/body/~0~1: codes/offices has nothing for form TTHC_06A"),
        ({"body": {"$each": "row", "$give": "{row/other}"}}, "/options/accepted/body/$give: there is no row/other"),
        ({"body": {"$each": "cell", "$of": ["other"], "$give": 1}}, "/options/accepted/body: the report has no other"),
        ({"headers": {"X-A": "{agency|offices}"}, "path": "/{sha256}"},
         "/options/accepted/path: there is no sha256"),
        ({"headers": {"X-A": "{nil}"}}, "/options/accepted/headers/X-A: nil is null, which cannot be put into a text"),
    ],
)  # fmt: skip
async def test_what_a_report_does_not_have_is_refused_by_its_place_and_not_sent(
    accepted: dict[str, object], why: str
) -> None:
    assert await refused_with(accepted=accepted, codes={"offices": {"H26.18": 18}}) == why


@pytest.mark.parametrize("kind", ["http_json", "lgsp"])
async def test_an_unknown_code_is_refused_and_named(kind: str) -> None:
    outcome, system = await told(kind, accepted={"path": "/{agency|offices}"}, codes={"offices": {"H26.19": 19}})
    assert outcome.reason == "not sent: /options/accepted/path: codes/offices has nothing for agency H26.18"
    assert system.requests == system.sign_ins == []


@pytest.mark.parametrize("value", ["", ".", "..", "../admin", "a/../../b", "a\\..\\b", "x//y"])
async def test_a_value_that_could_lead_a_path_elsewhere_is_refused(value: str) -> None:
    dispatch = ACCEPTED._replace(body=encode(decode(REPORT_BODY) | {"form": value}))
    why = await refused_with(dispatch, accepted={"path": "/a/{form}/b"})
    assert why.startswith("/options/accepted/path: ")


@pytest.mark.parametrize("value", ["a\r\nX-B: 1", "a\nb", "\x00", "tiếng Việt", " a", "", "a" * 5000])
async def test_a_value_that_no_header_can_carry_is_refused(value: str) -> None:
    dispatch = ACCEPTED._replace(body=encode(decode(REPORT_BODY) | {"form": value}))
    why = await refused_with(dispatch, accepted={"headers": {"X-A": "{form}"}})
    assert why.startswith("/options/accepted/headers/X-A: ")


async def test_a_template_that_grows_beyond_bounds_is_refused_soon() -> None:
    rows = [{"n": number, "text": "x" * 1000} for number in range(3000)]
    dispatch = ACCEPTED._replace(body=encode(decode(REPORT_BODY) | {"rows": rows}))
    why = await refused_with(dispatch, accepted={"body": {"$each": "row", "$give": "{rows}"}})
    assert why == "body: it would be larger than 16777216 bytes"


# What is answered


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"MSG":"Done","Count":1,"error":null}', OutcomeClass.delivered),
        ('\ufeff{"MSG":"OK","Count":1.0}', OutcomeClass.delivered),
        ('{"MSG":"Data not insert: Record 1: duplicate","Count":0}', OutcomeClass.refused),
        ('{"MSG":"Done","Count":true}', OutcomeClass.refused),
        ('{"MSG":"Done","Count":"1"}', OutcomeClass.refused),
        ('{"MSG":"Done","Count":1,"error":"x"}', OutcomeClass.refused),
        ('{"MSG":"Busy"}', OutcomeClass.throttled),
        ("[]", OutcomeClass.refused),
        ("null", OutcomeClass.refused),
        ("<html>log in</html>", OutcomeClass.ambiguous),
        ("", OutcomeClass.ambiguous),
    ],
)
async def test_a_200_is_judged_by_what_its_body_says(answer: str, expected: OutcomeClass) -> None:
    taken = {"/MSG": ["Done", "OK"], "/Count": [1], "/error": [None]}
    async with upstream(answering("200 OK", body=answer.encode())) as system:
        options = {"accepted": {"taken": taken, "busy": {"/MSG": ["Busy"]}}}
        outcome = await send_to("http_json", system.url, dispatch=ACCEPTED, options=options)
    assert (outcome.kind, outcome.status) == (expected, 200)
    assert (outcome.reply or "") == answer.replace("\ufeff", "\N{REPLACEMENT CHARACTER}")


async def test_a_refusal_in_the_body_names_the_place() -> None:
    async with upstream(answering("200 OK", body=b'{"MSG":"No"}')) as system:
        options = {"accepted": {"taken": {"/MSG": ["Done"]}}}
        outcome = await send_to("http_json", system.url, dispatch=ACCEPTED, options=options)
    assert outcome.reason == "refused: the upstream answered 200, but /MSG of its answer is not what means taken"


@pytest.mark.parametrize(
    ("results", "expected"), [(["OK", "OK"], DELIVERED), (["OK", "DUP"], REFUSED), ([], REFUSED), (None, REFUSED)]
)
async def test_every_record_of_an_answer_has_to_be_taken(results: list[str] | None, expected: OutcomeClass) -> None:
    answer = {} if results is None else {"results": [{"status": each} for each in results]}
    async with upstream(answering("200 OK", body=encode(answer))) as system:
        options = {"accepted": {"taken": {"/results/*/status": ["OK"]}}}
        outcome = await send_to("http_json", system.url, dispatch=ACCEPTED, options=options)
    assert outcome.kind is expected


async def test_a_long_answer_that_names_every_record_is_read_to_its_end() -> None:
    answer = encode({"results": [{"status": "OK", "record": number} for number in range(10_000)]})
    async with upstream(answering("200 OK", body=answer)) as system:
        options = {"accepted": {"taken": {"/results/*/status": ["OK"]}}}
        outcome = await send_to("http_json", system.url, dispatch=ACCEPTED, options=options)
    assert len(answer) > 200_000
    assert outcome.kind is DELIVERED


@pytest.mark.parametrize("status", [400, 503])
async def test_a_status_that_is_no_success_is_not_made_one_by_the_body(status: int) -> None:
    async with upstream(answering(f"{status} No", body=b'{"MSG":"Done"}')) as system:
        options = {"accepted": {"taken": {"/MSG": ["Done"]}}}
        outcome = await send_to("http_json", system.url, dispatch=ACCEPTED, options=options)
    assert outcome.kind is not DELIVERED


# What a value could do


KNOWN = frozenset({"figure", "text"})


@given(st.decimals(allow_nan=False, allow_infinity=False, places=10), st.text(max_size=50))
def test_a_body_holds_every_digit_and_no_value_leaves_its_place(figure: Decimal, text: str) -> None:
    reader = TemplateReader({})
    template = {"a": "{figure}", "b": "{text}", "c": "<{text}|{figure}>", "d": "{figure|text}"}
    found = decode(fill(reader.json(template, (), KNOWN), {"figure": figure, "text": text}))
    assert found == {"a": figure, "b": text, "c": f"<{text}|{figure:f}>", "d": f"{figure:f}"}
    assert str(found["a"]) == str(figure)


@given(st.text(max_size=50) | st.text("./\\%?#\r\n", max_size=8))
def test_whatever_a_value_is_a_path_keeps_its_steps(text: str) -> None:
    words = read_path("/a/{text}/b?c={text}", (), KNOWN, TemplateReader({}))
    with suppress(Unfilled):
        path = filled_path(words, {"text": text})
        assert re.fullmatch(r"/a/([^/]+)/b\?c=\1", path)
        assert [unquote(each) for each in re.split("[/=]", path)[2::2]] == [text, text]
        assert not {".", ".."} & set(re.split(r"[/\\]", unquote(path)))


@given(st.text(max_size=20) | st.text("a \t\r\n\x00\x7f\x85\u2028", max_size=5))
def test_whatever_a_value_is_a_header_stays_one_line(text: str) -> None:
    words = read_header("X-A", "{text}", (), KNOWN, TemplateReader({}))
    with suppress(Unfilled):
        value = filled_header(words, {"text": text})
        assert value == text == text.strip()
        assert all(" " <= char <= "~" for char in value)


# What is wrong with a mapping

ROWS: dict[str, object] = {"$each": "row", "$give": 1}


def faults_of(options: dict[str, object]) -> list[str]:
    with pytest.raises(InvalidConnectorOptions) as refusal:
        open_connector(settings("http_json", "http://a.example/", options=options))
    assert all(place.message.vi and place.message.en for place in refusal.value.places)
    return [place.pointer for place in refusal.value.places]


def _deep(levels: int) -> object:
    template: object = "{agency}"
    for _ in range(levels):
        template = [template]
    return template


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ({"method": "GET"}, ["/method"]),
        ({"url": "http://b.example"}, ["/url"]),
        *(
            ({"path": path}, ["/path"])
            for path in (
                "",
                "a",
                "//b.example/",
                "@b.example/",
                "/a/../b",
                "/%2e%2e/b",
                "/a/./b",
                "/a//b",
                "/a\\b",
                "/a b",
                "/a#b",
                "/a\r\nX: 1",
                "/%zz",
                "/{form}/../a",
                "/{nothing}/a",
                "/{row/sector}",
                "/é",
                "/" + "a" * 2000,
            )
        ),
        *(
            ({"headers": {name: "x"}}, [f"/headers/{name.replace('/', '~1')}"])
            for name in (
                "Host",
                "content-length",
                "Content-Type",
                "Content-Digest",
                "Authorization",
                "Idempotency-Key",
                "Webhook-Id",
                "webhook-anything",
                "Connection",
                "Transfer-Encoding",
                "Upgrade",
                "User-Agent",
                "X A",
                "X:A",
                "X/A",
                "X-Á",
                "X\r\nY",
                "",
                "X" * 101,
            )
        ),
        *(
            ({"headers": {"X-A": value}}, ["/headers/X-A"])
            for value in ("", "a\r\nX: 1", "\n", " a", "é", "{x}", "a" * 2001)
        ),
        ({"headers": {f"X-{number}": "x" for number in range(31)}}, ["/headers"]),
        ({"body": "{"}, ["/body"]),
        ({"body": "{}"}, ["/body"]),
        ({"body": "{agency} }"}, ["/body"]),
        ({"body": "{agency|}"}, ["/body"]),
        ({"body": "{/agency}"}, ["/body"]),
        ({"body": "{agency }"}, ["/body"]),
        ({"body": {"a": ["{agency}", {"b/c": "{nothing/here}"}], "d": "{agency|nowhere}"}},
         ["/body/a/1/b~1c", "/body/d"]),
        ({"body": {"{agency}": 1}}, ["/body/{agency}"]),
        ({"body": "{row/sector}"}, ["/body"]),
        ({"body": {"$each": "row", "$give": "{cell/value}"}}, ["/body/$give"]),
        ({"body": {"$each": "cell", "$of": ["a"], "$give": "{cell/code}"}}, ["/body/$give"]),
        ({"body": {"$each": "cell", "$give": 1}}, ["/body/$of"]),
        ({"body": {"$each": "cell", "$of": [], "$give": 1}}, ["/body/$of"]),
        ({"body": {"$each": "row"}}, ["/body/$give"]),
        ({"body": {"$each": "line", "$give": 1}}, ["/body/$each"]),
        ({"body": {"$each": "row", "$give": 1, "$of": ["a"]}}, ["/body/$of"]),
        ({"body": {"$each": "row", "$give": 1, "other": 1}}, ["/body/other"]),
        ({"body": {"$type": "x"}}, ["/body/$each", "/body/$give", "/body/$type"]),
        ({"body": {"$each": "row", "$give": [ROWS]}}, ["/body/$give/0/$each"]),
        ({"body": {"$each": "cell", "$of": ["a"], "$give": ROWS}}, ["/body/$give/$each"]),
        ({"body": {"$each": "cell", "$of": ["a"], "$give": {"$each": "cell", "$of": ["a"], "$give": 1}}},
         ["/body/$give/$each"]),
        ({"body": _deep(21)}, ["/body" + "/0" * 21]),
        ({"taken": {"MSG": ["Done"]}}, ["/taken/MSG"]),
        ({"taken": {"/MSG": []}}, ["/taken/~1MSG"]),
        ({"busy": {"/MSG": [{}]}}, ["/busy/~1MSG/0"]),
        ({"path": "a", "headers": {"Host": "{x}"}, "body": "{"}, ["/path", "/headers/Host", "/headers/Host", "/body"]),
    ],
)  # fmt: skip
def test_every_fault_of_a_template_is_told_by_its_place(accepted: dict[str, object], expected: list[str]) -> None:
    assert faults_of({"accepted": accepted}) == [f"/options/accepted{place}" for place in expected]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"due": {}}, ["/options/due"]),
        ({"accepted": []}, ["/options/accepted"]),
        ({"codes": {"text": {}}}, ["/options/codes/text"]),
        ({"codes": {"t": {"a": []}}}, ["/options/codes/t/a"]),
        ({"returned": {"body": ["{agency}", "{event}{report}{reason}"]}}, ["/options/returned/body/0"]),
        ({"withdrawn": {"body": ROWS}}, ["/options/withdrawn/body/$each"]),
        ({"accepted": {"body": "{"}, "returned": {"path": "x"}}, ["/options/accepted/body", "/options/returned/path"]),
    ],
)
def test_every_fault_of_a_mapping_is_told_by_its_place(options: dict[str, object], expected: list[str]) -> None:
    assert faults_of(options) == expected


@pytest.mark.parametrize("kind", ["http_json", "lgsp"])
def test_a_url_with_a_query_has_no_room_for_a_path(kind: str) -> None:
    url = "http://a.example/?a=1"
    open_connector(settings(kind, url, options=options_for(kind, url, accepted={"body": 1})))
    with pytest.raises(InvalidConnectorSettings, match="url may hold no query"):
        open_connector(settings(kind, url, options=options_for(kind, url, accepted={"path": "/b"})))


def test_templates_know_just_what_a_report_shows() -> None:
    assert set(FullReport.model_fields) - {"consolidation", "part", "relayed", "signer"} == REPORT
