"""The HTTP server: POST /webhook, /healthz, /readyz, /metrics, and
/api/v1, which shows what the CLI shows.
"""

import asyncio
import contextlib
import functools
import json
from collections.abc import Awaitable, Callable, Container
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from ..alertmanager.payload import BadPayload, alerts_of, decode, tally
from ..engine.after import undo
from ..engine.arrive.intake import Intake
from ..engine.doors import Doors
from ..engine.explain import explain, would_undo
from ..engine.tell import incidents
from ..errors import JournalError, JournalUnavailable
from ..model.alert import Alert
from ..model.duration import parse_duration
from ..model.remediation import State
from ..model.target import Target
from ..model.usage import Rate
from ..settings import Settings
from ..telemetry import log
from .access import Access
from .approvals import LONGEST_REASON, Approvals
from .links import Links
from .throttle import Throttle


class Asked(Protocol):
    """What an operator asks for, and why it cannot be; None where it took effect."""

    async def __call__(
        self, remediation: str, operator: str, now: datetime, *, why: str
    ) -> str | None: ...


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CATCH_UP = 2.0
MOST_ROWS = 1000
HOPELESS = 120.0  # seconds
WRONG = Rate(10, timedelta(minutes=1))  # wrong credentials from one address
SCOPES = ("cluster:", "namespace:", "rule:")


