"""Checks whether everything the settings name is reachable and permitted (`remediator doctor`)."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from pydantic import ValidationError

from ..alertmanager.client import UP, addresses
from ..app import load_rules
from ..errors import ClusterError, JournalError, JournalLocked, RemediatorError
from ..journal.sql import SqlJournal
from ..model.facts import Unknown
from ..model.text import without_password
from ..prometheus import PrometheusApi
from ..rules import loader
from ..rules.ruleset import RuleSet
from ..setting_sections import Source
from ..settings import Settings
from ..web.access import refuses_to_listen
from . import permissions

TIMEOUT = aiohttp.ClientTimeout(total=10)
PROBE = "RemediatorDoctor"
PATIENCE = 90.0


@dataclass(frozen=True, slots=True)
class DoctorLine:
    """One line: ok, warn or fail, of what, what was found, and what to do about it."""

    state: str
    what: str
    found: str
    advice: str = ""

    def render(self) -> str:
        """For a terminal."""
        return f"{self.state:<4}  {self.what:<14}  {self.found}" + (
            f"\n      {'':<14}  -> {self.advice}" if self.advice else ""
        )


async def examine(settings: Settings, url: str, test_alert: bool) -> AsyncIterator[DoctorLine]:
    """Everything, one after the other."""
    rules, line = _rules(settings)
    yield line
    yield _web(settings)
    yield await _journal(settings)
    for item in settings.receivers:
        yield _receiver(item)
    async for finding in _cluster(settings, rules):
        yield finding
    yield await _prometheus(settings, rules)
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        for source in settings.sources:
            async for finding in _alertmanager(session, source):
                yield finding
        if not settings.sources:
            yield DoctorLine(
                "warn",
                "sources",
                "none: only this host may post alerts",
                "add one under `sources`",
            )
        async for finding in _daemon(session, settings, url, test_alert):
            yield finding


def _rules(settings: Settings) -> tuple[RuleSet | None, DoctorLine]:
    """The rules, if they can be loaded."""
    try:
        rules = load_rules(settings)
    except loader.RuleErrors as error:
        fix = f"remediator check {' '.join(settings.rules)}"
        return None, DoctorLine("fail", "rules", str(error), fix)
    except RemediatorError as error:
        fix = "add the receiver, or name another in the rule"
        return None, DoctorLine("fail", "rules", str(error), fix)
    acting = sum(source.rule.mode == "act" for source in rules.sources)
    text = f"{len(rules.sources)} rules, {acting} of them in mode act"
    return rules, DoctorLine("ok", "rules", text)


def _web(settings: Settings) -> DoctorLine:
    refused = refuses_to_listen(settings)
    if refused:
        return DoctorLine("fail", "web", refused, "remediator init writes credentials")
    return DoctorLine("ok", "web", f"listens on {settings.web.listen}")


async def _journal(settings: Settings) -> DoctorLine:
    journal = SqlJournal(settings.journal_url)
    try:
        return DoctorLine("ok", "journal", await journal.probe())
    except JournalLocked:
        return DoctorLine("ok", "journal", "in use by a running daemon")
    except (RemediatorError, JournalError) as error:
        return DoctorLine(
            "fail",
            "journal",
            str(error),
            "check `journal`, the folder's permissions, or that the database is running",
        )
    finally:
        await journal.close()


def _receiver(item: Any) -> DoctorLine:
    try:
        item.make()
    except RemediatorError as error:
        return DoctorLine("fail", "receiver", str(error), "correct it under `receivers`")
    return DoctorLine(
        "ok", "receiver", f"{item.name} ({item.kind}); test it with `remediator notify test`"
    )


async def _cluster(settings: Settings, rules: RuleSet | None) -> AsyncIterator[DoctorLine]:
    if settings.cluster.kind == "sandbox":
        yield DoctorLine("warn", "cluster", "the in-memory sandbox: no real cluster is touched")
        return
    from ..cluster.client import connect

    try:
        cluster = await connect(
            settings.cluster.kubeconfig, settings.cluster.context, settings.cluster.qps
        )
    except RemediatorError as error:
        yield DoctorLine(
            "fail", "cluster", str(error), "check `cluster.kubeconfig` and `cluster.context`"
        )
        return
    try:
        why = await cluster.ready()
        if why is not None:
            yield DoctorLine(
                "fail",
                "cluster",
                why,
                "check the address, the network, and the credential in the kubeconfig",
            )
            return
        yield DoctorLine("ok", "cluster", "the API server answers")
        denied = await permissions.denied(cluster, rules)
        paths = " ".join(f"--rules {path}" for path in settings.rules)
        advice = f"remediator generate rbac {paths} | kubectl apply -f -"
        for text in denied:
            yield DoctorLine("fail", "rbac", f"may not {text}", advice)
        if not denied:
            yield DoctorLine("ok", "rbac", "every permission that the rules need is granted")
        if settings.cluster.watch:
            yield await _watched(cluster, rules, advice)
    except ClusterError as error:
        yield DoctorLine(
            "fail", "rbac", str(error), "the API server must allow SelfSubjectAccessReviews"
        )
    finally:
        await cluster.close()


async def _watched(cluster: Any, rules: RuleSet | None, advice: str) -> DoctorLine:
    """Whether what rules look at can be watched. It works without, by many more requests."""
    lacking = await permissions.unwatched(cluster, rules)
    if not lacking:
        return DoctorLine("ok", "watches", "what the rules look at can be watched")
    kinds = ", ".join(lacking)
    found = f"may not list and watch {kinds}: they are read by requests, which is slower"
    return DoctorLine("warn", "watches", found, f"{advice}; or set `cluster.watch: false`")


async def _prometheus(settings: Settings, rules: RuleSet | None) -> DoctorLine:
    if not settings.prometheus:
        return DoctorLine(
            "warn",
            "prometheus",
            "none configured",
            "set `prometheus`; without it, rules with `when` queries hold forever",
        )
    port = PrometheusApi(settings.prometheus)
    try:
        answer = await port.holds("vector(1)")
        if isinstance(answer, Unknown):
            return DoctorLine(
                "fail",
                "prometheus",
                f"{without_password(settings.prometheus)}: {answer.why}",
                "check the URL, and that it is reachable from here",
            )
        return DoctorLine(
            "ok", "prometheus", f"{without_password(settings.prometheus)} answers queries"
        )
    finally:
        port.close()


async def _alertmanager(
    session: aiohttp.ClientSession, source: Source
) -> AsyncIterator[DoctorLine]:
    """Every instance that is named; and whether the cluster has more of them."""
    what = f"alertmanager {source.name}" if source.name != "alertmanager" else "alertmanager"
    if not source.alertmanager:
        advice = (
            "set `alertmanager` of the source; without it no alert can be confirmed active, and"
            " nothing acts"
        )
        yield DoctorLine("fail", what, "no URL", advice)
    known: list[tuple[str, str]] = []
    for url in source.alertmanager:
        known += await addresses(url)
    for url in source.alertmanager:
        try:
            async with session.get(f"{url.rstrip('/')}/api/v2/status") as answer:
                answer.raise_for_status()
                status = UP.validate_json(await answer.read())
        except (aiohttp.ClientError, TimeoutError, ValidationError) as error:
            advice = "check the URL, and that it is reachable from here"
            said = (
                "the server that answers is not Alertmanager"
                if isinstance(error, ValidationError)
                else type(error).__name__
            )
            yield DoctorLine("fail", what, f"{without_password(url)}: {said}", advice)
            continue
        version = (status.versionInfo or {}).get("version", "?")
        if status.members > len(known):
            advice = (
                "use the headless Service (alertmanager-operated), or list every instance: an"
                " alert's end is not trusted"
            )
            yield DoctorLine(
                "warn",
                what,
                f"{without_password(url)}: its cluster has {status.members} members, but only"
                f" {len(known)} are listed",
                advice,
            )
        # their URLs are hidden
        elif "webhook_configs" not in str((status.config or {}).get("original")):
            advice = "remediator init writes the routes to merge"
            yield DoctorLine(
                "warn", what, f"version {version} answers; it has no webhook receiver", advice
            )
        else:
            yield DoctorLine("ok", what, f"version {version} answers, and has a webhook receiver")


async def _daemon(
    session: aiohttp.ClientSession, settings: Settings, url: str, test_alert: bool
) -> AsyncIterator[DoctorLine]:
    scheme = "https" if settings.web.tls_cert else "http"
    listens = settings.web.listen.replace("0.0.0.0", "127.0.0.1")
    base = (url or f"{scheme}://{listens}").rstrip("/")
    try:
        async with session.get(f"{base}/readyz") as answer:
            text, status = (await answer.text()).strip(), answer.status
    except (aiohttp.ClientError, TimeoutError) as error:
        yield DoctorLine(
            "warn",
            "daemon",
            f"{base}: {type(error).__name__}",
            "start it with `remediator serve`, or set --url",
        )
        return
    if status != 200:
        yield DoctorLine("fail", "daemon", f"{base} is not ready: {text}", "see its log")
        return
    yield DoctorLine("ok", "daemon", f"{base} is ready")
    if not test_alert:
        yield DoctorLine(
            "warn",
            "test alert",
            "not sent",
            "--test-alert sends one through Alertmanager (severity none; your own routes see it"
            " too)",
        )
        return
    for source in settings.sources:
        if source.alertmanager:
            yield await _end_to_end(session, settings, source, base)


async def _end_to_end(
    session: aiohttp.ClientSession, settings: Settings, source: Source, base: str
) -> DoctorLine:
    """An alert into Alertmanager, out of it by its webhook, and into the journal.

    Then it is ended.
    """
    mark = secrets.token_hex(6)
    token = next((o.token_file.get_secret_value() for o in settings.operators if o.token_file), "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    started = asyncio.get_running_loop().time()
    try:
        await _put_alert(session, source, mark, timedelta(minutes=5))
        while asyncio.get_running_loop().time() - started < PATIENCE:
            async with session.get(f"{base}/api/v1/episodes", headers=headers) as answer:
                answer.raise_for_status()
                seen = any(row["labels"].get("probe") == mark for row in await answer.json())
            if seen:
                took = asyncio.get_running_loop().time() - started
                return DoctorLine(
                    "ok",
                    "test alert",
                    f"from Alertmanager ({source.name}) to the journal in {took:.1f} s",
                )
            await asyncio.sleep(0.5)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return DoctorLine(
            "fail",
            "test alert",
            f"{type(error).__name__}: {error}",
            "check the operator's token and Alertmanager's URL",
        )
    finally:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):  # it ends by itself, later
            await _put_alert(session, source, mark, timedelta())
    advice = "check Alertmanager's route and its log: remediator init writes the routes to merge"
    return DoctorLine(
        "fail",
        "test alert",
        f"Alertmanager accepted it, but it did not arrive within {PATIENCE:.0f} s",
        advice,
    )


async def _put_alert(
    session: aiohttp.ClientSession, source: Source, mark: str, lasts: timedelta
) -> None:
    now = datetime.now(UTC)  # noqa: TID251 - an alert's own time is the wall clock's
    labels = {"alertname": PROBE, "severity": "none", "probe": mark}
    notes = {"summary": "A test sent by `remediator doctor`; nothing is wrong."}
    alert = {
        "labels": labels,
        "annotations": notes,
        "startsAt": now.isoformat(),
        "endsAt": (now + lasts).isoformat(),
    }
    async with session.post(
        f"{source.alertmanager[0].rstrip('/')}/api/v2/alerts", json=[alert]
    ) as answer:
        answer.raise_for_status()
