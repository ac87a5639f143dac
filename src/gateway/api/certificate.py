"""The certificate a client showed to the proxy in front of the gateway (RFC 8705; the header as in RFC 9440)."""

import binascii
from base64 import b64decode, urlsafe_b64encode
from functools import lru_cache
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from fastapi import Request

from gateway.api.address import is_trusted, peer_of
from gateway.errors import MalformedRequest, Text
from gateway.settings import Settings

_LONGEST = 16 * 1024


def thumbprint_of(request: Request, settings: Settings) -> str | None:
    """The SHA-256 thumbprint (`x5t#S256`) of the certificate a request came with; None where there is none.

    The header is read from a trusted proxy alone: from anybody else it is nothing but a claim, and is ignored.
    Raises ``MalformedRequest`` for what a proxy sent that is no certificate, or more than one.
    """
    name = settings.client_certificate_header
    if name is None or not is_trusted(peer_of(request), settings.trusted_proxies):
        return None
    given = [value for value in request.headers.getlist(name) if value]
    if not given:
        return None
    found = _thumbprint(given[0]) if len(given) == 1 and len(given[0]) <= _LONGEST else None
    if found is None:
        raise MalformedRequest(Text("Chứng thư của client không đọc được.", "The client certificate cannot be read."))
    return found


@lru_cache(maxsize=1000)
def _thumbprint(given: str) -> str | None:
    """Of a certificate as proxies write it: base64 of DER, between colons (RFC 9440) or not, or escaped PEM."""
    try:
        if "BEGIN" in given:
            certificate = x509.load_pem_x509_certificate(unquote(given).encode())
        else:
            certificate = x509.load_der_x509_certificate(b64decode(given.strip(":"), validate=True))
    except (ValueError, binascii.Error):
        return None
    return urlsafe_b64encode(certificate.fingerprint(SHA256())).rstrip(b"=").decode()
