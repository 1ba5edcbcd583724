"""The HTTP server: POST /webhook, /healthz, /readyz, /metrics, and the API of operators."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiohttp import web

from ..alertmanager.payload import BadPayload, alerts_of, decode, tally
from ..engine.arrive.intake import Intake
from ..engine.doors import Doors
from ..errors import JournalError, JournalUnavailable
from ..model.alert import Alert
from ..model.text import one_line
from ..model.usage import Rate
from ..settings import Settings
from ..telemetry import log
from . import openapi
from .access import Access
from .api import Handler, OperatorApi
from .approvals import Approvals
from .links import Links, is_origin_of
from .operations import API, OPERATIONS, Operation, Who
from .replies import Mistake, bytes_of, refuse, reply
from .throttle import Throttle

Served = Callable[[web.Request], Awaitable[web.StreamResponse]]
HOPELESS = 120.0  # seconds
WRONG = Rate(10, timedelta(minutes=1))  # wrong credentials from one address


class Server:
    """The routes. `delivered` is called with every stored alert (for the sandbox Alertmanager)."""

    def __init__(
        self,
        settings: Settings,
        doors: Doors,
        intake: Intake,
        delivered: Callable[[str, tuple[Alert, ...]], None] | None,
        *,
        links: Links | None = None,
    ) -> None:
        self._settings, self._doors, self._intake, self._delivered = (
            settings,
            doors,
            intake,
            delivered,
        )
        self._access = Access(settings)
        self._sources, self._asking = (
            Throttle(settings.web.source_rate),
            Throttle(settings.web.operator_rate),
        )
        self._wrong, self._refusals = Throttle(WRONG), Throttle(Rate(1, timedelta(minutes=1)))
        self._approvals = (
            Approvals(doors, self._access, links, self._wrong, asking=self._asking)
            if links
            else None
        )
        self._handlers = OperatorApi(doors).handlers()
        self.serving = False

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=self._settings.web.max_body_bytes)
        app.add_routes([self._route(operation) for operation in OPERATIONS])
        app.router.add_get(f"{API}/openapi.json", self._described)
        if self._approvals:
            app.router.add_get("/approvals/{id}", self._approvals.show)
            app.router.add_post("/approvals/{id}", self._approvals.decide)
        return app

    def _route(self, operation: Operation) -> web.RouteDef:
        open_to_all: dict[str, Served] = {
            "webhook": self.webhook,
            "healthz": self.healthz,
            "readyz": self.readyz,
            "metrics": self.metrics,
        }
        handler = (
            self._operators(self._handlers[operation.name])
            if operation.who is Who.OPERATOR
            else open_to_all[operation.name]
        )
        return web.route(operation.method, operation.path, handler)

    async def _described(self, _request: web.Request) -> web.Response:
        """The API's own description."""
        return reply(openapi.document())

    def _operators(self, handler: Handler) -> Served:
        async def guarded(request: web.Request) -> web.StreamResponse:
            now, operator = self._doors.clock.now(), self._access.operator(request)
            if operator is None:
                return self._unknown(
                    request,
                    "authentication required: send an operator's bearer token or basic credentials",
                )
            refused = self._by_a_page(request)
            if refused:
                return refused
            if not self._asking.allows(operator, now):
                return refuse(429, f"rate limit exceeded for {operator} (web.operator_rate)")
            try:
                return await handler(request, operator)
            except JournalError as error:
                return refuse(503, str(error))
            except Mistake as error:
                return refuse(error.status, str(error))

        return guarded

    def _unknown(self, request: web.Request, why: str) -> web.Response:
        """Failed logins, counted by address. They never lock out valid credentials."""
        if self._wrong.allows(request.remote or "", self._doors.clock.now()):
            return refuse(401, why)
        return refuse(429, "too many failed logins from this address; wait a minute")

    def _by_a_page(self, request: web.Request) -> web.Response | None:
        """Refuses requests that a web page sends with its visitor's certificate or proxy."""
        if request.method == "POST" and request.content_type != "application/json":
            return refuse(415, "send Content-Type: application/json")
        origin = request.headers.get("Origin")
        if request.method == "GET" or origin is None:
            return None
        if is_origin_of(origin, self._settings.web.public_url):
            return None
        return refuse(403, f"cross-origin request from {one_line(origin[:200])} refused")

    async def webhook(self, request: web.Request) -> web.Response:
        """Authenticates, limits, parses and stores. 200 only once every alert is durable."""
        metrics = self._doors.metrics
        started = self._doors.clock.now()
        response = await self._receive(request)
        metrics.count("webhook_requests_total", str(response.status))
        metrics.observe(
            "webhook_request_duration_seconds", (self._doors.clock.now() - started).total_seconds()
        )
        return response

    async def _receive(self, request: web.Request) -> web.Response:
        source = self._access.source(request)
        if source is None:  # never 429, which Alertmanager takes for good
            self._say_refused(request.remote or "")
            return refuse(
                401,
                "unknown credentials: send a source's token or password (`sources` in the"
                " settings)",
            )
        if not self.serving:
            return refuse(503, "not ready; send it again")
        if not self._sources.allows(source, self._doors.clock.now()):
            return refuse(503, f"rate limit exceeded for {source} (web.source_rate); send it again")
        try:
            body = await bytes_of(request)
            webhook = decode(body)
        except Mistake as error:
            return _refused(source, error.status, str(error))
        except BadPayload as error:
            return _refused(source, 400, str(error))
        counted, alerts = tally(webhook), alerts_of(webhook) if self._delivered else ()
        del webhook
        try:
            await self._intake.receive(source, body, counted)
        except JournalUnavailable as error:
            log().error("webhook_not_stored", source=source, why=str(error))
            return refuse(503, "cannot store the alerts now; send them again")
        if self._delivered:
            self._delivered(source, alerts)
        return reply({"stored": sum(counted.alerts.values())})

    def _say_refused(self, address: str) -> None:
        """Logged once a minute per address: a wrong secret must not go unnoticed."""
        if self._refusals.allows(address, self._doors.clock.now()):
            log().warning(
                "webhook_refused",
                address=address,
                why="unknown credentials; alerts from this sender are being lost",
            )

    async def healthz(self, _request: web.Request) -> web.Response:
        """The process answers, and no transaction has been stuck for so long that only a restart
        helps.
        """
        stuck = self._doors.journal.stuck_for()
        if stuck > HOPELESS:
            return web.Response(status=503, text=f"the journal has not answered for {stuck:.0f}s\n")
        return web.Response(text="ok\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        """The journal answers, and the daemon takes alerts."""
        if not self.serving:
            return web.Response(status=503, text="starting or draining\n")
        try:
            await self._doors.journal.ping()
        except JournalError as error:
            return web.Response(status=503, text=f"{error}\n")
        return web.Response(text="ok\n")

    async def metrics(self, _request: web.Request) -> web.Response:
        """Prometheus' text format."""
        return web.Response(
            body=self._doors.metrics.render(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


def _refused(source: str, status: int, why: str) -> web.Response:
    """Refuses a webhook for good: Alertmanager does not send it again, so it is logged."""
    log().warning("webhook_refused", source=source, why=why)
    return refuse(status, why)
