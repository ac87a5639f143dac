"""The metadata all tables share, and the column types PostgreSQL has and SQLAlchemy has not."""

from typing import Any

from sqlalchemy import BigInteger, MetaData, types
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.dialects.postgresql.base import ischema_names

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant = TIMESTAMP(timezone=True)
"""A moment, kept in UTC."""


class Xid8(types.UserDefinedType[int]):
    """A full transaction id: what a snapshot can be asked about, so that a past state can be read again."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


Serial = BigInteger()


ischema_names["xid8"] = Xid8


class Overtaken(Exception):
    """Another writer changed what a decision was made by; nothing was stored, and it is to be made again."""
