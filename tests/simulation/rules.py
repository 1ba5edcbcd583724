"""The rules of the simulated world: every action, every mode, small limits and short times."""

from remediator.located import load_text
from remediator.rules.loader import build
from remediator.rules.ruleset import RuleSet

TIMES = "verify: {converged_within: 2m, resolved_within: 90s, quiet_for: 15s}"
LIMITS = "limits: {attempts: [3/10m], cooldown: 20s, per_rule: [4/10m], in_flight: 1}"
TEXT = f"""\
version: 1
groups:
  - name: g
    scope: {{namespaces: [shop]}}
    defaults: {{mode: act, expire: 3m, deadline: 5m, escalate: {{to: [log], after: 2m}},
      approval: {{expires: 90s}}, {LIMITS}}}
    rules:
      - {{name: back, match: ['alertname="Crash"'],
         steps: [{{action: rollback_workload, {TIMES}}},
         {{action: restart_workload, if: any, {TIMES}}}]}}
      - {{name: restart, match: ['alertname="Leak"'],
         steps: [{{action: restart_workload, if: always, {TIMES}}}]}}
      - {{name: more, match: ['alertname="Slow"'], priority: 1,
         steps: [{{action: scale_workload, if: always, with: {{by: 1}}, restore: {{after: 60s}},
         {TIMES}}}]}}
      - {{name: isolate, match: ['alertname="Suspect"'], target: object,
         steps: [{{action: quarantine_pod, if: always, restore: {{after: 60s}}, {TIMES}}}]}}
      - {{name: ask, match: ['alertname="Ask"'], mode: approve,
         steps: [{{action: restart_workload, if: always, {TIMES}}}]}}
"""


def ruleset(number: int = 0) -> RuleSet:
    """The rules.

    Number 1 is what an edit makes of them: a lower limit, and a rule that is in observe mode.
    """
    text = TEXT
    if number:
        text = text.replace("attempts: [3/10m]", "attempts: [2/10m]").replace(
            "{name: restart, match", "{name: restart, mode: observe, match"
        )
    return build([load_text(text, "rules.yaml")])
