"""The kinds of connector there are."""

from collections.abc import Callable, Mapping

from gateway.connectors.connector import Connector, ConnectorSettings
from gateway.connectors.dhis2 import Dhis2
from gateway.connectors.gateway import Gateway
from gateway.connectors.http_json import http_json
from gateway.connectors.lgsp import Lgsp
from gateway.connectors.ndxp import Ndxp
from gateway.connectors.webhook import Webhook
from gateway.connectors.witness import Witness

_KINDS: Mapping[str, Callable[[ConnectorSettings], Connector]] = {
    "gateway": Gateway,
    "http_json": http_json,
    "webhook": Webhook,
    "lgsp": Lgsp,
    "ndxp": Ndxp,
    "dhis2": Dhis2,
    "witness": Witness,
}


class UnknownConnectorKind(LookupError):
    """No connector of this kind is built in."""


def open_connector(settings: ConnectorSettings) -> Connector:
    """The connector for these settings; opening it connects to nothing yet.

    Raises `UnknownConnectorKind`, or `InvalidConnectorSettings` for a URL or credentials that can never work.
    """
    kind = _KINDS.get(settings.kind)
    if kind is None:
        raise UnknownConnectorKind(f"there is no connector of kind {settings.kind!r}; there is: {', '.join(_KINDS)}")
    return kind(settings)
