"""What every answer says to browsers and caches, and what it does not say."""

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256

import httpx
import pytest

from gateway.api.deps import Gateway
from gateway_under_test import in_process

PATHS = ("/v1/reports", "/oauth/token", "/healthz", "/metrics", "/docs", "/openapi.json", "/nowhere", "/sdmx/v2/x")
EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.fixture
async def browser(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(gateway, headers={"Origin": "https://elsewhere.example"}) as client:
        yield client


async def test_every_answer_has_the_same_security_headers(browser: httpx.AsyncClient) -> None:
    for path in PATHS:
        headers = (await browser.get(path)).headers
        assert {name: headers.get_list(name) for name in EVERYWHERE} == {n: [v] for n, v in EVERYWHERE.items()}, path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert len(headers.get_list("content-security-policy")) == 1, path
        assert headers["x-request-id"], path


async def test_no_other_site_is_let_in_and_no_server_names_itself(browser: httpx.AsyncClient) -> None:
    for path in PATHS:
        asked = await browser.options(path, headers={"Access-Control-Request-Method": "POST"})
        for answer in (await browser.get(path), asked):
            told = [name for name in answer.headers if name.startswith("access-control-") or name == "server"]
            assert told == [], path


async def test_https_is_asked_for_where_the_public_address_is_https(gateway: Gateway) -> None:
    public = replace(gateway, settings=gateway.settings.model_copy(update={"issuer": "https://gateway.example"}))
    async with in_process(public) as https, in_process(gateway) as http:
        assert (await https.get("/healthz")).headers["strict-transport-security"] == "max-age=31536000"
        assert "strict-transport-security" not in (await http.get("/healthz")).headers


async def test_the_documentation_loads_nothing_from_elsewhere_and_runs_no_other_script(
    browser: httpx.AsyncClient,
) -> None:
    page = await browser.get("/docs")
    policy, text = page.headers["content-security-policy"], page.text
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 1
    assert f"'sha256-{b64encode(sha256(scripts[0].encode()).digest()).decode()}'" in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text)
    assert re.search(r'"validatorUrl":\s*null', text)
    for path in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert (await browser.get(path)).status_code == 200, path
