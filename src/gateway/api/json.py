"""Answers in exact JSON."""

from typing import Any

from fastapi import Response

from gateway.domain.exact import encode


class Json(Response):
    """A JSON answer made by ``encode``."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return encode(content)
