"""One page for each action, cause, guard, sight and receiver, and an index of each."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from ..actions import ACTIONS
from ..actions.action_spec import ActionSpec
from ..catalogue import KINDS
from ..causes import CAUSES
from ..causes.cause_spec import CauseSpec
from ..guards import pipeline
from ..guards.guard import Guard
from ..model.kind import Kind
from ..model.sight import Sight
from ..notify import RECEIVERS
from ..notify.receiver import ReceiverKind
from ..sights import SIGHTS
from .pages import markdown_table, written

GUARDS_INTRO = """# Guards

Guards are asked in this order. Every verdict is kept and shown; the strongest decides: deny, hold,
ask, allow. What cannot be determined holds. The first look happens before anything is observed. At
the second look there are facts and a plan. Begin is the transaction that starts an attempt; no two
remediations can pass it at once on the same limit. Write is just before each write to the cluster.
Verdicts other than allow are counted in `remediator_verdicts_total`.

"""


def pages() -> dict[str, str]:
    """Path to text."""
    made = {f"actions/{item.name}.md": _action(item) for item in ACTIONS.values()}
    made |= {f"causes/{item.name}.md": _cause(item) for item in CAUSES.values()}
    made |= {f"guards/{item.name}.md": _guard(item) for item in pipeline.GUARDS}
    made |= {f"sights/{name}.md": _sight(item) for name, item in _sights().items()}
    made |= {f"receivers/{item.name}.md": _receiver(item) for item in RECEIVERS.values()}
    return made | _indexes()


def _indexes() -> dict[str, str]:
    """The page of each kind of part, which lists them."""
    return {
        "actions.md": "# Actions\n\nWhat a step of a rule can do.\n\n"
        + markdown_table(
            ("action", "what it does", "targets"),
            ((_link("actions", a.name), a.summary, _kinds(a.targets)) for a in ACTIONS.values()),
        ),
        "causes.md": "# Causes\n\nWhy an alert fires, as far as the cluster shows it.\n\n"
        + markdown_table(
            ("cause", "found if"),
            ((_link("causes", c.name), _first(c.manual)) for c in CAUSES.values()),
        ),
        "guards.md": GUARDS_INTRO
        + markdown_table(
            ("guard", "set by", "checks", "asked at"),
            ((_link("guards", g.name), g.set_by, g.summary, g.asked) for g in pipeline.GUARDS),
        ),
        "sights.md": "# Sights\n\nFacts about a target that causes, actions and guards can ask"
        " for. RBAC follows from the kinds they\nread.\n\n"
        + markdown_table(
            ("sight", "shows"),
            ((_link("sights", name), _first(_shows(s))) for name, s in _sights().items()),
        ),
        "receivers.md": "# Receivers\n\nWhere notifications can be delivered.\n\n"
        + markdown_table(
            ("kind", "delivers to", "needs"),
            ((_link("receivers", r.name), _first(r.manual), r.needs) for r in RECEIVERS.values()),
        ),
    }


def _sights() -> Mapping[str, Sight[object]]:
    """Those of the package, and those that stand in the file that needs them."""
    found: set[Sight[object]] = set(SIGHTS.values()) | pipeline.SEES | pipeline.DISRUPTION
    for cause in CAUSES.values():
        found |= cause.sees
    for action in ACTIONS.values():
        found |= action.sees
    return {sight.name: sight for sight in sorted(found, key=lambda sight: sight.name)}


def _action(action: ActionSpec) -> str:
    facts = [
        ("targets", _kinds(action.targets)),
        ("default causes", _links("causes", sorted(action.causes)) or "none; the step needs `if`"),
        ("disruption", action.disruption),
        ("sees", _links("sights", sorted(sight.name for sight in action.sees)) or "-"),
        ("writes", ", ".join(sorted({f"{verb} {kind}" for verb, kind, _ in action.calls}))),
    ]
    return (
        f"# {action.name}\n\n{_labelled(action.manual)}\n\n{markdown_table(('', ''), facts)}\n"
        f"## Parameters\n\n{_parameters(action.params)}\n"
        f"## Example\n\n```yaml\n{action.example}\n```\n"
    )


def _labelled(manual: str) -> str:
    """A manual page, with each of its headed parts as a paragraph of its own."""
    for part in ("Use when:", "Do not use when:", "How it verifies:", "What it leaves behind:"):
        manual = manual.replace(f"\n{part}", f"\n\n**{part[:-1]}**:")
    return manual.strip().replace("\n\n\n", "\n\n")


def _parameters(params: type[BaseModel]) -> str:
    rows = [
        (f"`{name}`", f"`{written(field.default)}`", field.description or "")
        for name, field in params.model_fields.items()
    ]
    return markdown_table(("parameter", "default", "meaning"), rows)


def _cause(cause: CauseSpec) -> str:
    users = [action.name for action in ACTIONS.values() if cause.name in action.causes]
    kinds = set(KINDS.values()).intersection(*(s.of for s in cause.sees if s.of is not None))
    facts = [
        ("sees", _links("sights", sorted(sight.name for sight in cause.sees))),
        ("targets", _kinds(kinds)),
        ("default cause of", _links("actions", users) or f"no action; use `if: {cause.name}`"),
    ]
    return f"# {cause.name}\n\n{cause.manual.strip()}\n\n{markdown_table(('', ''), facts)}"


def _guard(guard: Guard) -> str:
    seen = sorted(sight.name for sight in guard.sees | guard.sees_pods)
    facts = [
        ("set by", guard.set_by),
        ("asked at", guard.asked),
        ("sees", _links("sights", seen) or "-"),
    ]
    text = "\n".join(line.strip() for line in guard.manual.strip().splitlines())
    head, _, rest = text.removeprefix(f"{guard.name}: ").partition("\n")
    manual = f"{head[0].upper()}{head[1:]}\n{rest}".strip()
    return f"# {guard.name}\n\n{manual}\n\n{markdown_table(('', ''), facts)}"


def _sight(sight: Sight[object]) -> str:
    users = {
        "actions": [a.name for a in ACTIONS.values() if sight in a.sees],
        "causes": [c.name for c in CAUSES.values() if sight in c.sees],
        "guards": [g.name for g in pipeline.GUARDS if sight in g.sees | g.sees_pods],
    }
    facts = [
        ("lists", _kinds(sight.lists)),
        ("gets", _kinds(sight.gets)),
        ("of targets", "all" if sight.of is None else _kinds(sight.of)),
        *((f"used by {what}", _links(what, names) or "-") for what, names in users.items()),
    ]
    return f"# {sight.name}\n\n{_shows(sight)}\n\n{markdown_table(('', ''), facts)}"


def _shows(sight: Sight[object]) -> str:
    return "\n".join(line.strip() for line in (sight.look.__doc__ or "").strip().splitlines())


def _receiver(kind: ReceiverKind) -> str:
    facts = [
        ("needs", kind.needs),
        ("`tells: everything`", "yes" if kind.steps else "no"),
    ]
    return f"# {kind.name}\n\n{kind.manual.strip()}\n\n{markdown_table(('', ''), facts)}"


def _link(folder: str, name: str) -> str:
    return f"[{name}]({folder}/{name}.md)"


def _links(folder: str, names: Iterable[str]) -> str:
    return ", ".join(f"[{name}](../{folder}/{name}.md)" for name in names)


def _kinds(kinds: Iterable[Kind]) -> str:
    return ", ".join(sorted(map(str, kinds))) or "-"


def _first(manual: str) -> str:
    """The first sentence of a manual page."""
    return " ".join(manual.split("\n\n")[0].split()).split(". ")[0].rstrip(".")