class Server:
    """The routes.

    `delivered` is told of every stored alert (the sandbox Alertmanager listens there).
    """

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
        self.serving = False

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=self._settings.web.max_body_bytes)
        api = "/api/v1"
        app.add_routes(
            [
                web.post("/webhook", self.webhook),
                web.get("/healthz", self.healthz),
                web.get("/readyz", self.readyz),
                web.get("/metrics", self.metrics),
                web.get(f"{api}/remediations", self._operators(self.remediations)),
                web.get(f"{api}/remediations/{{id}}", self._operators(self.remediation)),
                web.get(f"{api}/remediations/{{id}}/undo", self._operators(self.undoing)),
                web.post(
                    f"{api}/remediations/{{id}}/{{verb:approve|deny|cancel|undo|retry}}",
                    self._operators(self.decide),
                ),
                web.get(f"{api}/episodes", self._operators(self.episodes)),
                web.get(f"{api}/counts", self._operators(self.counts)),
                web.post(f"{api}/explain", self._operators(self.explain)),
                web.get(f"{api}/pauses", self._operators(self.pauses)),
                web.post(f"{api}/pauses", self._operators(self.pause)),
                web.delete(f"{api}/pauses/{{scope}}", self._operators(self.resume)),
                web.get(f"{api}/rules", self._operators(self.rules)),
                web.post(f"{api}/rules/{{name}}/reset", self._operators(self.reset)),
            ]
        )
        if self._approvals:
            page = "/approvals/{id}"
            app.add_routes(
                [web.get(page, self._approvals.show), web.post(page, self._approvals.decide)]
            )
        return app

    def _operators(self, handler: Callable[[web.Request, str], Awaitable[web.Response]]) -> Handler:
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
            if self._settings.operators and not self._asking.allows(operator, now):
                return _error(429, f"rate limit exceeded for {operator} (web.operator_rate)")
            try:
                return await handler(request, operator)
            except JournalError as error:
                return _error(503, str(error))
            except _Mistake as error:
                return _error(400, str(error))

        return guarded

    def _unknown(self, request: web.Request, why: str) -> web.Response:
        """Wrong credentials, counted by address.

        Who has the right ones is never kept out by whoever guesses beside them.
        """
        if self._wrong.allows(request.remote or "", self._doors.clock.now()):
            return _error(401, why)
        return _error(429, "too many failed logins from this address; wait a minute")

    def _by_a_page(self, request: web.Request) -> web.Response | None:
        """The refusal where a web page sends what its visitor's
        certificate, proxy or network would vouch for.
        """
        if request.method == "POST" and request.content_type != "application/json":
            return _error(415, "send Content-Type: application/json")
        origin, own = request.headers.get("Origin"), urlsplit(self._settings.web.public_url)
        if (
            request.method != "GET"
            and origin is not None
            and origin != f"{own.scheme}://{own.netloc}"
        ):
            return _error(403, f"cross-origin request from {origin[:200]} refused")
        return None

    async def webhook(self, request: web.Request) -> web.Response:
        """Authenticate, cap, parse, store; 200 only when every alert is durable."""
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
            return _error(
                401,
                "unknown credentials: send a source's token or password (`sources` in the"
                " settings)",
            )
        if not self.serving:
            return _error(503, "not ready; send it again")
        if not self._sources.allows(source, self._doors.clock.now()):
            return _error(503, f"rate limit exceeded for {source} (web.source_rate); send it again")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _unread(
                source,
                413,
                f"the body is larger than {self._settings.web.max_body_bytes} bytes"
                " (web.max_body_bytes)",
            )
        try:
            webhook = decode(body)
        except BadPayload as error:
            return _unread(source, 400, str(error))
        counted, alerts = tally(webhook), alerts_of(webhook) if self._delivered else ()
        del webhook
        try:
            await self._intake.receive(source, body, counted)
        except JournalUnavailable as error:
            log().error("webhook_not_stored", source=source, why=str(error))
            return _error(503, "cannot store the alerts now; send them again")
        if self._delivered:
            self._delivered(source, alerts)
        return _json({"stored": sum(counted.alerts.values())})

    def _say_refused(self, address: str) -> None:
        """In the log once a minute for each address.

        A wrong secret in Alertmanager's configuration must not go unnoticed.
        """
        if self._refusals.allows(address, self._doors.clock.now()):
            log().warning(
                "webhook_refused",
                address=address,
                why="unknown credentials; alerts from this sender are being lost",
            )

    async def healthz(self, _request: web.Request) -> web.Response:
        """The process answers, and no transaction of it has hung for
        so long that only a new process helps.
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

    async def remediations(self, request: web.Request, _operator: str) -> web.Response:
        """?state= ?namespace= ?rule= ?since= (a duration such as 2h, or RFC 3339) ?limit=."""
        asked = _asked(request, "state", "namespace", "rule", "since", "limit")
        if asked["state"] and asked["state"] not in set(State):
            raise _Mistake(f"unknown state {asked['state']!r}; known: {', '.join(State)}")
        if asked["limit"] and not (
            asked["limit"].isdecimal() and 0 < int(asked["limit"][:9]) <= MOST_ROWS
        ):
            raise _Mistake(f"limit: {asked['limit']!r} is not a number from 1 to {MOST_ROWS}")
        since = _since(asked["since"], self._doors.clock.now())
        limit = int(asked["limit"] or 100)
        return _json(
            await self._doors.journal.remediations(
                limit, asked["state"], asked["namespace"], asked["rule"], since=since
            )
        )

    async def remediation(self, request: web.Request, _operator: str) -> web.Response:
        found = await self._doors.journal.show(request.match_info["id"])
        return _json(found) if found else _error(404, f"no remediation {request.match_info['id']}")

    async def undoing(self, request: web.Request, _operator: str) -> web.Response:
        """What an undo would do now: its plan and calls, or why there is none."""
        ident = request.match_info["id"]
        found = await would_undo(self._doors, ident, self._doors.clock.now())
        return await self._refused(ident, found) if isinstance(found, str) else _json(found)

    async def _refused(self, ident: str, why: str) -> web.Response:
        """What cannot be done to a remediation as it is; 404 where there is none."""
        return _error(409 if await self._doors.journal.show(ident) else 404, why)

    async def decide(self, request: web.Request, operator: str) -> web.Response:
        """approve (only with the digest of the plan that was
        looked at), deny, cancel, retry, undo.
        """
        journal, now, verb, ident = (
            self._doors.journal,
            self._doors.clock.now(),
            request.match_info["verb"],
            request.match_info["id"],
        )
        body = await _body(request)
        digest, why = (
            str(body.get("digest") or ""),
            str(body.get("reason") or "").strip()[:LONGEST_REASON],
        )
        if verb == "approve" and not digest:
            return _error(400, "send the `digest` of the plan that you reviewed")
        if verb in ("approve", "deny"):
            refused = await journal.decide(
                ident, digest, operator, verb == "approve", now=now, why=why
            )
        else:
            asked: dict[str, Asked] = {
                "cancel": journal.cancel,
                "retry": journal.retry,
                "undo": functools.partial(undo.ask, self._doors),
            }
            refused = await asked[verb](ident, operator, now, why=why)
        self._doors.wake.set()
        return (
            await self._refused(ident, refused)
            if refused
            else _json({"done": verb, "remediation": ident, "by": operator})
        )

    async def _caught_up(self) -> None:
        """Waits a moment for what was just accepted to be triaged, so
        that who posts and then asks is answered.
        """
        journal, now = self._doors.journal, self._doors.clock.now()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP):
                while await journal.inbox(1) or await journal.pending(now, 1):
                    await asyncio.sleep(0.02)

    async def episodes(self, request: web.Request, _operator: str) -> web.Response:
        """?fingerprint= of one alert; else the newest."""
        asked = _asked(request, "fingerprint")
        await self._caught_up()
        return _json(await self._doors.journal.episodes(200, asked["fingerprint"] or None))

    async def counts(self, _request: web.Request, _operator: str) -> web.Response:
        """Open episodes by fate, live remediations by state, webhooks that
        wait to be unpacked, messages to be delivered.
        """
        return _json(await self._doors.journal.counts())

    async def explain(self, request: web.Request, _operator: str) -> web.Response:
        """{"fingerprint": …} of an alert that was received, or {"alert": {…}} as in a webhook."""
        body = await _body(request)
        await self._caught_up()
        answer = await explain(self._doors, body)
        return (
            _json(answer)
            if "error" not in answer
            else _error(404 if body.get("fingerprint") else 400, answer["error"])
        )

    async def pauses(self, _request: web.Request, _operator: str) -> web.Response:
        return _json([asdict(pause) for pause in await self._doors.journal.pauses()])

    async def pause(self, request: web.Request, operator: str) -> web.Response:
        """{"scope": "all" | "namespace:shop", "reason": …, "for": "2h"}."""
        body = await _body(request)
        unknown = sorted(set(body) - {"scope", "reason", "for"})
        if unknown:  # a mistyped `for` would be a pause without an end
            return _error(400, f"unknown field {unknown[0]}; a pause has scope, reason and for")
        scope, reason = str(body.get("scope") or "all"), str(body.get("reason") or "").strip()
        refused = await self._no_scope(scope)
        if refused is not None:
            return refused
        if not reason:
            return _error(400, "`reason` must not be empty")
        now = self._doors.clock.now()
        until = _ends(str(body["for"]), now) if body.get("for") else None
        await self._doors.journal.pause(scope, reason[:500], operator, until, now=now)
        return _json({"paused": scope, "until": until, "by": operator})

    async def _missing(self, namespace: str) -> bool:
        """Whether every cluster that can be asked has no such namespace.

        A pause is not refused where nobody knows.
        """
        now = self._doors.clock.now()
        seen = [
            await cluster.observe(Target(name, "Namespace", "", namespace), False, frozenset(), now)
            for name, cluster in self._doors.clusters.items()
        ]
        return all(facts.object is None for facts in seen)

    async def _no_scope(self, scope: str) -> web.Response | None:
        """Why nothing would be paused, or None."""
        if scope != "all" and not scope.startswith(SCOPES):
            why = f"unknown scope {scope!r}; use all, cluster:NAME, namespace:NAME or rule:NAME"
            return _error(400, why)
        kind, _, name = scope.partition(":")
        if kind != "all" and not name:
            return _error(400, f"name the {kind}, such as {kind}:shop")
        known: dict[str, Container[str]] = {
            "rule": self._doors.rules.names,
            "cluster": self._doors.clusters,
        }
        if kind in known and name not in known[kind]:
            return _error(404, f"no {kind} {name}; nothing was paused")
        if kind == "namespace" and await self._missing(name):
            return _error(404, f"no namespace {name} in the cluster; nothing was paused")
        return None

    async def resume(self, request: web.Request, operator: str) -> web.Response:
        scope = request.match_info["scope"]
        lifted = await self._doors.journal.resume(scope, operator, self._doors.clock.now())
        self._doors.wake.set()
        return (
            _json({"resumed": scope, "by": operator})
            if lifted
            else _error(404, f"{scope} is not paused")
        )

    async def rules(self, _request: web.Request, _operator: str) -> web.Response:
        """Each rule with its record.

        What it would have done, how often people agreed, how often it helped; and its breaker.
        """
        loaded = self._doors.rules
        record = await self._doors.journal.record([source.rule.name for source in loaded.sources])
        opened = {row.rule: row.opened_at for row in await self._doors.journal.breakers()}
        shown = [
            {
                "name": s.rule.name,
                "group": s.group.name,
                "mode": s.rule.mode,
                "file": s.path,
                "line": s.line,
            }
            | {"breaker_open_since": opened.get(s.rule.name), "record": record[s.rule.name]}
            for s in loaded.sources
        ]
        return _json({"digest": loaded.digest, "rules": shown})

    async def reset(self, request: web.Request, operator: str) -> web.Response:
        """Closes a rule's breaker: how its remediations ended until now is forgotten."""
        name = request.match_info["name"]
        if self._doors.rules.find(name) is None:
            return _error(404, f"no rule {name} is loaded")
        await self._doors.journal.reset(name, operator, self._doors.clock.now())
        await incidents.watch(self._doors, self._doors.clock.now())
        self._doors.wake.set()
        return _json({"done": "reset", "rule": name, "by": operator})


