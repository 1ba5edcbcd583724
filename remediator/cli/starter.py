"""What `remediator init` writes: settings, a first rule file, and Alertmanager's routes."""

import json
import re
import secrets
from pathlib import Path
from string import Template

from ..errors import ConfigurationError
from ..model.text import one_line

UNFIT = re.compile("[?]|%[0-9a-fA-F]{2}")
SETTINGS = """\
# remediator's settings. Every key that is not set has a safe default.
rules: [$rules]
journal: $journal   # or postgresql://user@host/db

web:
  listen: 127.0.0.1:9099                # beyond loopback, credentials are required

sources:                                # who may post: one per Alertmanager (an HA pair is one)
  - name: alertmanager
    token_file: $sender
    cluster: default
    alertmanager: http://alertmanager:9093   # is an alert still active? without it nothing acts

operators:                              # who may look, approve, pause: one per person
  - name: me
    token_file: $me

cluster:
  kubeconfig: ""                        # empty: the pod's own ServiceAccount
prometheus: http://prometheus:9090      # for `when` queries and the look-back of alerts

receivers:
  - name: log
    kind: log
"""

RULES = """\
# A first rule file. It only observes: it plans, shows and does nothing, until `mode: act`.
version: 1
groups:
  - name: workloads
    scope: {namespaces: ["default"]}    # anchored regexes; nothing outside is touched
    defaults: {mode: observe, escalate: {to: [log], after: 5m}}
    rules:
      - name: roll-back-a-crashing-release
        match: ['alertname=~"KubePodCrashLooping|PodCrashLooping"']
        steps:
          - {action: rollback_workload, with: {changed_within: 1h}}
"""

ROUTES = """\
# Merge into Alertmanager's configuration. Alerts go to remediator at once. The pager hears of those
# that rules may heal only if five minutes did not heal them: a dead remediator cannot prevent that.
route:
  receiver: pager
  routes:
    # The alert that always fires, often enough that its absence is noticed. It must stand above a
    # route that sends Watchdog to `null`, as kube-prometheus-stack's does.
    - receiver: remediator
      matchers: ['alertname="Watchdog"']
      continue: true
      group_by: [alertname]
      group_wait: 0s
      group_interval: 1m
      repeat_interval: 5m
    - receiver: remediator
      matchers: ['alertname!="Watchdog"']
      continue: true
      group_by: ['...']
      group_wait: 0s
      group_interval: 1m
      repeat_interval: 1h
    - receiver: pager
      matchers: ['alertname=~"KubePodCrashLooping|PodCrashLooping"']
      group_by: ['...']
      group_wait: 5m
receivers:
  - name: remediator
    webhook_configs:
      - url: http://127.0.0.1:9099/webhook
        send_resolved: true
        max_alerts: 0
        http_config:
          authorization: {credentials_file: $sender}
  - name: pager
"""


def write(folder: Path) -> list[Path]:
    """Writes the files. Raises: ConfigurationError if one exists or cannot be written; then none is
    written.
    """
    place = folder.resolve()
    if not str(place).isprintable() or UNFIT.search(str(place)):
        raise ConfigurationError(
            f"cannot write into {one_line(place)}: the journal's URL cannot name a folder with"
            " `?` or `%` and two digits, or with characters that are not printable; choose another"
            " folder"
        )
    named = {
        "rules": _quoted(f"{place}/rules"),
        "journal": _quoted(f"sqlite:///{place}/remediator.db"),
        "sender": _quoted(f"{place}/secrets/alertmanager"),
        "me": _quoted(f"{place}/secrets/me"),
    }
    files = {
        "remediator.yaml": Template(SETTINGS).substitute(named),
        "rules/first.yaml": RULES,
        "alertmanager.yaml": Template(ROUTES).substitute(named),
        "secrets/alertmanager": secrets.token_urlsafe(32) + "\n",
        "secrets/me": secrets.token_urlsafe(32) + "\n",
    }
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise ConfigurationError(
            f"cannot write into {folder}: {', '.join(there)} already exists; nothing was changed"
        )
    out: list[Path] = []
    for name, text in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600 if name.startswith("secrets") else 0o644, exist_ok=False)
            out.append(path)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            for written in out:
                written.unlink()
            raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
    return out


def _quoted(text: str) -> str:
    """As text in YAML, whatever characters it has."""
    return json.dumps(text, ensure_ascii=False)
