"""What is fuzzed: every text that comes from outside, and what must hold whatever it says."""

from collections.abc import Callable

from remediator.alertmanager.payload import BadPayload, alerts_of, decode, tally
from remediator.errors import ConfigurationError
from remediator.located import load_text
from remediator.model.alert import Alert
from remediator.model.interval import parse_range, parse_time
from remediator.model.matcher import MatcherError, parse_matcher
from remediator.model.quantity import parse_quantity
from remediator.model.target import Target
from remediator.rules import templates
from remediator.rules.loader import build
from remediator.rules.ruleset import Match, RuleSet
from remediator.rules.targets import resolve

HEAD = (
    "version: 1\ngroups:\n  - name: g\n    scope: {namespaces: ['shop-.+']}\n    defaults:"
    " {escalate: {to: [log]}}\n    rules:\n"
)
RULE = (
    "      - {name: a, match: ['alertname=~\"A|B|.*Crash\"', 'severity!=\"info\"'], steps:"
    " [{action: restart_workload}]}\n"
)
RULES: RuleSet = build([load_text(HEAD + RULE, "rules.yaml")])
WEB = Target("c", "Deployment", "shop-a", "web")


def webhook(data: bytes) -> None:
    """A webhook's body, as far as triage: refused in few words, or matched.

    A target is always within the scope.
    """
    try:
        decoded = decode(data)
    except BadPayload as error:
        assert len(str(error)) <= 300
        return
    tally(decoded)
    for alert in alerts_of(decoded):
        _triaged(alert)


def _triaged(alert: Alert) -> None:
    resolve(alert.labels, "c")
    found, _ = RULES.match(alert, "c")
    for match in found:
        assert match.target.namespace.startswith("shop-")
    explained = [answer for answer in RULES.explain(alert, "c") if isinstance(answer, Match)]
    assert len(explained) == len(found)


def matcher(data: bytes) -> None:
    """The matcher grammar: an error with a place inside the text, or a
    matcher that prints itself as one that is equal.
    """
    text = data.decode(errors="replace")
    try:
        made = parse_matcher(text)
    except MatcherError as error:
        assert 0 <= error.offset <= len(text)
        return
    again = parse_matcher(str(made))
    assert (again.name, again.operator, again.value) == (made.name, made.operator, made.value)
    made.matches({made.name: made.value, "a": "b"})


def rule_file(data: bytes) -> None:
    """A rule file: findings with a place inside it, or rules."""
    text = data.decode(errors="replace")
    try:
        build([load_text(text, "fuzz.yaml")])
    except ConfigurationError as error:
        lines = text.splitlines() or [""]
        for finding in getattr(error, "findings", []):
            assert 1 <= finding.line <= len(lines) + 1
            finding.render()


def rule(data: bytes) -> None:
    """One rule of an otherwise good file."""
    rule_file(HEAD.encode() + b"      - " + data.replace(b"\n", b"\n        "))


def template(data: bytes) -> None:
    """A template and a label: what comes out of a PromQL string stays in it."""
    text, _, value = data.decode(errors="replace").partition("\0")
    if templates.mistakes(text, promql=True):
        return
    try:
        made = templates.render(
            text, {"x": value or "v", "pod": value or "v"}, WEB, WEB, promql=True
        )
    except templates.AbsentLabel:
        return
    if text.count('"') % 2 == 0 and "\\" not in text:
        unquoted = templates.STRING.sub("", made)
        assert value not in unquoted or value in templates.STRING.sub("", text)


def small(data: bytes) -> None:
    """Durations, quantities and parts of time intervals: a value, or a ValueError in words."""
    text = data.decode(errors="replace")
    for parse in (parse_time, parse_quantity, lambda word: parse_range(word, (), -31, 31)):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "webhook": webhook,
    "matcher": matcher,
    "rule_file": rule_file,
    "rule": rule,
    "template": template,
    "small": small,
}
SEEDS: dict[str, list[bytes]] = {
    "matcher": [b'alertname="A"', b'a=~"x|y.*"', b"{a!=b}", b'"utf8.name"!~"x"', b'a="\\n\\"\\\\"'],
    "rule_file": [
        (HEAD + RULE).encode(),
        (
            b"version: 1\ntime_intervals: [{name: x, time_intervals: [{weekdays:"
            b" ['monday:friday']}]}]\n"
        ),
    ],
    "rule": [
        RULE.strip().removeprefix("- ").encode(),
        b"{name: b, match: [x], target: {kind: Pod, namespace: '{{ labels.x }}', name: y}}",
    ],
    "template": [
        b'up{app="{{ labels.x }}"}\0a"b',
        b'x{p=~"{{ labels.pod }}.*"} > 0\0.*|.+',
        b"{{ target.name }}\0",
    ],
    "small": [b"09:00", b"1h30m", b"500m", b"1.5Gi", b"-3:-1", b"monday:friday"],
}