class _Mistake(Exception):
    """What the caller sent cannot be understood; nothing was done."""


def _ends(text: str, now: datetime) -> datetime:
    """When a pause for so long is over. Raises: _Mistake."""
    try:
        until = now + parse_duration(text)
    except ValueError as error:
        raise _Mistake(f"for: {error}") from None
    except OverflowError:
        why = f"for: {text} is too long; omit `for` for a pause without an end"
        raise _Mistake(why) from None
    if until <= now:
        raise _Mistake("for: must be longer than 0s")
    return until


def _unread(source: str, status: int, why: str) -> web.Response:
    """Refuses a webhook for good: Alertmanager does not deliver it again, so the log must tell."""
    log().warning("webhook_refused", source=source, why=why)
    return _error(status, why)


def _asked(request: web.Request, *names: str) -> dict[str, str]:
    """The query's parameters; empty where one is not given.

    Raises: _Mistake for one that there is not.
    """
    unknown = sorted(set(request.query) - set(names))
    if unknown:
        raise _Mistake(f"unknown parameter {unknown[0]}; known: {', '.join(names)}")
    return {name: request.query.get(name, "") for name in names}


async def _body(request: web.Request) -> dict[str, Any]:
    """Raises: _Mistake."""
    try:
        data = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError):
        raise _Mistake("the body is not valid JSON; nothing was done") from None
    if not isinstance(data, dict):
        raise _Mistake("the body must be a JSON object; nothing was done")
    return data


def _since(text: str, now: datetime) -> datetime | None:
    """Raises: _Mistake."""
    if not text:
        return None
    try:
        return now - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise _Mistake(
            f"since: {text!r} is neither a duration such as 2h nor a time such as"
            " 2026-05-01T12:00:00Z"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _json(data: Any, status: int = 200) -> web.Response:
    text = orjson.dumps(data, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(body=text, status=status, content_type="application/json")


def _plain(value: Any) -> str:
    return f"{value.total_seconds()}s" if isinstance(value, timedelta) else str(value)


def _error(status: int, text: str) -> web.Response:
    return _json({"error": text}, status)
