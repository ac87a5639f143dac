"""What each role may do with each table, and whose rows it sees there: every decision, in one place.

A table without a decision fails a test. The database is brought to what is said here at the end of ``gateway migrate``;
nothing is changed, or locked, where it agrees already. Partitions have no rights: they are reached by their table.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import sqlalchemy as sa

from gateway.db.roles import TAKEN, Role

_BY_AGENCY = "(SELECT sees_all()) OR agency_id IN (SELECT unnest(seen_agencies()))"  # looked up in a hash
# A scalar subquery and not EXISTS, which could be answered by reading all reports into a hash.
_BY_REPORT = "(SELECT sees_all()) OR (SELECT true FROM reports r WHERE r.id = report_id)"
_BY_DELIVERY = "(SELECT sees_all()) OR (SELECT true FROM deliveries d WHERE d.id = delivery_id)"
_BY_CLIENT = "(SELECT sees_all_clients()) OR client_id = ANY ((SELECT seen_clients())::uuid[])"

_ADD = "SELECT, INSERT"
_KEEP = "SELECT, INSERT, UPDATE"
_OPEN_DELIVERY = "UPDATE (state, claim, due_at, is_behind, finished_at, outcome, receipt)"


@dataclass(frozen=True, slots=True)
class Right:
    """What is decided about a table: privileges of each role, and the condition on rows, where they are somebody's.

    ``check`` is the condition on rows that are added, where it is another: what hangs on a report may be added in the
    statement that adds the report, which sees it only at its end. There a trigger looks (``require_seen``).
    """

    why: str
    api: str = ""
    worker: str = ""
    sealer: str = ""
    rows: str | None = None
    check: str | None = None

    def of(self, role: Role) -> str:
        return {Role.api: self.api, Role.worker: self.worker, Role.sealer: self.sealer}[role]


def _hangs_on_report(why: str, api: str, worker: str, sealer: str = "SELECT") -> Right:
    return Right(why, api, worker, sealer, _BY_REPORT, "true")


RIGHTS = {
    "reports": Right(
        "Of their agency. A head only ever moves on; what was received never changes.",
        f"{_ADD}, UPDATE (status, ended_xid)",
        "SELECT, UPDATE (status, ended_xid)",
        "SELECT",
        _BY_AGENCY,
    ),
    "report_rows": Right("Of their agency. Never changed.", _ADD, "SELECT", "", _BY_AGENCY),
    "payloads": Right("Of their agency. Never changed.", _ADD, "SELECT", "", _BY_AGENCY),
    "report_events": _hangs_on_report("Of their report: reasons are nobody else's business.", _ADD, _ADD),
    "erasures": Right("Of their report: made by command alone.", "SELECT", rows=_BY_REPORT),
    "consolidation_parts": _hangs_on_report("Of the report that was made.", _ADD, "SELECT"),
    "relays": _hangs_on_report("Of their report: first receipts.", _ADD, "SELECT"),
    "idempotency_keys": Right("Of the client that used the key: kept answers.", _ADD, rows=_BY_CLIENT),
    "deliveries": Right(
        "Of their agency.",
        f"{_ADD}, {_OPEN_DELIVERY}",
        f"{_ADD}, UPDATE (state, claim, due_at, is_behind, finished_at, outcome, receipt, attempts, losses)",
        "",
        _BY_AGENCY,
    ),
    "attempts": Right("Of their delivery: what upstreams replied.", "SELECT", _ADD, "", _BY_DELIVERY, "true"),
    "catalog_revisions": Right("Any token reads the catalogue.", _ADD, "SELECT", "SELECT"),
    "catalog_entries": Right("Any token reads the catalogue. Only added to.", _ADD, "SELECT", "SELECT"),
    "agencies": Right("Storage keys of codes that any token reads.", _ADD, "SELECT", "SELECT"),
    "forms": Right("Storage keys of codes that any token reads.", _ADD, "SELECT", "SELECT"),
    "connectors": Right(
        "Read whole with the catalogue: who pushes must reach connectors above. Credentials are encrypted.",
        _KEEP,
        "SELECT, UPDATE (paced_until)",
    ),
    "breakers": Right("Of connectors: no agency's.", "SELECT, UPDATE (opens_until)", _KEEP),
    "turns": Right("Of connectors: no agency's.", _KEEP, _KEEP),
    "follows": Right("Of connectors: no agency's.", "SELECT", _KEEP),
    "tallies": Right("Sums of connectors: no agency's.", "SELECT", _KEEP),
    "clients": Right("Looked up before anybody is known; they hold no figures.", _KEEP),
    "client_credentials": Right("Looked up before anybody is known; secrets are hashes.", _KEEP),
    "trusted_issuers": Right("Public keys, by client; made by command alone.", "SELECT"),
    "spent_assertions": Right("Before anybody is known. Forgotten once they have run out.", f"{_KEEP}, DELETE"),
    "failed_attempts": Right("Before anybody is known. Forgotten after a while.", f"{_KEEP}, DELETE"),
    "client_buckets": Right("Counters of clients: no figures.", _KEEP),
    "client_days": Right("Counters of clients: no figures.", _KEEP),
    "report_signatures": _hangs_on_report("Of their report: who signed it. Never changed.", _ADD, "SELECT", ""),
    "signers": Right("Of agencies, looked up for whoever signs.", "SELECT, INSERT, UPDATE (ended_at)"),
    "interventions": Right("Of connectors: no agency's.", f"{_ADD}, UPDATE (touched, passed)"),
    "intervened": Right("Of their delivery.", _ADD, rows=_BY_DELIVERY),
    "log_pending": Right(
        "Only added to, by whoever changes a state; taken by the sealer.", _ADD, "INSERT", "SELECT, DELETE"
    ),
    "log_entries": Right("Nothing personal; proofs need the leaves of all. Never changed.", "SELECT", "SELECT", _ADD),
    "log_nodes": Right("Hashes, of all. Never changed.", "SELECT", "SELECT", _ADD),
    "log_checkpoints": Right("Signed, for everybody. Never changed.", "SELECT", "SELECT", _ADD),
    "log_texts": Right("What entries commit to: written, and read by nobody but the owner.", "INSERT", "INSERT"),
    "log_cosignatures": Right("Signatures of witnesses, for everybody.", "SELECT", _KEEP, "SELECT"),
    "alembic_version": Right("Whether this version runs on the schema.", "SELECT", "SELECT", "SELECT"),
}

FUNCTIONS = {
    "hold_reports()": (Role.api,),
    "newest_event()": (Role.api, Role.worker, Role.sealer),
    "is_event(xid8)": (Role.api,),
    "events_about(timestamptz, interval)": (Role.api,),
    "events_until(xid8, bigint, integer)": (Role.api,),
    "known_reports(uuid[])": (Role.api,),
    "make_attempt_parts(integer)": (Role.worker,),
    "drop_attempt_part(integer)": (Role.worker,),
}
"""Functions that run with the owner's rights, and see all rows: who may call each. Each tells no more than it must."""


