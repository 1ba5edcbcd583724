"""A plain-HTTP way to the API server, on which watches can fall silent, end, or expire."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from tests.real.parts import ControlPlane

GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}


class Wire:
    """What happens to watches: as the attributes say.

    `silent`: nothing more is told, and the connection stays. `no_bookmarks`: those alone are left
    out. `expired`: so many watches are answered that their version is too old. `refused`: every
    request is answered with 503. `lists` are the paths that were listed, `watching` how many
    watches are open.
    """

    def __init__(self, plane: ControlPlane, session: aiohttp.ClientSession) -> None:
        self._plane, self._session = plane, session
        self.silent = self.no_bookmarks = self.refused = False
        self.expired = self.watching = 0
        self.lists: list[str] = []
        self._open: set[web.StreamResponse] = set()

    def cut(self) -> None:
        """Ends every connection of a watch at once."""
        for answer in self._open:
            request = answer._req
            if request is not None and request.transport is not None:
                request.transport.abort()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.refused:
            return web.json_response({"kind": "Status", "message": "restarting"}, status=503)
        watching = request.query.get("watch") == "true"
        if not watching and request.path.count("/") in (3, 4) and request.method == "GET":
            self.lists.append(request.path)
        kept = ("authorization", "content-type", "accept", "user-agent")
        headers = {key: text for key, text in request.headers.items() if key.lower() in kept}
        body = await request.read()
        url = self._plane.url + request.path_qs
        sent = self._session.request(request.method, url, data=body or None, headers=headers)
        async with sent as answer:
            if not watching or answer.status != 200:
                text = await answer.read()
                return web.Response(
                    body=text, status=answer.status, content_type="application/json"
                )
            return await self._stream(request, answer)

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        told = web.StreamResponse(headers={"Content-Type": "application/json"})
        await told.prepare(request)
        self._open.add(told)
        self.watching += 1
        try:
            if self.expired:
                self.expired -= 1
                await told.write(json.dumps(GONE).encode() + b"\n")
                return told
            while line := await answer.content.readline():
                while self.silent:
                    await asyncio.sleep(0.05)
                if not (self.no_bookmarks and b'"BOOKMARK"' in line[:100]):
                    await told.write(line)
        finally:
            self._open.discard(told)
            self.watching -= 1
        return told


CLOSING = 0.2  # seconds that connections with TLS take to close, which nobody can wait for


@asynccontextmanager
async def wire(plane: ControlPlane) -> AsyncIterator[tuple[Wire, str]]:
    """A way, and its URL."""
    connector = aiohttp.TCPConnector(ssl=False, limit=0)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=2**21) as session:
        way = Wire(plane, session)
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", way.handle)
        runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield way, f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()
    await asyncio.sleep(CLOSING)
