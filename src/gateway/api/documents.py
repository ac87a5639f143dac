"""The OpenAPI document and its pages, readable without internet."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from gateway.access.documents import ClientDocument, LimitsDocument, RotationDocument
from gateway.api.consolidations import ConsolidationRequest
from gateway.api.extensions import ExtensionRequest
from gateway.api.forwarding import Grounds
from gateway.api.problems import PROBLEM
from gateway.api.refusals import problems
from gateway.api.shapes import PUSHED, Reason
from gateway.api.signers import SignersDocument
from gateway.domain.connector_document import ConnectorDocument
from gateway.domain.form_document import FormDocument
from gateway.domain.report import Submission

_BODIES = (
    Submission,
    Reason,
    Grounds,
    ConnectorDocument,
    FormDocument,
    ExtensionRequest,
    ConsolidationRequest,
    ClientDocument,
    RotationDocument,
    LimitsDocument,
    SignersDocument,
)
"""What routes take that read their bodies themselves."""
TOO_MANY = {name: value for name, value in problems(429)[429].items() if name != "model"}
"""What every route says to a client that asks too often."""
_STATIC = Path(fastapi_offline.__file__).parent / "static"

DESCRIPTION = """
Local reporting systems of ministries and provinces push standardized reports; the gateway checks each against
its form, stores it for good, forwards it upstream until it is acknowledged, and serves aggregates that are
right at every moment.

**Start:** get a token (`POST /oauth/token`), look at a form (`GET /v1/forms/TTHC_06A`), try a report without
storing it (`POST /v1/reports/validate`), push it (`POST /v1/reports`), see it counted (`GET /v1/aggregates`).

**Errors** are `application/problem+json` (RFC 9457) with a stable `type`, in Vietnamese or English by
`Accept-Language`; every wrong place is named at once. **Numbers** are exact: decimals keep every digit, and
JSON is strict (no NaN, no duplicate keys, no numbers in strings, integers without a point, no NUL in texts).
**Times** are RFC 3339 in UTC; dates are civil dates in Asia/Ho_Chi_Minh.
"""


def install_documents(app: FastAPI) -> None:
    """Serve ``/docs`` from local files and put into the document what routes that read raw bodies take."""
    app.mount("/docs/static", StaticFiles(directory=_STATIC), name="docs")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=app.title,
            swagger_js_url=f"{root}/docs/static/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs/static/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs/static/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},  # it would send the document's address to a stranger
        )
        page.headers["Content-Security-Policy"] = _policy(page.body)
        return page

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _policy(page: bytes | memoryview) -> str:
    """What a page of the documentation may load: its own files, and the one script that stands in it."""
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(page), re.DOTALL)
    hashes = " ".join(f"'sha256-{b64encode(sha256(each).digest()).decode()}'" for each in scripts)
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    components = document.setdefault("components", {})
    for model in _BODIES:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}", by_alias=True)
        components["schemas"] |= schema.pop("$defs", {}) | {model.__name__: schema}
    components["schemas"]["Submission"]["examples"] = [PUSHED]
    components.setdefault("securitySchemes", {})["client_secret"] = {
        "type": "http",
        "scheme": "basic",
        "description": "A client's id and secret (`client_secret_basic`).",
    }
    for path in document["paths"].values():
        for operation in path.values():
            _correct_errors(operation["responses"])
            if "401" in operation["responses"]:
                operation["responses"].setdefault("429", TOO_MANY)
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    return document


def _correct_errors(answers: dict[str, Any]) -> None:
    """FastAPI promises 422 for wrong parameters, which are 400 here, and ``application/json`` for problems."""
    for status, answer in list(answers.items()):
        content = answer.get("content", {})
        reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        match reference.rpartition("/")[2]:
            case "HTTPValidationError":
                del answers[status]
            case "Problem":
                del content["application/json"]
            case "Rejection":
                content[PROBLEM] = content.pop("application/json") | content.get(PROBLEM, {})
