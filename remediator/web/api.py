"""What operators ask of the HTTP API: one handler for each of its operations."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Protocol

from aiohttp import web

from ..engine.after import undo
from ..engine.doors import Doors
from ..engine.explain import explain, would_undo
from ..engine.tell import incidents
from ..model.remediation import State
from ..model.target import Target
from .answers import LONGEST_REASON, MOST_ROWS
from .replies import Mistake, asked, body_of, refuse, reply, since_of, text_of, until_of

CATCH_UP = 2.0  # seconds that a question waits for webhooks that were just accepted
SCOPES = ("cluster:", "namespace:", "rule:")

Handler = Callable[[web.Request, str], Awaitable[web.Response]]


class Asked(Protocol):
    """What an operator asks for, and why it cannot be; None if it took effect."""

    async def __call__(
        self, remediation: str, operator: str, now: datetime, *, why: str
    ) -> str | None: ...


class OperatorApi:
    """Handlers by the names of their operations; each is given the operator who asks."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    def handlers(self) -> Mapping[str, Handler]:
        """By operation."""
        journal = self._doors.journal
        asking: dict[str, Asked] = {
            "cancel": journal.cancel,
            "retry": journal.retry,
            "undo": partial(undo.ask, self._doors),
        }
        return {
            "remediations": self._remediations,
            "remediation": self._remediation,
            "undo_plan": self._undo_plan,
            "approve": partial(self._decide, approve=True),
            "deny": partial(self._decide, approve=False),
            **{verb: partial(self._ask, verb, ask) for verb, ask in asking.items()},
            "episodes": self._episodes,
            "counts": self._counts,
            "explain": self._explain,
            "pauses": self._pauses,
            "pause": self._pause,
            "resume": self._resume,
            "rules": self._rules,
            "reset": self._reset,
        }

    async def _remediations(self, request: web.Request, _operator: str) -> web.Response:
        given = asked(request, "state", "namespace", "rule", "since", "limit")
        if "state" in request.query and given["state"] not in set(State):
            raise Mistake(f"unknown state {given['state']!r}; known: {', '.join(State)}")
        limit = given["limit"] if "limit" in request.query else "100"
        digits = limit.lstrip("0")
        if not (limit.isdecimal() and len(digits) < 9 and 0 < int(digits or 0) <= MOST_ROWS):
            raise Mistake(f"limit: {limit!r} is not a number from 1 to {MOST_ROWS}")
        since = since_of(given["since"], self._doors.clock.now())
        return reply(
            await self._doors.journal.remediations(
                int(digits), given["state"], given["namespace"], given["rule"], since=since
            )
        )

    async def _remediation(self, request: web.Request, _operator: str) -> web.Response:
        found = await self._doors.journal.show(request.match_info["id"])
        if found is None:
            return refuse(404, f"no remediation {request.match_info['id']}")
        return reply(found)

    async def _undo_plan(self, request: web.Request, _operator: str) -> web.Response:
        ident = request.match_info["id"]
        found = await would_undo(self._doors, ident, self._doors.clock.now())
        return await self._refused(ident, found) if isinstance(found, str) else reply(found)

    async def _refused(self, ident: str, why: str) -> web.Response:
        """What cannot be done to a remediation as it is; 404 if there is none."""
        return refuse(409 if await self._doors.journal.show(ident) else 404, why)

    async def _decide(self, request: web.Request, operator: str, *, approve: bool) -> web.Response:
        """An approval names the digest of the plan that was reviewed; a denial need not."""
        ident, body = request.match_info["id"], await body_of(request)
        digest, why = text_of(body, "digest"), text_of(body, "reason")[:LONGEST_REASON]
        if approve and not digest:
            raise Mistake("send the `digest` of the plan that you reviewed")
        refused = await self._doors.journal.decide(
            ident, digest, operator, approve, now=self._doors.clock.now(), why=why
        )
        return await self._done("approve" if approve else "deny", ident, operator, refused)

    async def _ask(
        self, verb: str, ask: Asked, request: web.Request, operator: str
    ) -> web.Response:
        ident, body = request.match_info["id"], await body_of(request)
        why = text_of(body, "reason")[:LONGEST_REASON]
        refused = await ask(ident, operator, self._doors.clock.now(), why=why)
        return await self._done(verb, ident, operator, refused)

    async def _done(
        self, verb: str, ident: str, operator: str, refused: str | None
    ) -> web.Response:
        self._doors.wake.set()
        if refused:
            return await self._refused(ident, refused)
        return reply({"done": verb, "remediation": ident, "by": operator})

    async def _caught_up(self) -> None:
        """Waits a moment until the webhooks that were just accepted are triaged.

        A caller who posts an alert and then asks about it gets an answer.
        """
        journal, now = self._doors.journal, self._doors.clock.now()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP):
                while await journal.inbox(1) or await journal.pending(now, 1):
                    await asyncio.sleep(0.02)

    async def _episodes(self, request: web.Request, _operator: str) -> web.Response:
        given = asked(request, "fingerprint")
        await self._caught_up()
        return reply(await self._doors.journal.episodes(200, given["fingerprint"] or None))

    async def _counts(self, _request: web.Request, _operator: str) -> web.Response:
        return reply(await self._doors.journal.counts())

    async def _explain(self, request: web.Request, _operator: str) -> web.Response:
        body = await body_of(request)
        await self._caught_up()
        answer = await explain(self._doors, body)
        if "error" in answer:
            return refuse(404 if body.get("fingerprint") else 400, answer["error"])
        return reply(answer)

    async def _pauses(self, _request: web.Request, _operator: str) -> web.Response:
        return reply([asdict(pause) for pause in await self._doors.journal.pauses()])

    async def _pause(self, request: web.Request, operator: str) -> web.Response:
        body = await body_of(request)
        unknown = sorted(set(body) - {"scope", "reason", "for"})
        if unknown:  # a mistyped `for` would be a pause without an end
            raise Mistake(f"unknown field {unknown[0]}; a pause has scope, reason and for")
        given, reason = body.get("scope") is not None, text_of(body, "reason")
        scope = text_of(body, "scope") if given else "all"
        refused = await self._no_scope(scope)
        if refused is not None:
            return refused
        if not reason:
            raise Mistake("`reason` must not be empty")
        now = self._doors.clock.now()
        ends = body.get("for") is not None
        until = until_of(text_of(body, "for"), now) if ends else None
        await self._doors.journal.pause(scope, reason[:LONGEST_REASON], operator, until, now=now)
        return reply({"paused": scope, "until": until, "by": operator})

    async def _no_scope(self, scope: str) -> web.Response | None:
        """Why nothing would be paused, or None."""
        if scope != "all" and not scope.startswith(SCOPES):
            raise Mistake(
                f"unknown scope {scope!r}; use all, cluster:NAME, namespace:NAME or rule:NAME"
            )
        kind, _, name = scope.partition(":")
        if kind != "all" and not name:
            raise Mistake(f"name the {kind}, such as {kind}:shop")
        known: dict[str, Container[str]] = {
            "rule": self._doors.rules.names,
            "cluster": self._doors.clusters,
        }
        if kind in known and name not in known[kind]:
            return refuse(404, f"no {kind} {name}; nothing was paused")
        if kind == "namespace" and await self._missing(name):
            return refuse(404, f"no namespace {name} in the cluster; nothing was paused")
        return None

    async def _missing(self, namespace: str) -> bool:
        """Whether every cluster that can be asked has no such namespace.

        A pause is not refused if that is unknown.
        """
        now = self._doors.clock.now()
        seen = [
            await cluster.observe(Target(name, "Namespace", "", namespace), False, frozenset(), now)
            for name, cluster in self._doors.clusters.items()
        ]
        return all(facts.object is None for facts in seen)

    async def _resume(self, request: web.Request, operator: str) -> web.Response:
        scope = request.match_info["scope"]
        lifted = await self._doors.journal.resume(scope, operator, self._doors.clock.now())
        self._doors.wake.set()
        if not lifted:
            return refuse(404, f"{scope} is not paused")
        return reply({"resumed": scope, "by": operator})

    async def _rules(self, _request: web.Request, _operator: str) -> web.Response:
        loaded = self._doors.rules
        record = await self._doors.journal.record([source.rule.name for source in loaded.sources])
        opened = {row.rule: row.opened_at for row in await self._doors.journal.breakers()}
        shown = [
            {
                "name": source.rule.name,
                "group": source.group.name,
                "mode": source.rule.mode,
                "file": source.path,
                "line": source.line,
                "breaker_open_since": opened.get(source.rule.name),
                "record": record[source.rule.name],
            }
            for source in loaded.sources
        ]
        return reply({"digest": loaded.digest, "rules": shown})

    async def _reset(self, request: web.Request, operator: str) -> web.Response:
        name = request.match_info["name"]
        if self._doors.rules.find(name) is None:
            return refuse(404, f"no rule {name} is loaded")
        await self._doors.journal.reset(name, operator, self._doors.clock.now())
        await incidents.watch(self._doors, self._doors.clock.now())
        self._doors.wake.set()
        return reply({"done": "reset", "rule": name, "by": operator})
