"""The composition root: connects all parts, runs the tasks, reloads rules, drains and stops."""

import asyncio
import contextlib
import gc
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from watchfiles import awatch

from .alertmanager.client import AlertmanagerApi
from .alertmanager.sandbox import SandboxAlertmanager
from .cluster.sandbox import SandboxCluster
from .engine.arrive.intake import Intake
from .engine.doors import Doors
from .engine.engine import Engine
from .engine.tell import gauges
from .errors import ConfigurationError, JournalError
from .journal.sql import SqlJournal
from .ports import Cluster
from .prometheus import PrometheusApi, SandboxPrometheus
from .rules import loader, looking
from .rules.ruleset import RuleSet
from .rules.schema import Rule
from .setting_sections import Web
from .settings import Settings
from .telemetry import Metrics, log
from .web.access import refuses_to_listen
from .web.links import Links
from .web.server import Server

DRAIN = 20.0
# milliseconds between two looks at the rule files, where the system cannot tell of changes
POLL = 5000
READ_AGAIN = 1.0  # seconds until a watch is surely in place
# seconds; the journal's thread waits ten times longer for its turn by default, and webhooks wait
# for it
SWITCH = 0.0005


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        """Aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the Clock


@dataclass(slots=True)
class App:
    """A daemon that runs: what tests and the demo look into."""

    settings: Settings
    doors: Doors
    engine: Engine
    url: str


def load_rules(settings: Settings) -> RuleSet:
    """The rules that the settings name.

    Raises: ConfigurationError, for what these settings cannot keep too.
    """
    rules = loader.load([Path(path) for path in settings.rules])
    check_people(settings, rules)
    return rules


def check_people(settings: Settings, rules: RuleSet) -> None:
    """Checks that every receiver that a rule names exists, and enough operators to approve it."""
    for source in rules.sources:
        for made in rules.bound(source):
            lacking = _untold(settings, made.rule) or _unapproved(settings, made.rule)
            if lacking:
                raise ConfigurationError(
                    f"cannot use rule {made.rule.name} ({source.path}:{source.line}): {lacking}"
                )


def _untold(settings: Settings, rule: Rule) -> str:
    """The missing receiver in words, or nothing."""
    known = {receiver.name for receiver in settings.receivers}
    strange = next((name for name in rule.escalate.to if name not in known), None)
    listed = ", ".join(sorted(known))
    return (
        f"it escalates to `{strange}`, but the settings define only {listed}; add it under"
        " `receivers`"
        if strange
        else ""
    )


def _unapproved(settings: Settings, rule: Rule) -> str:
    """How many approvals can never come, in words, or nothing.

    A trusted proxy's users are operators that only it knows.
    """
    if rule.mode != "approve" or settings.web.trusted_proxy_header:
        return ""
    may = _approvers(settings, rule)
    needed = 2 if rule.approval.two_person else 1
    if len(may) >= needed:
        return ""
    listed = ", ".join(sorted(may)) or "nobody"
    return (
        f"it needs {needed} operators to approve, but of those allowed the settings define only"
        f" {listed}; add them under `operators`"
    )


def _approvers(settings: Settings, rule: Rule) -> set[str]:
    """The operators of the settings who may approve; names that differ by case are one person."""
    operators = {operator.name for operator in settings.operators} or {"local"}
    allowed = operators.intersection(rule.approval.by) if rule.approval.by else operators
    return {name.casefold() for name in allowed}


async def _clusters(
    settings: Settings, clock: SystemClock, stack: contextlib.AsyncExitStack, metrics: Metrics
) -> tuple[dict[str, Cluster], dict[str, Any]]:
    """The clusters by name, and what is watched of them; the same, if nothing is."""
    names = {source.cluster for source in settings.sources} or {"default"}
    if settings.cluster.kind == "sandbox":
        sandbox = dict.fromkeys(names, cast(Cluster, SandboxCluster(clock.now)))
        return sandbox, sandbox
    # imported late: kubernetes_asyncio is slow to import
    from .cluster.client import connect
    from .cluster.watched import WatchedCluster

    cluster = await connect(
        settings.cluster.kubeconfig, settings.cluster.context, settings.cluster.qps, metrics
    )
    stack.push_async_callback(cluster.close)
    live = dict.fromkeys(names, cast(Cluster, cluster))
    return live, dict.fromkeys(names, WatchedCluster(cluster)) if settings.cluster.watch else live


def _watch_kinds(doors: Doors) -> None:
    """Has the clusters watch what the rules look at."""
    for watched in _watching(doors):
        watched.want(looking.watched(doors.rules))


def _watching(doors: Doors) -> list[Any]:
    """What watches the clusters, each once."""
    return [] if doors.only_live else list(dict.fromkeys(doors.watched.values()))


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[App]:
    """A daemon that takes alerts until the block ends; then it drains.

    Raises: ConfigurationError, JournalError.
    """
    refused = refuses_to_listen(settings)
    if refused:
        raise ConfigurationError(refused)
    rules = load_rules(settings)
    context = _tls(settings.web) if settings.web.tls_cert else None
    key = settings.web.link_key_file
    links = Links(settings.web.public_url, key.get_secret_value().encode()) if key else None
    async with contextlib.AsyncExitStack() as stack:
        doors = await _doors(settings, rules, links, stack)
        receivers = {item.name: item.make() for item in settings.receivers}
        engine = Engine(doors, receivers, settings.journal_keep)
        # they may have changed while nobody ran
        await doors.journal.reloaded(rules.digest, doors.clock.now())
        gauges.announce(engine.doors)
        intake, alertmanager = Intake(doors, settings.web.max_waiting), doors.alertmanager
        delivered = (
            alertmanager.delivered if isinstance(alertmanager, SandboxAlertmanager) else None
        )
        server = Server(settings, doors, intake, delivered, links=links)
        runner, url = await _listen(settings, server, context)
        async with asyncio.TaskGroup() as group:
            forever = (intake.run(), engine.run(settings.workers), _watch(settings, engine))
            watches = (watching.run(doors.tell) for watching in _watching(doors))
            tasks = [group.create_task(task) for task in (*forever, *watches)]
            _watch_kinds(doors)
            server.serving = True
            log().info(
                "serving",
                url=url,
                rules=len(rules.sources),
                journal=settings.journal_url.split(":")[0],
            )
            try:
                yield App(settings, doors, engine, url)
            finally:
                server.serving = False
                await runner.cleanup()
                for task in tasks:
                    task.cancel()


async def _doors(
    settings: Settings, rules: RuleSet, links: Links | None, stack: contextlib.AsyncExitStack
) -> Doors:
    """Everything outside that the engine needs, open until the stack ends.

    Raises: ConfigurationError, JournalError.
    """
    clock, metrics = SystemClock(), Metrics()
    sandboxed = settings.cluster.kind == "sandbox"
    journal = SqlJournal(settings.journal_url, metrics)
    await journal.open(clock.now())
    stack.push_async_callback(journal.close)
    alertmanager: AlertmanagerApi | SandboxAlertmanager = SandboxAlertmanager()
    if not sandboxed:
        urls = {source.name: source.alertmanager for source in settings.sources}
        alertmanager = AlertmanagerApi(urls, clock.now, metrics=metrics)
        stack.push_async_callback(alertmanager.close)
    prometheus: PrometheusApi | SandboxPrometheus = SandboxPrometheus()
    if settings.prometheus or not sandboxed:
        prometheus = PrometheusApi(settings.prometheus, metrics)
    clusters, watched = await _clusters(settings, clock, stack, metrics)
    return Doors(
        journal=journal,
        clusters=clusters,
        watched=watched,
        sources={source.name: source.cluster for source in settings.sources},
        prometheus=prometheus,
        alertmanager=alertmanager,
        clock=clock,
        metrics=metrics,
        rules=rules,
        limits=settings.process_limits,
        started_at=clock.now(),
        settle=settings.settle,
        quiet_for=settings.quiet_for,
        own_namespace=settings.own_namespace,
        watchdog=settings.watchdog,
        followers=tuple(item.name for item in settings.receivers if item.tells == "everything"),
        link=links.make if links else None,
    )


def _tls(web_settings: Web) -> ssl.SSLContext:
    """The server's TLS; client certificates are requested, and verified if sent. Raises:
    ConfigurationError.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(web_settings.tls_cert, web_settings.tls_key)
        if web_settings.client_ca:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(web_settings.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"cannot serve HTTPS: web.tls_cert, web.tls_key or web.client_ca: {error}"
        ) from None
    return context


