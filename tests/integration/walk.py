"""The walk of one alert through the daemon, recorded.

Which modules it enters, in order, and how often.

`python -m tests.integration.walk` prints the page that `docs/reference/walk.md` is.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import orjson
import structlog
from aiohttp.test_utils import TestClient, TestServer

import remediator
from remediator.engine import worker
from remediator.engine.arrive import triage
from remediator.engine.arrive.intake import Intake
from remediator.engine.tell import deliver
from remediator.model.remediation import State
from remediator.settings import Settings
from remediator.web.server import Server
from tests.integration.world import START, World

HOME = Path(remediator.__file__).parent
ENGINE = HOME / "engine"
BEGINNINGS: tuple[Any, ...] = (
    Server.webhook,
    Intake._commit,
    triage._decide,
    worker._slice,
    deliver._deliver,
)
FIRED_FOR = timedelta(minutes=3)
HEAD = """# The walk of one alert

The modules that one alert enters from its webhook to the proof, as a test records them: a release
crashes, its alert is posted, the release is rolled back, the alert resolves three minutes later,
and a receiver with `tells: everything` is notified of the end. Each room of the engine is entered
once, in this order. What all rooms share (`doors`, `see`, `messages`, `finish`, `web/replies`) and
everything below the engine is left out. A module counts once for each slice of work.

| room | module | times |
|---|---|---|
"""


def payload(status: str) -> bytes:
    """What Alertmanager posts."""
    ends = START + FIRED_FOR if status == "resolved" else None
    alert = {
        "status": status,
        "labels": {"alertname": "Crash", "namespace": "shop", "deployment": "web"},
        "annotations": {},
        "startsAt": START.isoformat(),
        "endsAt": ends.isoformat() if ends else "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "f1",
    }
    return orjson.dumps({"version": "4", "status": status, "receiver": "r", "alerts": [alert]})


@dataclass
class Trace:
    """The modules that are entered below one of the beginnings, each beginning being one visit."""

    visits: list[list[str]] = field(default_factory=list)
    _begun: dict[FrameType, list[str]] = field(default_factory=dict)
    _codes: set[CodeType] = field(default_factory=lambda: {_code(made) for made in BEGINNINGS})

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """As `sys.setprofile` calls it."""
        if event != "call" or not frame.f_code.co_filename.startswith(str(HOME)):
            return
        beginning = self._beginning(frame)
        if beginning is None:
            return
        if beginning not in self._begun:
            self._begun[beginning] = []
            self.visits.append(self._begun[beginning])
        entered, module = self._begun[beginning], _module(frame.f_code)
        if module and module not in entered:
            entered.append(module)

    def _beginning(self, frame: FrameType) -> FrameType | None:
        here: FrameType | None = frame
        while here is not None and here.f_code not in self._codes:
            here = here.f_back
        return here


def _code(made: Any) -> CodeType:
    code: CodeType = made.__code__
    return code


def _module(code: CodeType) -> str:
    """The module of the web server or of a room of the engine; nothing for what all rooms share."""
    path = Path(code.co_filename)
    if path.parent == HOME / "web" and path.stem != "replies":
        return f"web/{path.stem}"
    if path.parent.parent == ENGINE and path.parent.name != "see":
        return f"{path.parent.name}/{path.stem}"
    return ""


@contextmanager
def recorded(trace: Trace) -> Iterator[None]:
    """What happens meanwhile, in this thread."""
    sys.setprofile(trace)
    try:
        yield
    finally:
        sys.setprofile(None)


async def walk() -> list[list[str]]:
    """The modules of each visit, in order."""
    world = await World().start()
    intake = Intake(world.doors)
    server = Server(Settings(), world.doors, intake, world.alertmanager.delivered)
    server.serving = True
    committing = asyncio.create_task(intake.run())
    world.crash()
    trace = Trace()
    async with TestClient(TestServer(server.application())) as client:
        with recorded(trace):
            assert (await client.post("/webhook", data=payload("firing"))).status == 200
            await world.run(FIRED_FOR)
        world.doors.followers = ("log",)
        assert (await client.post("/webhook", data=payload("resolved"))).status == 200
        await triage.unpack(world.doors, world.clock.now())
        with recorded(trace):
            await world.run(timedelta(minutes=10))
    committing.cancel()
    assert (await world.only())["state"] == State.SUCCEEDED
    await world.journal.close()
    return [visit for visit in trace.visits if visit]


def page(visits: list[list[str]]) -> str:
    """The walk as a page."""
    modules = list(chain.from_iterable(visits))
    rows = []
    for module in dict.fromkeys(modules):
        room, name = module.split("/")
        rows.append(f"| {room} | {name} | {modules.count(module)} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(page(asyncio.run(walk())), end="")