class Grant(NamedTuple):
    """One privilege of a role on a table, or on a column of it."""

    table: str
    role: str
    privilege: str
    column: str | None = None

    @property
    def on(self) -> str:
        return self.privilege if self.column is None else f"{self.privilege} ({self.column})"


_PRIVILEGE = re.compile(r"(\w+)(?: \(([^)]*)\))?")


def wanted_grants(table: str) -> set[Grant]:
    """The privileges that are decided on."""
    return {
        Grant(table, role, name, column.strip() if column else None)
        for role in TAKEN
        for name, columns in _PRIVILEGE.findall(RIGHTS[table].of(role))
        for column in columns.split(",")
    }


def policies(table: str, owner: str) -> dict[str, str]:
    """The policies that are decided on, each with what is said after its name and table."""
    right = RIGHTS[table]
    if right.rows is None:
        return {}
    return {
        "subtree": f"USING ({right.rows}) WITH CHECK ({right.check or right.rows})",
        # Of the owner, only functions of ours see all; and processes of the version before, which set nothing.
        "owner": f"TO {owner} USING (current_setting('role', true) IN ({', '.join(map(repr, map(str, TAKEN)))})"
        " OR current_setting('gateway.subtree', true) IS NULL)",
    }


_TABLES = sa.text("""
SELECT c.relname AS name, quote_ident(pg_get_userbyid(c.relowner)) AS owner,
       c.relrowsecurity AND c.relforcerowsecurity AS is_walled
  FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
""")
_GRANTS = sa.text("""
SELECT c.relname AS table, a.grantee::regrole::text AS role, a.privilege_type AS privilege, NULL AS column
  FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
 WHERE c.relnamespace = current_schema()::regnamespace AND a.grantee::regrole::text = ANY (:roles)
 UNION ALL
SELECT c.relname, a.grantee::regrole::text, a.privilege_type, t.attname
  FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN aclexplode(t.attacl) a
 WHERE c.relnamespace = current_schema()::regnamespace AND a.grantee::regrole::text = ANY (:roles)
""")
_POLICIES = sa.text("""
SELECT c.relname AS table, p.polname AS name, obj_description(p.oid, 'pg_policy') AS said
  FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = current_schema()::regnamespace
""")

