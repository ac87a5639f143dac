"""What routes are collected in."""

from typing import Any

from fastapi import APIRouter


class Router(APIRouter):
    """Routes that an app takes as they are: one that is included instead is made a second time, with the app's first
    request, and looked for twice at every other. An operation's id is the name of its function unless it has one."""

    def __init__(self, prefix: str = "", **options: Any) -> None:
        super().__init__(prefix=prefix, generate_unique_id_function=lambda route: route.name, **options)
