#!/usr/bin/env python3
"""Writes the shipped Grafana dashboards: what every panel has in common is said once, here.

Usage: tools/dashboards.py [FOLDER]    writes into FOLDER, default: dashboards/
"""

import json
import sys
from pathlib import Path
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
ONLY = 'job=~"$job",instance=~"$instance"'


def target(expr: str, legend: str, ref: str = "A") -> dict[str, Any]:
    """One query; `%` stands for the selector of job and instance."""
    return {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": expr.replace("%", ONLY),
        "legendFormat": legend,
        "range": True,
        "refId": ref,
    }


def panel(
    kind: str, title: str, text: str, unit: str, *queries: tuple[str, str], **more: Any
) -> dict[str, Any]:
    """One panel, placed later."""
    steps = more.pop("steps", [{"color": "green", "value": None}])
    # events are bars, what has not happened is not listed
    counted = all("increase(" in expr for expr, _ in queries)
    if kind == "timeseries" and counted:
        queries = tuple((f"{expr} > 0", legend) for expr, legend in queries)
    defaults: dict[str, Any] = {
        "unit": unit,
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": "thresholds" if kind == "stat" else "palette-classic"},
        "mappings": more.pop("mappings", []),
        **({"min": 0} if kind == "timeseries" else {}),
        "custom": {
            "drawStyle": "bars" if counted else "line",
            "fillOpacity": 80 if counted else 10,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"mode": "normal" if counted else "none", "group": "A"},
        }
        if kind == "timeseries"
        else {},
    }
    calcs = {"values": False, "calcs": ["lastNotNull"], "fields": ""}
    options = {
        "timeseries": {
            "legend": {
                "displayMode": "list",
                "placement": "bottom",
                "showLegend": True,
                "calcs": [],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "stat": {
            "reduceOptions": calcs,
            "colorMode": "background",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "auto",
            "wideLayout": True,
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
        },
    }[kind]
    return {
        "type": kind,
        "title": title,
        "description": text,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            target(expr, legend, chr(65 + number)) for number, (expr, legend) in enumerate(queries)
        ],
        "width": more.get("width", 4 if kind == "stat" else 8),
    }


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    """A variable of label values, all of them unless chosen."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": f"{name}-variable"},
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "hide": 0,
        "skipUrlSync": False,
        "options": [],
        "current": {"text": ["All"], "value": ["$__all"], "selected": True},
    }


def laid_out(rows: list[tuple[str, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Rows of panels, one after the other, each panel with its place and id."""
    out: list[dict[str, Any]] = []
    y = 0
    for title, panels in rows:
        place = {"h": 1, "w": 24, "x": 0, "y": y}
        out.append(
            {
                "type": "row",
                "title": title,
                "collapsed": False,
                "id": len(out) + 1,
                "gridPos": place,
                "panels": [],
            }
        )
        y, x, height = y + 1, 0, 0
        for made in panels:
            width = made.pop("width")
            if x + width > 24:
                x, y = 0, y + height
            height = 4 if made["type"] == "stat" else 8
            out.append(
                {**made, "id": len(out) + 1, "gridPos": {"h": height, "w": width, "x": x, "y": y}}
            )
            x += width
        y += height
    return out


def dashboard(
    uid: str, title: str, text: str, rows: list[tuple[str, list[dict[str, Any]]]]
) -> dict[str, Any]:
    """A dashboard that imports by hand, by sidecar and by provisioning alike: no inputs, one data source variable."""
    link = {
        "asDropdown": True, "icon": "external link", "includeVars": True, "keepTime": True, "tags": ["remediator"],
        "targetBlank": False, "title": "remediator", "tooltip": "", "type": "dashboards", "url": "",
    }  # fmt: skip
    source = {
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "regex": "",
        "hide": 0, "multi": False, "includeAll": False, "skipUrlSync": False, "options": [],
        "current": {"text": "default", "value": "default", "selected": False},
    }  # fmt: skip
    variables = [
        source,
        variable("job", "Job", "label_values(remediator_build_info, job)"),
        variable(
            "instance", "Instance", 'label_values(remediator_build_info{job=~"$job"}, instance)'
        ),
    ]
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": text,
        "tags": ["remediator"],
        "editable": False,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "links": [link],
        "annotations": {"list": []},
        "panels": laid_out(rows),
        "refresh": "30s",
        "schemaVersion": 39,
        "templating": {"list": variables},
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "version": 1,
        "weekStart": "",
    }