async def _listen(
    settings: Settings, server: Server, context: ssl.SSLContext | None
) -> tuple[web.AppRunner, str]:
    host, _, port = settings.web.listen.rpartition(":")
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=DRAIN)
    await runner.setup()
    site = web.TCPSite(runner, host.strip("[]") or "127.0.0.1", int(port), ssl_context=context)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigurationError(
            f"cannot listen on {settings.web.listen}: {error.strerror}"
        ) from None
    bound = runner.addresses[0]
    return runner, f"{'https' if context else 'http'}://{bound[0]}:{bound[1]}"


async def reload_rules(settings: Settings, engine: Engine) -> RuleSet | None:
    """Builds everything that can fail. None if it failed; the previous rules stay active."""
    try:
        rules = await asyncio.to_thread(load_rules, settings)
    except (ConfigurationError, OSError) as error:
        findings = (
            [f.render() for f in error.findings] if isinstance(error, loader.RuleErrors) else []
        )
        log().error(
            "rules_not_reloaded", why=f"{error}; the previous rules stay active", mistakes=findings
        )
        engine.doors.metrics.set("config_last_reload_successful", 0)
        return None
    return rules


async def _swap(engine: Engine, rules: RuleSet) -> None:
    """The new rules, however long the journal cannot be written."""
    while True:
        try:
            await engine.reload(rules)
            _watch_kinds(engine.doors)
        except JournalError as error:
            log().error("journal_failing", task="reload", why=str(error))
            await asyncio.sleep(1)
        else:
            return


