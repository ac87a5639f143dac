"""Whether a configuration is safe to run in production: everything that is not, each in a sentence that says why."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.evidence.anchors import Anchors, UnreadableAnchors
from gateway.key_files import may_be_written, unfit_keys
from gateway.settings import Settings

_MOST_BODY, _SLOWEST_BODY = 256 * 1024 * 1024, 600
_OF_A_WORKER, _OF_THE_API = 4, 2
"""Connections that a worker uses at once, and that the API needs beside it."""


class UnsafeConfiguration(RuntimeError):
    """Production is asked to run as it must not; ``reasons`` are all that is wrong."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = reasons


def require_safe(settings: Settings, *, serves: bool, forwards: bool) -> None:
    """Refuse to run unsafely in production, as the API, a worker or both. Raises ``UnsafeConfiguration``."""
    if settings.mode == "production" and (reasons := list(_unsafe(settings, serves, forwards))):
        raise UnsafeConfiguration(reasons)


def _unsafe(settings: Settings, serves: bool, forwards: bool) -> Iterator[str]:
    yield from _addresses(settings)
    yield from _storage(settings, serves, forwards)
    if serves:
        yield from _callers(settings)
        yield from _limits(settings)
    yield from _anchors(settings)
    if settings.log_level == "debug":
        yield "GATEWAY_LOG_LEVEL is debug: it is for looking for faults, and tells more than a log that is kept should."


def _addresses(settings: Settings) -> Iterator[str]:
    issuer = urlsplit(settings.issuer)
    if issuer.scheme != "https":
        yield (
            f"GATEWAY_ISSUER is {settings.issuer}, not https: tokens and reports would pass in the clear,"
            " and receipts name an address that anybody can pretend to be."
        )
    if not issuer.hostname or _is_loopback(issuer.hostname):
        yield "GATEWAY_ISSUER is this machine's own address: receipts and tokens name it for ever; set the public one."


def _storage(settings: Settings, serves: bool, forwards: bool) -> Iterator[str]:
    if settings.database_url is None:
        yield (
            f"GATEWAY_DATABASE_URL is not set: the embedded server in {settings.data_dir} has no backup and no standby,"
            " and trusts whoever can open its socket."
        )
    if settings.keys_dir is None:
        yield "GATEWAY_KEYS_DIR is not set: keys belong apart from the data, where only the gateway reads them."
    else:
        yield from unfit_keys(settings.keys_dir)
    if serves and forwards and settings.database_pool < _OF_A_WORKER + _OF_THE_API:
        yield (
            f"GATEWAY_DATABASE_POOL is {settings.database_pool}: the worker uses {_OF_A_WORKER} connections at once,"
            " which leaves pushes waiting for one."
        )


def _callers(settings: Settings) -> Iterator[str]:
    if not _is_loopback(settings.host) and not settings.trusted_proxies:
        yield (
            f"GATEWAY_HOST is {settings.host} and GATEWAY_TRUSTED_PROXIES names nobody: the gateway has no TLS of its"
            " own, and behind a proxy it would count everybody's failed attempts as the proxy's."
        )
    for network in settings.trusted_proxies:
        if network.prefixlen == 0:
            yield f"GATEWAY_TRUSTED_PROXIES has {network}: anybody could say which address and certificate they have."
    if settings.client_certificate_header is not None and not settings.trusted_proxies:
        yield "GATEWAY_CLIENT_CERTIFICATE_HEADER is set, GATEWAY_TRUSTED_PROXIES is not: it would be ignored."
    if settings.jwks_allow_private_addresses:
        yield (
            "GATEWAY_JWKS_ALLOW_PRIVATE_ADDRESSES is true: a client could have the gateway ask servers inside"
            " the network, over plain HTTP."
        )


def _limits(settings: Settings) -> Iterator[str]:
    if settings.max_body_bytes > _MOST_BODY:
        yield (
            f"GATEWAY_MAX_BODY_BYTES is {settings.max_body_bytes}: a report is held in memory whole,"
            f" so that a few senders could take all of it; at most {_MOST_BODY}."
        )
    if settings.max_batch_bytes < settings.max_body_bytes:
        yield "GATEWAY_MAX_BATCH_BYTES is below GATEWAY_MAX_BODY_BYTES: a batch of one report would be refused."
    if settings.body_timeout_seconds > _SLOWEST_BODY:
        yield (
            f"GATEWAY_BODY_TIMEOUT_SECONDS is {settings.body_timeout_seconds:g}: slow senders could hold every"
            f" connection; at most {_SLOWEST_BODY}."
        )


def _anchors(settings: Settings) -> Iterator[str]:
    directory = settings.trust_anchors_dir
    if directory is None:
        return
    try:
        found = Anchors(directory).current()
        if may_be_written(directory, directory.stat().st_mode):
            yield f"{directory} can be written by others than its owner: they could trust whom they like (chmod 755)."
    except (UnreadableAnchors, OSError) as error:
        yield f"{error}."
        return
    if not found.anchors:
        yield f"GATEWAY_TRUST_ANCHORS_DIR {directory} holds no trust anchor: every signed report would be refused."


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