GOOD_AT_1 = [{"color": "red", "value": None}, {"color": "green", "value": 1}]
GOOD_AT_0 = [{"color": "green", "value": None}, {"color": "orange", "value": 1}]
PLAIN = [{"color": "blue", "value": None}]
YES_NO = [
    {
        "type": "value",
        "options": {"0": {"text": "no", "index": 0}, "1": {"text": "yes", "index": 1}},
    }
]
LATE = [
    {"color": "green", "value": None},
    {"color": "orange", "value": 300},
    {"color": "red", "value": 900},
]
RATIO = [
    {"color": "red", "value": None},
    {"color": "orange", "value": 0.5},
    {"color": "green", "value": 0.8},
]
VERDICTS = "remediator_verdicts_total{%}"
NEW = f"sum by (reason) ({VERDICTS} unless {VERDICTS} offset $__rate_interval)"  # a series that is new began at 0
WHY_NOT = f"sum by (reason) (increase({VERDICTS}[$__rate_interval])) > 0 or {NEW}"
ENDED = 'state=~"succeeded|ineffective|failed|unknown"'

OVERVIEW = dashboard(
    "remediator-overview",
    "remediator / Overview",
    "What came in, what was done about it, whether it helped, and whether remediator itself is well.",
    [
        (
            "Is it well?",
            [
                panel("stat", "Up", "Whether Prometheus can scrape remediator.", "none", ("min(up{%})", "up"), steps=GOOD_AT_1, mappings=YES_NO),
                panel("stat", "Paused", "Whether any scope is paused: what is under way is finished, nothing begins.", "none", ("max(remediator_paused{%})", "paused"), steps=GOOD_AT_0, mappings=YES_NO),
                panel("stat", "Rules loaded well", "Whether the last reload of the rules worked; if not, the previous rules stay active.", "none", ("min(remediator_config_last_reload_successful{%})", "loaded"), steps=GOOD_AT_1, mappings=YES_NO),
                panel("stat", "Rules that act", "How many rules may act on their own; the others observe or ask.", "short", ('sum(max by (mode) (remediator_rules_loaded{%,mode="act"}))', "act"), steps=PLAIN),
                panel("stat", "Since the last Watchdog", "How long ago the always-firing alert last came: the way from Prometheus to remediator works.", "s", ("time() - max(remediator_watchdog_last_seen_timestamp_seconds{%} > 0)", "age"), steps=LATE),
                panel("stat", "Most overdue timer", "How late the most overdue piece of work is.", "s", ("max(remediator_oldest_due_seconds{%})", "late"), steps=[{"color": "green", "value": None}, {"color": "red", "value": 60}]),
            ],
        ),
        (
            "What came in",
            [
                panel("timeseries", "Alerts received", "Alerts delivered, by status.", "cps", ("sum by (status) (rate(remediator_alerts_received_total{%}[$__rate_interval]))", "{{status}}")),
                panel("timeseries", "What became of alerts", "Episodes by what triage decided: attached to a remediation, unmatched, stale, resolved.", "short", ("sum by (fate) (increase(remediator_episodes_total{%}[$__rate_interval]))", "{{fate}}")),
                panel("timeseries", "Why not", "Guards' verdicts that were not to allow, by reason.", "short", (WHY_NOT, "{{reason}}")),
            ],
        ),
        (
            "What was done, and did it help?",
            [
                panel("stat", "Success ratio", "Of the remediations that acted and ended in the time shown, those that were proved to have helped.", "percentunit", ('sum(increase(remediator_remediations_total{%,state="succeeded"}[$__range])) / sum(increase(remediator_remediations_total{%,' + ENDED + "}[$__range]))", "helped"), steps=RATIO, width=6),
                panel("stat", "Median time to remediate", "From a remediation's birth to its proof, the proof's quiet time included.", "s", ("histogram_quantile(0.5, sum by (le) (increase(remediator_time_to_remediate_seconds_bucket{%}[$__range])))", "median"), steps=PLAIN, width=6),
                panel("stat", "Median alert duration, remediated", "From the start to the end of alerts that a remediation acted upon.", "s", ('histogram_quantile(0.5, sum by (le) (increase(remediator_alert_resolution_seconds_bucket{%,remediated="true"}[$__range])))', "remediated"), steps=PLAIN, width=6),
                panel("stat", "Median alert duration, not remediated", "From the start to the end of matched alerts that nothing acted upon.", "s", ('histogram_quantile(0.5, sum by (le) (increase(remediator_alert_resolution_seconds_bucket{%,remediated="false"}[$__range])))', "not remediated"), steps=PLAIN, width=6),
                panel("timeseries", "Remediations that ended", "By state: succeeded is proved, ineffective converged without helping, blocked was refused.", "short", ("sum by (state) (increase(remediator_remediations_total{%}[$__rate_interval]))", "{{state}}")),
                panel("timeseries", "Attempts", "By action and outcome.", "short", ("sum by (action, outcome) (increase(remediator_attempts_total{%}[$__rate_interval]))", "{{action}}: {{outcome}}")),
                panel("timeseries", "In progress", "Live remediations by state.", "short", ("sum by (state) (remediator_remediations_in_progress{%})", "{{state}}")),
                panel("timeseries", "Fullest limit", "Of each scope, the limit that is used up most; at 100 % the next attempt waits.", "percentunit", ("max by (scope) (remediator_limit_usage_ratio{%})", "{{scope}}")),
                panel("timeseries", "Undone", "What was taken back: it made things worse, its time was over, or somebody asked.", "short", ("sum by (action, outcome) (increase(remediator_undos_total{%}[$__rate_interval]))", "{{action}}: {{outcome}}")),
                panel("timeseries", "People told", "Messages by kind of receiver and outcome.", "short", ("sum by (channel, outcome) (increase(remediator_notifications_total{%}[$__rate_interval]))", "{{channel}}: {{outcome}}")),
            ],
        ),
        (
            "How it runs",
            [
                panel("timeseries", "Webhook answers", "Requests by status code; 503 asks Alertmanager to deliver again.", "reqps", ("sum by (code) (rate(remediator_webhook_requests_total{%}[$__rate_interval]))", "{{code}}")),
                panel("timeseries", "Kubernetes requests", "By verb and status code.", "reqps", ("sum by (verb, code) (rate(remediator_kubernetes_requests_total{%}[$__rate_interval]))", "{{verb}} {{code}}")),
                panel("timeseries", "How long things take", "The 99th percentile of webhooks, journal commits, Kubernetes requests and Prometheus queries.", "s",
                    ("histogram_quantile(0.99, sum by (le) (rate(remediator_webhook_request_duration_seconds_bucket{%}[$__rate_interval])))", "webhook"),
                    ("histogram_quantile(0.99, sum by (le) (rate(remediator_journal_commit_duration_seconds_bucket{%}[$__rate_interval])))", "journal commit"),
                    ("histogram_quantile(0.99, sum by (le) (rate(remediator_kubernetes_request_duration_seconds_bucket{%}[$__rate_interval])))", "Kubernetes request"),
                    ("histogram_quantile(0.99, sum by (le) (rate(remediator_prometheus_query_duration_seconds_bucket{%}[$__rate_interval])))", "Prometheus query")),
                panel("timeseries", "Storms", "Times that many workloads came into trouble at once: nothing is repaired one by one then.", "short", ("sum(increase(remediator_storms_total{%}[$__rate_interval]))", "storms")),
                panel("timeseries", "Breakers open", "Rules of which too many remediations did not help: they wait for approvals.", "short", ("sum(remediator_breaker_open{%}) or vector(0)", "open")),
                panel("timeseries", "History sealed", "Entries of the history that are sealed; `remediator journal verify` finds an edit, a gap or another order.", "short", ("max(remediator_journal_sealed_entries{%})", "entries")),
            ],
        ),
    ],
)  # fmt: skip
DASHBOARDS = {"overview": OVERVIEW}


def main() -> None:
    folder = (
        Path(sys.argv[1])
        if len(sys.argv) > 1
        else Path(__file__).resolve().parents[1] / "dashboards"
    )
    for name, made in DASHBOARDS.items():
        (folder / f"{name}.json").write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
