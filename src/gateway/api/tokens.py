"""Routes of clients before they are known: tokens for secrets, and the keys that verify receipts."""

from urllib.parse import unquote_plus

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from gateway.access.scopes import Scope
from gateway.access.tokens import Caller
from gateway.api.basic import authenticate
from gateway.api.body import media_type_of, read_body
from gateway.api.deps import GatewayParts
from gateway.api.json import Json
from gateway.errors import GatewayError

router = APIRouter(tags=["access"])

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
            "examples": [{"error": "invalid_client", "error_description": "unknown client or wrong secret"}]
        }
    )

    error: str
    error_description: str | None = None


def _refuse(error: str, description: str, status: int = 400) -> Response:
    headers = {"WWW-Authenticate": 'Basic realm="report gateway"'} if status == 401 else None
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
                    },
                },
                "example": {"grant_type": "client_credentials", "scope": "reports:write reports:read"},
            }
        },
    },
    "security": [{"client_secret": []}],
}


@router.post(
    "/oauth/token",
    response_model=TokenAnswer,
    openapi_extra=_FORM,
    responses={400: {"model": TokenError}, 401: {"model": TokenError}},
)
async def issue_token(request: Request, gateway: GatewayParts) -> Response:
    """Exchange a client's id and secret (HTTP Basic) for a short-lived token."""
    try:
        media_type_of(request, "application/x-www-form-urlencoded")
        form = _pairs((await read_body(request, _MOST_BYTES, 10)).decode("latin-1"))
    except GatewayError as error:
        return _refuse("invalid_request", str(error))
    if form is None or len(form.get("grant_type", [])) != 1 or len(form.get("scope", [])) > 1:
        return _refuse("invalid_request", "grant_type is given exactly once, and scope at most once")
    if form["grant_type"] != ["client_credentials"]:
        return _refuse("unsupported_grant_type", "only client_credentials is supported")
    known = await authenticate(request, gateway.engine)
    if known is None:
        return _refuse("invalid_client", "unknown client or wrong secret", 401)
    caller, now = known
    asked = " ".join(form.get("scope", [])).split()
    if not set(asked) <= set(caller.scopes):
        return _refuse("invalid_scope", "the client does not hold every scope asked for")
    granted = frozenset(Scope(scope) for scope in asked) or caller.scopes
    return Json(
        {
            "access_token": gateway.tokens.issue(Caller(caller.client, granted, caller.agency), now),
            "token_type": "Bearer",
            "expires_in": gateway.tokens.seconds,
            "scope": " ".join(sorted(granted)),
        }
    )


def _pairs(form: str) -> dict[str, list[str]] | None:
    found: dict[str, list[str]] = {}
    for pair in filter(None, form.split("&")):
        name, _, value = pair.partition("=")
        found.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return found if len(found) <= 20 else None


@router.get("/.well-known/jwks.json")
async def read_keys(gateway: GatewayParts) -> Response:
    """The public keys that verify receipts, old ones included (RFC 7517)."""
    return Json(gateway.keys.public())
