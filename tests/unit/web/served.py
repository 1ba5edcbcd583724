"""The HTTP server on loopback, over the sandbox cluster and in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from remediator.engine.arrive.intake import Intake
from remediator.model.pauses import Pause
from remediator.rules.ruleset import RuleSet
from remediator.web.links import Links
from remediator.web.server import Server
from tests.integration.test_http import ME, settings
from tests.integration.world import World, rules

PUBLIC = "https://remediator.example"
LINKS = Links(PUBLIC, b"k" * 32)
LIST, PAUSES = "/api/v1/remediations", "/api/v1/pauses"
JSON = {**ME, "Content-Type": "application/json"}
ASKS = (
    "name: ask, mode: approve, match: ['alertname=\"Leak\"'],"
    " steps: [{action: restart_workload, if: always}]"
)
Client = TestClient[web.Request, web.Application]


@dataclass
class Served:
    """A daemon's world, its server, and a client of it."""

    world: World
    server: Server
    http: Client

    async def answer(
        self, method: str, path: str, *, headers: Mapping[str, str] = JSON, **more: Any
    ) -> tuple[int, Any]:
        """Status and JSON of what an operator is answered."""
        async with self.http.request(method, path, headers=headers, **more) as answer:
            return answer.status, await answer.json()

    async def page(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Status and text of a page."""
        async with self.http.request(method, path, **more) as answer:
            return answer.status, await answer.text()

    async def asked(self, **labels: Any) -> str:
        """The link to a plan that waits for approval, valid for an hour."""
        await self.world.deliver("Leak", **labels)
        await self.world.run(timedelta(seconds=30))
        row = await self.world.only()
        assert row["state"] == "awaiting_approval"
        return await self.link()

    async def link(self, hours: float = 1) -> str:
        """A link to the only remediation's plan as it is now."""
        shown = await self.shown()
        until = self.world.clock.now() + timedelta(hours=hours)
        made = LINKS.make(shown["id"], shown["look"]["digest"], until)
        return made.removeprefix(PUBLIC)

    async def lifted(self) -> Sequence[Pause]:
        """What was paused until now."""
        found = await self.world.journal.pauses()
        for pause in found:
            await self.world.journal.resume(pause.scope, "me", self.world.clock.now())
        return found

    async def shown(self) -> Mapping[str, Any]:
        """The only remediation with everything."""
        shown = await self.world.journal.show((await self.world.only())["id"])
        assert shown is not None
        return shown

    async def history(self) -> list[str]:
        """The lines of its history."""
        return [str(line["text"]) for line in (await self.shown())["history"]]


@asynccontextmanager
async def serving(
    folder: Path, ruleset: RuleSet | None = None, web_: Any = None, **more: Any
) -> AsyncIterator[Served]:
    """A server that takes webhooks of `am` and requests of `me`, with links to plans."""
    world = await World(ruleset or rules(ASKS)).start()
    given = {"listen": "127.0.0.1:0", "public_url": PUBLIC, **(web_ or {})}
    intake = Intake(world.doors)
    server = Server(settings(folder, web=given, **more), world.doors, intake, None, links=LINKS)
    storing = asyncio.ensure_future(intake.run())
    server.serving = True
    try:
        async with TestClient(TestServer(server.application())) as http:
            yield Served(world, server, http)
    finally:
        storing.cancel()
        with suppress(asyncio.CancelledError):
            await storing
        await world.journal.close()


async def raw(served: Served, *lines: bytes, body: bytes = b"") -> bytes:
    """What is answered to these lines, byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.http.port)
    length = b"Content-Length: %d" % len(body)
    head = (*lines, b"Host: x", b"Connection: close", length, b"", b"")
    writer.write(b"\r\n".join(head) + body)
    answer = await reader.read()
    writer.close()
    return answer