_CALLERS = sa.text("""
SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
  FROM pg_proc p CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
 WHERE p.oid = to_regprocedure(:function) AND a.grantee <> p.proowner
""")
_IS_FUNCTION = sa.text("SELECT to_regprocedure(:function) IS NOT NULL")


def right_changes(connection: sa.Connection) -> Iterator[list[str]]:
    """What would have to be changed for the database to be as decided: the statements of each table that differs."""
    roles = [role.value for role in TAKEN]
    grants = {Grant(*row) for row in connection.execute(_GRANTS, {"roles": roles})}
    made = {(row.table, row.name): row.said for row in connection.execute(_POLICIES)}
    for table, owner, is_walled in connection.execute(_TABLES).all():
        have = {each for each in grants if each.table == table}
        want = wanted_grants(table) if table in RIGHTS else set()
        found = [f"REVOKE {each.on} ON {table} FROM {each.role}" for each in sorted(have - want, key=str)]
        found += [f"GRANT {each.on} ON {table} TO {each.role}" for each in sorted(want - have, key=str)]
        found += list(_policy_changes(table, owner, is_walled, made))
        if found:
            yield found
    yield from _call_changes(connection)


def _call_changes(connection: sa.Connection) -> Iterator[list[str]]:
    for name, callers in FUNCTIONS.items():
        if connection.scalar(_IS_FUNCTION, {"function": name}) is not True:
            continue
        rows = connection.execute(_CALLERS, {"function": name})
        have, want = {row.role for row in rows}, {role.value for role in callers}
        found = [f"REVOKE EXECUTE ON FUNCTION {name} FROM {role}" for role in sorted(have - want)]
        found += [f"GRANT EXECUTE ON FUNCTION {name} TO {role}" for role in sorted(want - have)]
        if found:
            yield found


def _policy_changes(table: str, owner: str, is_walled: bool, made: dict[tuple[str, str], str | None]) -> Iterator[str]:
    wanted = policies(table, owner) if table in RIGHTS else {}
    for name, body in wanted.items():
        said = sha256(body.encode()).hexdigest()[:16]
        if made.get((table, name)) != said:
            if (table, name) in made:
                yield f"DROP POLICY {name} ON {table}"
            yield f"CREATE POLICY {name} ON {table} {body}"
            yield f"COMMENT ON POLICY {name} ON {table} IS '{said}'"
    if wanted and not is_walled:
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"


def settle_rights(connection: sa.Connection, wait: str) -> None:
    """Bring the database to what is decided, a table in each transaction; nothing where there are no roles yet."""
    if not has_walls(connection):
        return
    for statements in list(right_changes(connection)):
        connection.execute(sa.text(f"SET LOCAL lock_timeout = '{wait}'"))
        for statement in statements:
            connection.execute(sa.text(statement))
        connection.commit()
    connection.rollback()


def has_walls(connection: sa.Connection) -> bool:
    """Whether the database has come as far as the migration that made the roles and what policies ask."""
    return connection.scalar(sa.text("SELECT to_regproc('sees_all') IS NOT NULL")) is True
