"""What a rule file says that cannot work, beyond its form.

Found when it is loaded, not at night.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import promql_parser
from pydantic import ValidationError

from ..actions import ACTIONS
from ..catalogue import KINDS
from ..located import Document, Finding, Loc, suggest
from ..model.kind import among
from ..model.matcher import Matcher, Operator, admits
from ..model.target import invalid_name
from . import templates
from .schema import ExplicitTarget, Rule, Step
from .sections import Scope
from .wording import worded

LONGEST_QUERY = 2000  # the parser is quadratic, and ends the process on deep nesting
SCALAR_CALLS = {"scalar", "time", "pi"}
CLOCK_CALLS = {
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
}
ARITHMETIC = set("+-*/%^") | {"atan2"}


def of_rule(rule: Rule, scope: Scope, document: Document, loc: Loc) -> list[Finding]:
    """Everything that is wrong with one rule."""
    found = [
        *_steps(rule, document, loc),
        *_queries(rule.when, document, (*loc, "when")),
        *_matchers(rule, document, loc),
    ]
    if isinstance(rule.target, ExplicitTarget):
        found += _target(rule, rule.target, scope, document, loc=loc)
    least = min((rate.count for rate in rule.limits.attempts), default=0)
    if len(rule.steps) > least:
        message = (
            f"the ladder has {len(rule.steps)} steps but `limits.attempts` allows {least}: its last"
            " steps would never run"
        )
        found.append(document.finding((*loc, "steps"), "ladder-too-long", message, at_key=True))
    return found


def _steps(rule: Rule, document: Document, loc: Loc) -> list[Finding]:
    found: list[Finding] = []
    labels: set[str] = set()
    for index, step in enumerate(rule.steps):
        place = (*loc, "steps", index)
        found += of_action(step.action, step.with_, document, place)
        if step.label in labels:
            found.append(
                document.finding(
                    place,
                    "duplicate-step",
                    f"two steps are called `{step.label}`; give one a `name`",
                )
            )
        labels.add(step.label)
        found += _step(step, document, place)
    return found


def _step(step: Step, document: Document, place: Loc) -> list[Finding]:
    found: list[Finding] = []
    action = ACTIONS.get(step.action)
    if action and not action.causes and step.if_ is None:
        message = f"`{step.action}` declares no causes; say which with `if`, or `if: always`"
        found.append(document.finding(place, "no-cause-named", message))
    if action and step.restore.after and action.undo is None:
        message = f"`{step.action}` cannot be undone"
        found.append(document.finding((*place, "restore"), "cannot-restore", message))
    found += _queries(step.when, document, (*place, "when"))
    if isinstance(step.verify.until, tuple):
        found += _queries(step.verify.until, document, (*place, "verify", "until"))
    return found


def of_action(
    name: str, parameters: Mapping[str, Any], document: Document, place: Loc
) -> list[Finding]:
    """An action that there is, and parameters that it takes."""
    action = ACTIONS.get(name)
    if action is None:
        return [
            document.finding(
                (*place, "action"),
                "unknown-action",
                f"no action `{name}`{suggest(name, list(ACTIONS))}",
            )
        ]
    try:
        action.params.model_validate(dict(parameters))
    except ValidationError as error:
        fields = list(action.params.model_fields)
        return worded(document, error, (*place, "with"), fields)
    return []


def _queries(queries: tuple[str, ...], document: Document, loc: Loc) -> list[Finding]:
    """PromQL that Prometheus would refuse, or that holds whatever it finds."""
    found: list[Finding] = []
    for index, query in enumerate(queries):
        found += _query(query, document, (*loc, index))
    return found


def _query(query: str, document: Document, place: Loc) -> list[Finding]:
    wrong = templates.mistakes(query, promql=True)
    if wrong:
        return [document.finding(place, "bad-template", message) for message in wrong]
    if len(query) > LONGEST_QUERY:
        message = f"longer than {LONGEST_QUERY} characters; use a recording rule"
        return [document.finding(place, "bad-promql", message)]
    try:
        always = _always(promql_parser.parse(templates.PLACE.sub("x", query)))
    except ValueError as error:
        message = f"Prometheus would reject this query: {error}"
        return [document.finding(place, "bad-promql", message)]
    except RecursionError:
        return [document.finding(place, "bad-promql", "nested too deeply")]
    return [document.finding(place, "scalar-query", always)] if always else []


def _always(query: Any) -> str:
    """Why a query can never come back empty, or nothing."""
    if _scalar(query):
        return (
            "a scalar always returns a value; use a comparison, so that the query can return"
            " nothing"
        )
    match type(query).__name__:
        case "ParenExpr" | "UnaryExpr":
            return _always(query.expr)
        case "Call" if query.func.name == "vector" or _clock(query):
            return f"{query.func.name}() always returns a value; compare it with something"
        case "BinaryExpr" if str(query.op) == "or":
            return _always(query.lhs) or _always(query.rhs)
        case "BinaryExpr" if str(query.op) in ARITHMETIC:
            return _always(query.lhs) and _always(query.rhs)
        case "BinaryExpr" if query.modifier and query.modifier.return_bool:
            return (
                "with `bool` a comparison returns 0 or 1 for every series, so this always holds;"
                " remove `bool`"
            )
    return ""


def _clock(call: Any) -> bool:
    """Whether a function, such as hour(), is asked of the present time."""
    return not call.args and call.func.name in CLOCK_CALLS


def _scalar(query: Any) -> bool:
    """Whether a query is a number rather than series."""
    match type(query).__name__:
        case "NumberLiteral" | "StringLiteral":
            return True
        case "ParenExpr" | "UnaryExpr":
            return _scalar(query.expr)
        case "BinaryExpr":
            return _scalar(query.lhs) and _scalar(query.rhs)
        case "Call":
            return query.func.name in SCALAR_CALLS
    return False


def _matchers(rule: Rule, document: Document, loc: Loc) -> list[Finding]:
    """Matchers that no alert can satisfy together."""
    for one, other in combinations(rule.match, 2):
        if one.name == other.name and (_excludes(one, other) or _excludes(other, one)):
            index = rule.match.index(other)
            message = f"no alert can match both {one} and {other}"
            return [document.finding((*loc, "match", index), "contradiction", message)]
    return []


def _excludes(one: Matcher, other: Matcher) -> bool:
    """Whether the one value that the first admits is none of the second's."""
    return one.operator is Operator.EQUAL and not other.matches({one.name: one.value})


