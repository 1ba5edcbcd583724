"""Authentication: named credentials, compared in constant time, before the body is read."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import chain

from aiohttp import web

from ..model.text import one_line
from ..setting_sections import LONGEST_NAME, Credential, Network
from ..settings import Settings
from ..telemetry import log

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class Access:
    """Sources that may send webhooks, and operators who may read and decide. Without any: loopback
    only, as `local`.
    """

    settings: Settings

    def source(self, request: web.Request) -> str | None:
        """The source's name, or None."""
        if not self.settings.sources:
            return "local"
        only = self.settings.sources[0]
        # alone, and only loopback is listened on
        if not (only.token_file or only.password_file or only.certificate):
            return only.name
        return _named(self.settings.sources, request)

    def operator(self, request: web.Request) -> str | None:
        """The operator's name, or None; a trusted proxy may name one in a header."""
        return self.proxied(request) or self.operator_of(request)

    def operator_of(self, request: web.Request, token: str = "") -> str | None:
        """The operator of a request, or of a token that was typed; never by name alone."""
        named = self.proxied(request)
        if named:
            return named
        if not self.settings.operators:
            # the proxy says who it is, or nobody does
            return None if self.settings.web.trusted_proxy_header else "local"
        if token:
            return _by_token(self.settings.operators, token)
        return _named(self.settings.operators, request)

    def proxied(self, request: web.Request) -> str:
        """The operator that a trusted proxy names, or nothing."""
        header = self.settings.web.trusted_proxy_header
        if not header or not _is_in(request.remote or "", self.settings.web.trusted_proxies):
            return ""
        named = request.headers.get(header, "")
        if len(named) > LONGEST_NAME or one_line(named) != named:
            # shortened or replaced, two people could have one name
            log().warning("operator_not_recognized", header=header, length=len(named))
            return ""
        return named


def _is_in(remote: str, networks: Sequence[Network]) -> bool:
    """Whether the address is in one of these networks."""
    try:
        address = ip_address(remote)
    except ValueError:  # nobody knows where it comes from
        return False
    return any(address in network for network in networks)


def _by_token(credentials: Sequence[Credential], token: str) -> str | None:
    """The name of the owner of a bearer token; all are compared."""
    found: str | None = None
    for credential in credentials:
        secret = credential.token_file.get_secret_value() if credential.token_file else ""
        if secret and hmac.compare_digest(_bytes(token), secret.encode()) and found is None:
            found = credential.name
    return found


def certificate_names(request: web.Request) -> set[str]:
    """Common name and DNS names of the client certificate, which the TLS handshake verified."""
    peer = request.transport.get_extra_info("peercert") if request.transport else None
    if not peer:
        return set()
    parts = chain.from_iterable(peer.get("subject", ()))
    common = {value for key, value in parts if key == "commonName"}
    return common | {value for kind, value in peer.get("subjectAltName", ()) if kind == "DNS"}


def _named(credentials: Sequence[Credential], request: web.Request) -> str | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    found: str | None = None
    certified = certificate_names(request)
    for credential in credentials:  # all are compared, so that time tells nothing
        if scheme.lower() == "bearer" and credential.token_file is not None:
            matches = hmac.compare_digest(
                _bytes(value), credential.token_file.get_secret_value().encode()
            )
        elif scheme.lower() == "basic" and credential.password_file is not None:
            user, password = credential.username or credential.name, credential.password_file
            expected = f"{user}:{password.get_secret_value()}"
            matches = hmac.compare_digest(_decoded(value), expected.encode())
        else:
            matches = bool(credential.certificate) and credential.certificate in certified
        if matches and found is None:
            found = credential.name
    return found


def _bytes(value: str) -> bytes:
    """The header as it came; it may contain bytes that are not text."""
    return value.strip().encode("utf-8", "surrogateescape")


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(_bytes(value), validate=True)
    except (binascii.Error, ValueError):
        return b""


def refuses_to_listen(settings: Settings) -> str | None:
    """Why the server must not listen on its address, or None."""
    host = settings.web.listen.rsplit(":", 1)[0].strip("[]")
    if host in LOOPBACK:
        return None
    for what, credentials in (("sources", settings.sources), ("operators", settings.operators)):
        secrets = [c for c in credentials if c.token_file or c.password_file or c.certificate]
        if not credentials or len(secrets) < len(credentials):
            return (
                f"cannot listen on {settings.web.listen}: `{what}` needs at least one credential,"
                " each with a token_file, password_file or certificate"
            )
    return None
