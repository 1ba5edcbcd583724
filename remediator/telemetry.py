"""Metrics, all in one table, and the log.

Label values are our own enums; names of targets and alerts are never labels.
"""

import os
import platform
import sys
from typing import Any

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from . import __version__
from .model.alert import AlertStatus, Fate

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
MINUTES = (5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
SEVERITIES = ("critical", "warning", "info", "none", "other")

Kind = type[Counter] | type[Gauge] | type[Histogram]
METRICS: dict[str, tuple[Kind, str, tuple[str, ...]]] = {
    "build_info": (
        Gauge,
        "Always 1; version and revision are in the labels.",
        ("version", "revision", "python_version"),
    ),
    "paused": (Gauge, "1 while a scope of this kind is paused.", ("scope",)),
    "config_last_reload_successful": (Gauge, "1 if the last reload of the rules succeeded.", ()),
    "config_last_reload_success_timestamp_seconds": (
        Gauge,
        "Time of the last successful load of the rules.",
        (),
    ),
    "rules_loaded": (Gauge, "Rules loaded, by mode.", ("mode",)),
    "webhook_requests_total": (Counter, "Webhook requests, by response code.", ("code",)),
    "webhook_request_duration_seconds": (Histogram, "Duration of webhook requests.", ()),
    "alerts_received_total": (
        Counter,
        "Alerts received, by status and severity.",
        ("status", "severity"),
    ),
    "alerts_truncated_total": (
        Counter,
        "Alerts that Alertmanager left out of webhooks (max_alerts); set it to 0.",
        (),
    ),
    "alert_delivery_delay_seconds": (
        Histogram,
        "Time from an alert's start to its first delivery.",
        (),
    ),
    "episodes_total": (Counter, "Episodes, by what triage decided.", ("fate", "severity")),
    "episodes_open": (Gauge, "Open episodes, by what triage decided.", ("fate",)),
    "verdicts_total": (
        Counter,
        "Verdicts of guards other than allow.",
        ("rule", "guard", "verdict", "reason"),
    ),
    "remediations_total": (
        Counter,
        "Remediations that ended, by final state.",
        ("rule", "mode", "state"),
    ),
    "remediations_in_progress": (Gauge, "Remediations in progress, by state.", ("state",)),
    "oldest_due_seconds": (Gauge, "How far the most overdue timer is behind.", ()),
    "attempts_total": (Counter, "Attempts that ended, by outcome.", ("rule", "action", "outcome")),
    "attempt_duration_seconds": (
        Histogram,
        "Time from an attempt's start to its outcome.",
        ("action",),
    ),
    "calls_total": (Counter, "Writes to the cluster, by answer.", ("action", "verb", "answer")),
    "call_duration_seconds": (Histogram, "Duration of writes to the cluster.", ("verb",)),
    "verifications_total": (Counter, "Verifications that ended, by result.", ("rule", "result")),
    "undos_total": (Counter, "Undos that ended, by outcome.", ("action", "outcome")),
    "escalations_total": (
        Counter,
        "Notifications that a remediation takes too long.",
        ("rule", "reason"),
    ),
    "limit_usage_ratio": (
        Gauge,
        "Highest ratio of used to allowed attempts among the limits of a scope.",
        ("scope",),
    ),
    "time_to_remediate_seconds": (
        Histogram,
        "Time from a remediation's creation to its success.",
        ("rule",),
    ),
    "alert_resolution_seconds": (
        Histogram,
        "Time from an alert's start to its end.",
        ("rule", "remediated"),
    ),
    "kubernetes_requests_total": (
        Counter,
        "Requests to the Kubernetes API server.",
        ("verb", "code"),
    ),
    "kubernetes_request_duration_seconds": (
        Histogram,
        "Duration of requests to the API server.",
        ("verb",),
    ),
    "kubernetes_reads_total": (
        Counter,
        "Objects and lists looked at: from a watch, or live by a request.",
        ("from",),
    ),
    "kubernetes_watches_lost_total": (
        Counter,
        "Watches that were lost, by the plural of the kind and the error.",
        ("kind", "error"),
    ),
    "kubernetes_watch_alive": (
        Gauge,
        "1 while a kind is watched; while it is 0, it is read by requests.",
        ("kind",),
    ),
    "prometheus_queries_total": (Counter, "Queries to Prometheus.", ("result",)),
    "prometheus_query_duration_seconds": (Histogram, "Duration of queries to Prometheus.", ()),
    "alertmanager_queries_total": (
        Counter,
        "Queries to Alertmanager instances for their active alerts.",
        ("result",),
    ),
    "notifications_total": (
        Counter,
        "Notifications, by kind of receiver and outcome.",
        ("channel", "outcome"),
    ),
    "outbox_oldest_age_seconds": (
        Gauge,
        "Age of the oldest notification that is not delivered yet.",
        (),
    ),
    "journal_commits_total": (Counter, "Journal transactions, by result.", ("result",)),
    "journal_commit_duration_seconds": (Histogram, "Duration of journal transactions.", ()),
    "journal_sealed_entries": (
        Gauge,
        "Number of the last sealed entry of the history.",
        (),
    ),
    "journal_head": (
        Gauge,
        "First 48 bits of the latest seal's digest, as an outside copy for `journal verify"
        " --head`.",
        (),
    ),
    "breaker_open": (
        Gauge,
        "1 while the rule's circuit breaker is open.",
        ("rule",),
    ),
    "storms_total": (Counter, "Storms detected (many workloads with alerts at once).", ()),
    "journal_bytes": (Gauge, "Size of a SQLite journal including its write-ahead log.", ()),
    "last_act_timestamp_seconds": (
        Gauge,
        "Time of an action's last write to the cluster.",
        ("action",),
    ),
    "watchdog_last_seen_timestamp_seconds": (
        Gauge,
        "Time of the last delivery of the always-firing alert.",
        (),
    ),
    "event_loop_lag_seconds": (Gauge, "Latest scheduling delay of the event loop.", ()),
    "rows_unreadable_total": (
        Counter,
        "Stored rows that could not be read and were set aside.",
        (),
    ),
    "worker_errors_total": (Counter, "Unexpected errors in workers.", ()),
}
BUCKETS = dict.fromkeys(
    (
        "alert_delivery_delay_seconds",
        "attempt_duration_seconds",
        "time_to_remediate_seconds",
        "alert_resolution_seconds",
    ),
    MINUTES,
)


def severity_of(label: str | None) -> str:
    """A `severity` label as a metric label.

    A closed list, since labels of alerts may contain anything.
    """
    given = (label or "none").lower()
    return given if given in SEVERITIES else "other"


class Metrics:
    """The metrics of one daemon."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._by_name = {
            name: self._make(name, kind, text, labels)
            for name, (kind, text, labels) in METRICS.items()
        }
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}
        self.set(
            "build_info",
            1,
            __version__,
            os.environ.get("REMEDIATOR_REVISION", "unknown"),
            platform.python_version(),
        )
        self._zeros()

    def _zeros(self) -> None:
        """Counters of what has not happened yet, so that `increase` sees the first time."""
        for code in ("200", "400", "401", "413", "503"):
            self.zero("webhook_requests_total", code)
        for severity in SEVERITIES:
            for status in AlertStatus:
                self.zero("alerts_received_total", status, severity)
            for fate in Fate:
                self.zero("episodes_total", fate, severity)

    def _make(self, name: str, kind: Kind, text: str, labels: tuple[str, ...]) -> Any:
        name_shown = f"remediator_{name.removesuffix('_total')}"
        if kind is Histogram:
            buckets = BUCKETS.get(name, SECONDS)
            return Histogram(name_shown, text, labels, registry=self.registry, buckets=buckets)
        return kind(name_shown, text, labels, registry=self.registry)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Adds to a counter."""
        self._child(name, labels).inc(by)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Sets a gauge."""
        self._child(name, labels).set(value)

    def forget(self, name: str, *labels: str) -> None:
        """A gauge that has nothing to tell any more."""
        if self._children.pop((name, labels), None) is not None:
            metric: Any = self._by_name[name]
            metric.remove(*labels)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Adds to a histogram."""
        self._child(name, labels).observe(value)

    def _child(self, name: str, labels: tuple[str, ...]) -> Any:
        # looking it up in the library costs more than counting
        child = self._children.get((name, labels))
        if child is None:
            metric: Any = self._by_name[name]
            child = self._children[name, labels] = metric.labels(*labels) if labels else metric
        return child

    def zero(self, name: str, *labels: str) -> None:
        """Makes a series exist before anything is counted, so that a
        rate over its first increase is seen.
        """
        self._child(name, labels)

    def render(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)


def configure_log(level: str = "info") -> None:
    """JSON lines on stderr; readable text on a terminal."""
    levels = {"debug": 10, "info": 20, "warning": 30, "error": 40}
    render: Any = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(levels[level]),
        # the stderr of now, not of the configuration
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def log() -> Any:
    """The log; event names are constant."""
    return structlog.get_logger()
