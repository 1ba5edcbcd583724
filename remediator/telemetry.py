"""Every metric in one table, and the log. Label values are our enums; names of targets and alerts are never labels."""

import sys
from collections.abc import Iterable
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from . import __version__

METRICS: dict[str, tuple[type[Counter] | type[Gauge] | type[Histogram], str, tuple[str, ...]]] = {
    "build_info": (Gauge, "Always 1; the version is a label.", ("version",)),
    "paused": (Gauge, "1 while the scope kind is paused somewhere.", ("scope",)),
    "config_last_reload_successful": (Gauge, "1 where the last reload of the rules worked.", ()),
    "config_last_reload_success_timestamp_seconds": (Gauge, "When the rules were last loaded well.", ()),
    "rules_loaded": (Gauge, "Rules by mode.", ("mode",)),
    "webhook_requests_total": (Counter, "Webhook requests by answer.", ("code",)),
    "webhook_request_duration_seconds": (Histogram, "From the request to its answer.", ()),
    "alerts_received_total": (Counter, "Alerts delivered.", ("status",)),
    "alerts_truncated_total": (Counter, "Alerts that max_alerts kept from us; set it to 0.", ()),
    "episodes_total": (Counter, "Episodes by what triage decided.", ("fate",)),
    "episodes_open": (Gauge, "Open episodes by fate.", ("fate",)),
    "verdicts_total": (Counter, "Guards' verdicts that were not to allow.", ("rule", "guard", "verdict", "reason")),
    "remediations_total": (Counter, "Remediations that ended.", ("rule", "state")),
    "remediations_in_progress": (Gauge, "Live remediations.", ("state",)),
    "attempts_total": (Counter, "Attempts that ended.", ("rule", "action", "outcome")),
    "calls_total": (Counter, "Writes to the cluster by answer.", ("action", "answer")),
    "escalations_total": (Counter, "Times that people were told.", ("rule", "reason")),
    "time_to_remediate_seconds": (Histogram, "From birth to success.", ("rule",)),
    "notifications_total": (Counter, "Messages by receiver kind and outcome.", ("channel", "outcome")),
    "last_act_timestamp_seconds": (Gauge, "When an action last wrote.", ("action",)),
    "watchdog_last_seen_timestamp_seconds": (Gauge, "When the always-firing alert last came.", ()),
    "worker_errors_total": (Counter, "Slices of work that ended in an unexpected error.", ()),
}


class Metrics:
    """The metrics of one daemon."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._by_name = {
            name: kind(f"remediator_{name.removesuffix('_total')}", text, labels, registry=self.registry)
            for name, (kind, text, labels) in METRICS.items()
        }
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}
        self.set("build_info", 1, __version__)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Adds to a counter."""
        self._child(name, labels).inc(by)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Sets a gauge."""
        self._child(name, labels).set(value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Adds to a histogram."""
        self._child(name, labels).observe(value)

    def _child(self, name: str, labels: tuple[str, ...]) -> Any:
        child = self._children.get((name, labels))  # looking it up in the library costs more than counting
        if child is None:
            metric: Any = self._by_name[name]
            child = self._children[name, labels] = metric.labels(*labels) if labels else metric
        return child

    def zero(self, name: str, values: Iterable[str]) -> None:
        """Makes the label values exist at 0."""
        for value in values:
            metric: Any = self._by_name[name]
            metric.labels(value)

    def render(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)


def configure_log(level: str = "info") -> None:
    """JSON lines on stderr, readable where that is a terminal."""
    levels = {"debug": 10, "info": 20, "warning": 30, "error": 40}
    render: Any = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(levels[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def log() -> Any:
    """The log; event names are constant."""
    return structlog.get_logger()
