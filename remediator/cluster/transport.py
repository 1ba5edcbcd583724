"""Requests to an API server: paced, timed out, counted, their answers translated; lists by pages,
and watches as they are told.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any

import aiohttp
from kubernetes_asyncio import client

from .. import __version__
from ..errors import Unreachable
from ..model.kind import Kind
from ..model.raw import meta
from ..model.sight import Object
from ..telemetry import Metrics
from .pacing import Bucket, Circuit, Renewing
from .translating import event_in, items_of, path_of, translated

READ_TIMEOUT = 10.0
# seconds: of a watch until it is opened again, and without a word until it is given up; the API
# server sends a bookmark each minute
WATCHED, SILENCE = 300, 150.0
# seconds until a peer is asked whether it is there, and between two of so many tries
KEEP_ALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 2}
PAGE = 500
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Transport:
    """One API server, through the connection pool and the credentials of kubernetes_asyncio."""

    def __init__(self, api: client.ApiClient, qps: float, metrics: Metrics) -> None:
        self._api, self.metrics = api, metrics
        self._api.user_agent = f"remediator/{__version__}"
        self._bucket, self._circuit = Bucket(qps), Circuit()

    async def close(self) -> None:
        """Closes the connection pool."""
        renewing = self._api.configuration.refresh_api_key_hook
        if isinstance(renewing, Renewing):
            renewing.close()
        await self._api.close()

    async def items(
        self,
        kind: Kind,
        namespace: str,
        selector: str = "",
        fields: str = "",
        *,
        accept: str = JSON,
    ) -> list[Object]:
        """All objects of a list. Raises: ClusterError."""
        out: list[Object] = []
        pages = self.pages(kind, namespace, selector, fields, accept=accept)
        async for found, _version in pages:
            out += found
        return out

    async def pages(
        self,
        kind: Kind,
        namespace: str,
        selector: str = "",
        fields: str = "",
        *,
        accept: str = JSON,
    ) -> AsyncIterator[tuple[list[Object], str]]:
        """The pages of a list, each with the list's resourceVersion. Raises: ClusterError."""
        query = {"labelSelector": selector, "fieldSelector": fields, "limit": str(PAGE)}
        token, what = "", f"list {kind.plural}"
        while token or "continue" not in query:
            page = await self.ask("GET", path_of(kind, namespace), what, query, accept=accept)
            yield items_of(what, page), str(meta(page).get("resourceVersion") or "")
            token = str(meta(page).get("continue") or "")
            query = {**query, "continue": token}

    async def events(self, kind: Kind, version: str) -> AsyncGenerator[tuple[str, Object], None]:
        """What happens to objects of a kind after a version, first of all OPENED: then ADDED,
        MODIFIED, DELETED, BOOKMARK or ERROR, and the object. Until the API server ends it. Raises:
        ClusterError.
        """
        what = f"watch {kind.plural}"
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCHED),
        }
        with _translated(what, SILENCE):
            async with asyncio.timeout(READ_TIMEOUT):
                await self._bucket.take()
                answer = await self._send("GET", path_of(kind, ""), query, silence=SILENCE)
            with _dropped(answer):
                self.metrics.count("kubernetes_requests_total", "watch", str(answer.status))
                if answer.status != 200:
                    translated(what, answer.status, await answer.read())
                _keep_alive(answer)
                yield "OPENED", {}
                async for line in _lines(answer):
                    yield event_in(what, line)

    async def ask(
        self,
        method: str,
        path: str,
        what: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        content_type: str = JSON,
        timeout: float = READ_TIMEOUT,
        raw: bool = False,
        accept: str = JSON,
    ) -> Any:
        """The decoded answer, or its bytes if `raw`. Raises: ClusterError.

        A read fails at once while the API server does not answer; a write is always tried.
        """
        if method == "GET":
            self._circuit.check(what)
        verb, started, code, sent = what.split(" ")[0], time.perf_counter(), "none", False
        try:
            # the wait for our turn included: nothing is sent after it
            with _translated(what, timeout):
                async with asyncio.timeout(timeout):
                    await self._bucket.take()
                    sent = True
                    answer = await self._send(
                        method, path, query, accept, body=body, content_type=content_type
                    )
                    text, code = await answer.read(), str(answer.status)
        except Unreachable:
            # a write may wait for an admission webhook, and a log for a kubelet
            if sent and method == "GET" and not raw:
                self._circuit.failed()
            raise
        finally:
            self.metrics.count("kubernetes_requests_total", verb, code)
            self.metrics.observe(
                "kubernetes_request_duration_seconds", time.perf_counter() - started, verb
            )
        self._circuit.answered()
        return text if raw and answer.status == 200 else translated(what, answer.status, text)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        accept: str = JSON,
        *,
        body: Any = None,
        content_type: str = JSON,
        silence: float | None = None,
    ) -> aiohttp.ClientResponse:
        """The answer's head; `silence`: seconds between two parts of it."""
        return await self._api.call_api(  # type: ignore[no-any-return]
            path,
            method,
            query_params=[(key, value) for key, value in (query or {}).items() if value],
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=aiohttp.ClientTimeout(sock_read=silence),
        )


@contextlib.contextmanager
def _translated(what: str, seconds: float) -> Iterator[None]:
    """What a connection raises, as our own error."""
    try:
        yield
    except TimeoutError:
        raise Unreachable(
            f"cannot {what}: no answer from the API server within {seconds:.0f}s"
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(
            f"cannot {what}: API server unreachable ({type(error).__name__})"
        ) from None


@contextlib.contextmanager
def _dropped(answer: aiohttp.ClientResponse) -> Iterator[None]:
    """Ends the connection of an answer that goes on, without saying goodbye to the peer."""
    try:
        yield
    finally:
        # asked for now: once the answer is whole, another request may have its connection
        transport = _transport(answer)
        if transport is not None:
            transport.abort()
        answer.close()


def _transport(answer: aiohttp.ClientResponse) -> asyncio.Transport | None:
    connection = answer.connection
    return connection.transport if connection is not None else None


def _keep_alive(answer: aiohttp.ClientResponse) -> None:
    """Has the system notice a peer that is gone, also where no proxy closes the connection."""
    transport = _transport(answer)
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"):
            if hasattr(socket, name):  # not every system has them
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), KEEP_ALIVE[name])


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of an answer that goes on; an object may be longer than any buffer."""
    parts: list[bytes] = []
    async for chunk in answer.content.iter_any():
        first, *others = chunk.split(b"\n")
        parts.append(first)
        for other in others:
            line = b"".join(parts)
            parts = [other]
            if line.strip():
                yield line
