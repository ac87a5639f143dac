"""The roles of PostgreSQL that processes act as: each has no more rights than its part of the journey needs.

They are groups without a password, made by a migration. Whoever logs in is a member and takes one at once; on the
embedded server a process logs in as its role itself. Which rights each has is said in ``db/rights.py``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.errors import Hindrance, Text


class Role(StrEnum):
    """Who a connection acts as. ``owner`` is whoever logs in: it takes no role, and is for commands alone."""

    owner = "owner"
    api = "gateway_api"
    worker = "gateway_worker"
    sealer = "gateway_sealer"


TAKEN = (Role.api, Role.worker, Role.sealer)
"""The roles that there are in the database."""


class UnfitRole(Hindrance):
    """A process would act with rights that it must not have, or lacks those it needs; the message says what to do."""

    def __init__(self, message: Text) -> None:
        super().__init__(message.en)
        self.message = message


# Whoever may become a role by SET ROLE can be made to, so it counts as having that role's rights.
_FIND = sa.text("""
SELECT session_user AS login, current_user AS acts_as,
       bool_or(r.rolsuper) AS is_superuser, bool_or(r.rolbypassrls) AS bypasses,
       (SELECT bool_or(pg_has_role(u.name, c.relowner, 'MEMBER'))
          FROM pg_class c, (VALUES (session_user), (current_user)) AS u(name)
         WHERE c.oid = to_regclass('reports')) AS owns,
       coalesce(has_table_privilege(to_regclass('reports'), 'SELECT'), false) AS may_read
  FROM pg_roles r WHERE r.rolname IN (session_user, current_user)
""")


_NOT_TAKEN = {"22023", "42501"}
"""SQLSTATE of a role that there is not, and of one that may not be taken, or may not read what it should."""


@contextmanager
def taking(role: Role) -> Iterator[None]:
    """Say in a sentence why a login cannot take a role. Raises ``UnfitRole``."""
    try:
        yield
    except (asyncpg.PostgresError, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if getattr(cause, "sqlstate", None) not in _NOT_TAKEN:
            raise
        raise UnfitRole(
            Text(
                f"Tài khoản cơ sở dữ liệu không nhận được vai trò {role}: hãy chạy 'gateway migrate', rồi "
                f"GRANT {role} TO tài khoản đó.",
                f"The database login cannot take role {role}: run 'gateway migrate', then GRANT {role} to the login.",
            )
        ) from error


async def require_role(engine: AsyncEngine, role: Role) -> None:
    """See that a process has just the rights of a role: its login too, since it could go back to being that.

    Raises ``UnfitRole``.
    """
    async with engine.connect() as connection:
        found = (await connection.execute(_FIND)).one()
    if found.acts_as != role or not found.may_read:
        raise UnfitRole(
            Text(
                f"Tiến trình phải có quyền của vai trò {role}: hãy chạy 'gateway migrate'.",
                f"The process must act as role {role}, with its rights: run 'gateway migrate'.",
            )
        )
    if found.is_superuser:
        why = Text("là siêu người dùng", "is a superuser")
    elif found.owns:
        why = Text("sở hữu các bảng", "owns the tables")
    elif found.bypasses:
        why = Text("được bỏ qua bảo mật mức dòng (BYPASSRLS)", "bypasses row-level security (BYPASSRLS)")
    else:
        return
    raise UnfitRole(
        Text(
            f"Tài khoản cơ sở dữ liệu {found.login} {why.vi}: ở chế độ production, hãy dùng tài khoản riêng chỉ là "
            f"thành viên của {role} (xem docs/deploy.md).",
            f"The database login {found.login} {why.en}: in production use a login of its own that is only a member "
            f"of {role} (see docs/deploy.md).",
        )
    )