def _target(
    rule: Rule, target: ExplicitTarget, scope: Scope, document: Document, *, loc: Loc
) -> list[Finding]:
    """A literal target: a kind that there is, that its actions
    take, in a place where the group may act.
    """
    place = (*loc, "target")
    found = _bad_templates(target, document, place)
    if target.kind not in KINDS:
        message = f"unknown kind `{target.kind}`{suggest(target.kind, sorted(KINDS))}"
        return [*found, document.finding((*place, "kind"), "unknown-kind", message)]
    wrong = _wrong_kinds(rule, target, document, place)
    if wrong:  # where it may act is for the right kind to say
        return [*found, *wrong]
    found = found or _bad_names(target, document, place)
    return found + _out_of_scope(target, scope, document, place)


def _out_of_scope(
    target: ExplicitTarget, scope: Scope, document: Document, place: Loc
) -> list[Finding]:
    """A namespace, or an object in none, on which the group may not act; templates may be any."""
    if KINDS[target.kind].namespaced:
        key, patterns, what = "namespace", scope.namespaces, "namespace"
    else:
        key, patterns, what = "name", scope.nodes, target.kind
    name = getattr(target, key)
    if not name or "{{" in name or admits(patterns, name):
        return []
    message = f"{what} {name} is outside the scope of the group; the rule would never act"
    return [document.finding((*place, key), "out-of-scope", message)]


def _bad_templates(target: ExplicitTarget, document: Document, place: Loc) -> list[Finding]:
    """Mistakes in the templates of its names."""
    found: list[Finding] = []
    for key in ("namespace", "name"):
        mistakes = templates.mistakes(getattr(target, key), labels_only=True)
        found += [document.finding((*place, key), "bad-template", text) for text in mistakes]
    return found


def _wrong_kinds(
    rule: Rule, target: ExplicitTarget, document: Document, place: Loc
) -> list[Finding]:
    """Actions of the rule that do not take the kind."""
    found = []
    for step in rule.steps:
        action = ACTIONS.get(step.action)
        if action is not None and not among(target.kind, action.targets):
            kinds = ", ".join(sorted(map(str, action.targets)))
            message = f"`{action.name}` cannot act on a {target.kind}; it supports {kinds}"
            found.append(document.finding((*place, "kind"), "wrong-kind", message))
    return found


def _bad_names(target: ExplicitTarget, document: Document, place: Loc) -> list[Finding]:
    """Names that no object can have, whatever their templates yield."""
    namespaced = KINDS[target.kind].namespaced
    if namespaced and not target.namespace:
        message = f"`namespace` is required for a {target.kind}"
        return [document.finding((*place, "namespace"), "missing-field", message)]
    namespace = templates.PLACE.sub("x", target.namespace) if namespaced else ""
    problems = {
        "namespace": invalid_name(namespace, "x"),
        "name": invalid_name("", templates.PLACE.sub("x", target.name)),
    }
    return [
        document.finding((*place, key), "bad-name", message)
        for key, message in problems.items()
        if message is not None
    ]
