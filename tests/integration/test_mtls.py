"""Client certificates: a source or an operator is known by one that
our authority signed, and by nothing else.
"""

import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest

from remediator.app import running
from remediator.errors import ConfigurationError
from tests.integration.test_http import FIRING, settings


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        f"/CN={name}",
        "-keyout",
        str(folder / f"{name}.key"),
        "-out",
        str(folder / f"{name}.pem"),
    )


def certificate(folder: Path, name: str, signed_by: str, common: str) -> tuple[str, str]:
    key, request, made = (str(folder / f"{name}.{end}") for end in ("key", "csr", "pem"))
    openssl(
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        f"/CN={common}",
        "-keyout",
        key,
        "-out",
        request,
    )
    openssl(
        "x509",
        "-req",
        "-in",
        request,
        "-CA",
        str(folder / f"{signed_by}.pem"),
        "-CAkey",
        str(folder / f"{signed_by}.key"),
        "-CAcreateserial",
        "-days",
        "1",
        "-out",
        made,
    )
    return made, key


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(folder / "server.key"),
        "-out",
        str(folder / "server.pem"),
    )
    for name in ("ours", "theirs"):
        authority(folder, name)
    certificate(folder, "am", "ours", "alertmanager.monitoring")
    certificate(folder, "other", "ours", "somebody.else")
    certificate(folder, "forged", "theirs", "alertmanager.monitoring")
    return folder


def client(keys: Path, name: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(keys / "server.pem"))
    if name:
        context.load_cert_chain(str(keys / f"{name}.pem"), str(keys / f"{name}.key"))
    return context


@pytest.mark.parametrize(
    ("name", "expected"), [("am", 200), ("other", 401), (None, 401), ("forged", None)]
)
async def test_a_source_is_known_by_its_certificate(
    tmp_path: Path, keys: Path, name: str | None, expected: int | None
) -> None:
    web = {
        "listen": "127.0.0.1:0",
        "tls_cert": str(keys / "server.pem"),
        "tls_key": str(keys / "server.key"),
        "client_ca": str(keys / "ours.pem"),
    }
    sources = [{"name": "am", "certificate": "alertmanager.monitoring"}]
    async with (
        running(settings(tmp_path, web=web, sources=sources)) as app,
        aiohttp.ClientSession() as session,
    ):
        sending = session.post(f"{app.url}/webhook", data=FIRING, ssl=client(keys, name))
        if expected is None:  # the handshake itself fails
            with pytest.raises(aiohttp.ClientError):
                await sending
            return
        async with sending as answer:
            assert answer.status == expected


async def test_keys_that_cannot_be_read_are_said(tmp_path: Path, keys: Path) -> None:
    web = {
        "listen": "127.0.0.1:0",
        "tls_cert": str(keys / "server.pem"),
        "tls_key": str(tmp_path / "none"),
    }
    with pytest.raises(ConfigurationError, match="cannot serve HTTPS"):
        async with running(settings(tmp_path, web=web)):
            pass
