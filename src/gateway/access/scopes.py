"""Scopes: what a client may do. Where it may do it is its agency's subtree."""

from enum import StrEnum


class Scope(StrEnum):
    """One thing a client may do."""

    reports_write = "reports:write"
    reports_read = "reports:read"
    reports_review = "reports:review"
    reports_relay = "reports:relay"
    reports_import = "reports:import"
    aggregates_read = "aggregates:read"
    catalog_write = "catalog:write"
    operations = "operations"
    clients_write = "clients:write"