async def _watch(settings: Settings, engine: Engine) -> None:
    """Reloads at SIGHUP and when a rule file changes.

    Folders are watched, so ConfigMap symlink swaps are seen.
    """
    again, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, again.set)
    # A file may have changed after it was read and before its folder was watched: read once more.
    loop.call_later(READ_AGAIN, again.set)
    folders = {str(path if path.is_dir() else path.parent) for path in map(Path, settings.rules)}
    async with asyncio.TaskGroup() as group:
        if folders:
            group.create_task(_watch_folders(folders, again))
        while True:
            await again.wait()
            again.clear()
            rules = await reload_rules(settings, engine)
            if rules is not None and rules.digest != engine.doors.rules.digest:
                await _swap(engine, rules)
                log().info("rules_reloaded", rules=len(rules.sources), digest=rules.digest)
            elif rules is not None:
                gauges.announce(engine.doors)


async def _watch_folders(folders: set[str], changed: asyncio.Event) -> None:
    """Sets the event whenever something in the folders changes."""
    try:
        async for _ in awatch(*folders, recursive=False, step=200):
            changed.set()
    # a node's inotify instances are few, and every pod on it shares them
    except OSError as error:
        why = f"{error}; raise fs.inotify.max_user_instances to reload immediately on changes"
        log().warning("watching_by_polling", why=why)
        polled = awatch(*folders, recursive=False, step=200, force_polling=True, poll_delay_ms=POLL)
        async for _ in polled:
            changed.set()


async def serve(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT."""
    sys.setswitchinterval(SWITCH)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings):
        # what lives as long as the process is left out of every later collection of garbage
        gc.collect()
        gc.freeze()
        await stop.wait()
        log().info("stopping")
