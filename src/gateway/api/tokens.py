"""Routes of clients before they are known: tokens for secrets, and the keys that verify receipts."""

from dataclasses import replace
from urllib.parse import unquote_plus

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict

from gateway.access.assertions import ASSERTION_TYPE, read_assertion
from gateway.access.scopes import Scope
from gateway.api.body import media_type_of, read_body
from gateway.api.deps import GatewayParts, admit
from gateway.api.identify import Claim, basic_claim, identify
from gateway.api.json import Json
from gateway.api.router import Router
from gateway.errors import GatewayError, MalformedRequest, TooManyRequests
from gateway.evidence.public import public_keys

router = Router(tags=["access"])

_ONCE = ("scope", "client_id", "client_assertion", "client_assertion_type")
_MOST_BYTES = 16 * 1024


class TokenAnswer(BaseModel):
    """An access token (RFC 6749, 5.1)."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str


class TokenError(BaseModel):
    """A refusal (RFC 6749, 5.2)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"error": "invalid_client", "error_description": "unknown client, or not proven to be it"}]
        }
    )

    error: str
    error_description: str | None = None


def _refuse(error: str, description: str, status: int = 400, retry_after: int | None = None) -> Response:
    headers = {"WWW-Authenticate": 'Basic realm="report gateway"'} if status == 401 else {}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Json({"error": error, "error_description": description}, status, headers)


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["client_credentials"]},
                        "scope": {"type": "string", "description": "Fewer scopes than the client holds."},
                        "client_assertion_type": {
                            "type": "string",
                            "enum": [ASSERTION_TYPE],
                            "description": "With `client_assertion`, instead of HTTP Basic.",
                        },
                        "client_assertion": {
                            "type": "string",
                            "description": "For `private_key_jwt` (RFC 7523): a JWT that the client signed, with its "
                            "id as `iss` and `sub`, this address or the issuer as `aud`, `jti`, and `exp` at most 5 "
                            "minutes ahead.",
                        },
                    },
                },
                "example": {"grant_type": "client_credentials", "scope": "reports:write reports:read"},
            }
        },
    },
    "security": [{"client_secret": []}, {}],
}


@router.post(
    "/oauth/token",
    response_model=TokenAnswer,
    openapi_extra=_FORM,
    responses={400: {"model": TokenError}, 401: {"model": TokenError}, 429: {"model": TokenError}},
)
async def issue_token(request: Request, gateway: GatewayParts) -> Response:
    """Exchange a client's id and secret (HTTP Basic), or what it signed with its key, for a short-lived token."""
    try:
        media_type_of(request, "application/x-www-form-urlencoded")
        form = _pairs((await read_body(request, _MOST_BYTES, 10)).decode("latin-1"))
    except GatewayError as error:
        return _refuse("invalid_request", str(error))
    if form is None or len(form.get("grant_type", [])) != 1 or any(len(form.get(name, [])) > 1 for name in _ONCE):
        return _refuse("invalid_request", "grant_type is given exactly once, and what else there is at most once")
    if form["grant_type"] != ["client_credentials"]:
        return _refuse("unsupported_grant_type", "only client_credentials is supported")
    by_key = form.keys() & {"client_assertion", "client_assertion_type"}
    if by_key and "authorization" in request.headers:
        return _refuse("invalid_request", "a client authenticates in one way")
    try:
        known = await identify(request, gateway, _signed_claim(form) if by_key else basic_claim(request))
        if known is None:
            return _refuse("invalid_client", "unknown client, or not proven to be it", 401)
        caller, now = known
        await admit(request, gateway, caller)
    except TooManyRequests as error:
        return _refuse("temporarily_unavailable", str(error), 429, error.retry_after)
    except MalformedRequest as error:
        return _refuse("invalid_request", str(error))
    asked = " ".join(form.get("scope", [])).split()
    if not set(asked) <= set(caller.scopes):
        return _refuse("invalid_scope", "the client does not hold every scope asked for")
    granted = frozenset(Scope(scope) for scope in asked) or caller.scopes
    return Json(
        {
            "access_token": gateway.tokens.issue(replace(caller, scopes=granted), now),
            "token_type": "Bearer",
            "expires_in": gateway.tokens.seconds,
            "scope": " ".join(sorted(granted)),
        }
    )


def _signed_claim(form: dict[str, list[str]]) -> Claim | None:
    """Who a form says it comes from by an assertion (RFC 7523, 2.2); None where it says so wrongly."""
    [text], [kind] = form.get("client_assertion", [""]), form.get("client_assertion_type", [""])
    assertion = read_assertion(text) if kind == ASSERTION_TYPE else None
    if assertion is None or form.get("client_id", [str(assertion.client)]) != [str(assertion.client)]:
        return None
    return Claim(assertion.client, assertion)


def _pairs(form: str) -> dict[str, list[str]] | None:
    found: dict[str, list[str]] = {}
    for pair in filter(None, form.split("&")):
        name, _, value = pair.partition("=")
        found.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return found if len(found) <= 20 else None


@router.get("/.well-known/jwks.json")
async def read_keys(gateway: GatewayParts) -> Response:
    """The public keys that verify receipts and, with a `vkey` (C2SP), the log; old ones included (RFC 7517)."""
    return Json(public_keys(gateway.keys, gateway.settings.issuer))
