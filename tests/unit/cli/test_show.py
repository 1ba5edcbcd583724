"""What a terminal shows of an answer: every fact once, in lines that no label can split."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.cli import show
from remediator.model.text import UNSEEN

Row = Mapping[str, Any]
NASTY = st.text(min_size=1, max_size=20) | st.sampled_from(
    ["a\nb", "\x1b[2J", "\r", "\u202e", "\x9b31m", "\u2028"]
)


def row(**more: Any) -> dict[str, Any]:
    """A remediation of a listing."""
    given = {
        "id": "r-k7m2p9x4ab",
        "state": "held",
        "rule": "restart",
        "target": "Deployment/shop/web",
        "cluster": "eu-1",
        "reason": "cooldown",
        "why": "12m left",
        "created_at": "2026-05-01T12:34:56.789+00:00",
    }
    return given | more


def verdict(guard: str = "scope", decision: str = "allow", **more: Any) -> dict[str, Any]:
    return {"guard": guard, "verdict": decision, "reason": None, "why": "", **more}


def looked(**more: Any) -> dict[str, Any]:
    """An evaluation, as explain and show have it."""
    given = {
        "causes": [{"name": "oom_killed", "why": "killed twice"}],
        "plan": {"summary": "restart Deployment/shop/web"},
        "digest": "sha256:0",
        "calls": ["PATCH Deployment/shop/web"],
        "verdicts": [verdict(), verdict("cooldown", "hold", reason="cooldown", why="12m left")],
    }
    return given | more


def episode(**more: Any) -> dict[str, Any]:
    labels = {"namespace": "shop", "alertname": "Leak"}
    return {"open": True, "deliveries": 3, "fingerprint": "f1", "labels": labels, **more}


def whole(**more: Any) -> dict[str, Any]:
    """A remediation with everything."""
    attempt = {"number": 1, "plan": {"summary": "restart it"}, "outcome": None}
    entry = {"at": "2026-05-01T12:35:01+00:00", "kind": "created", "reason": None, "text": "by r"}
    message = {"receiver": "chat", "delivered_at": None, "error": None}
    given: dict[str, Any] = {
        "episodes": [episode()],
        "look": looked(),
        "attempts": [attempt],
        "history": [entry],
        "messages": [message],
    }
    return row(**given) | more


def record(**more: int) -> dict[str, Any]:
    counts = ("would", "idle", "approved", "denied", "undecided", "succeeded", "ineffective")
    given: dict[str, Any] = dict.fromkeys((*counts, "failed", "other"), 0)
    return given | {"against": {}, "lately": []} | more


def rule(mode: str = "observe", since: str | None = None, **more: Any) -> dict[str, Any]:
    where = {"name": "restart", "mode": mode, "file": "rules/shop.yaml", "line": 7}
    return {**where, "breaker_open_since": since, "record": record(**more)}


def lines(text: str) -> list[str]:
    return text.split("\n")


def test_a_listing_lines_its_columns_up() -> None:
    shown = lines(show.listing([row(), row(id="r-1", target="Node//n1", rule="a-long-name")]))
    (head, first, second) = shown
    for word, short in (("STATE", "held"), ("RULE", "a-long-name"), ("TARGET", "Node//n1")):
        assert head.index(word) == second.index(short)
    assert head.index("WHY") == first.index("cooldown: 12m left")
    assert first.startswith("2026-05-01 12:34  r-k7m2p9x4ab  held ")


def test_a_listing_of_nothing_is_its_head() -> None:
    assert len(lines(show.listing([]))) == 1


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"reason": None, "why": "in progress"}, "in progress"),
        ({"reason": None, "why": ""}, ""),
        ({"reason": None, "why": None}, ""),
        ({"state": "observed", "reason": "observe_mode", "why": "x"}, "observe_mode: x"),
    ],
    ids=["no reason", "nothing", "null", "a reason"],
)
def test_a_listing_says_why(more: dict[str, Any], expected: str) -> None:
    assert lines(show.listing([row(**more)]))[1].rpartition("web")[2].strip() == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("observe_mode", "observed: would act"),
        ("scope", "observed: no action"),
        (None, "no action"),
    ],
)
def test_in_observe_mode_it_says_whether_it_would_have_acted(
    reason: str | None, expected: str
) -> None:
    assert expected in show.listing([row(state="observed", reason=reason)])


def test_a_row_of_before_its_time_was_kept_is_listed() -> None:
    assert "r-k7m2p9x4ab" in show.listing([row(created_at=None)])


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (None, "all  by ann  since 2026-05-01 12:00  until resumed: a look"),
        ("2026-05-01T14:00:59+00:00", "until 2026-05-01 14:00: a look"),
    ],
    ids=["without an end", "for a while"],
)
def test_a_pause_says_who_until_when_and_why(until: str | None, expected: str) -> None:
    given = {"scope": "all", "author": "ann", "at": "2026-05-01T12:00:00+00:00", "until": until}
    assert expected in show.pauses([{**given, "reason": "a look"}])


def test_nothing_is_said_so() -> None:
    assert show.pauses([]) == "nothing is paused"
    assert show.rules([]) == "no rules are loaded"
    answer = {"fingerprint": "f", "source": "s", "alert": {}, "rules": []}
    assert "no rules are loaded" in show.explanation(answer)


def test_one_remediation_is_shown_with_everything() -> None:
    assert lines(show.remediation(whole())) == [
        "r-k7m2p9x4ab  held  rule restart  target Deployment/shop/web  cluster eu-1",
        "  created  2026-05-01 12:34 UTC",
        "  why      cooldown: 12m left",
        "  alert    firing, delivered 3x, fingerprint f1: alertname=Leak, namespace=shop",
        "  cause    oom_killed: killed twice",
        "  plan     restart Deployment/shop/web  (digest sha256:0)",
        "  call     PATCH Deployment/shop/web",
        "  guard    cooldown: hold cooldown: 12m left",
        "  allowed  scope",
        "  attempt  1: restart it -> in progress",
        "  12:35:01 created: by r",
        "  notified chat: waiting",
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"ended_at": "2026-05-01T13:00:00+00:00"}, "UTC, ended 2026-05-01 13:00"),
        ({"episodes": [episode(open=False)]}, "  alert    resolved, delivered 3x"),
        ({"undo_of": "r-old"}, "  undoes   r-old"),
        ({"undos": [{"id": "u-1", "state": "failed", "why": None}]}, "  undone   by u-1: failed"),
        ({"next_look": "2026-05-01T12:40:00+00:00"}, "  next look at 12:40:00 UTC"),
        ({"undo_due_at": "2026-05-01T14:00:00+00:00"}, "not before 2026-05-01 14:00 UTC"),
        ({"reason": None, "why": ""}, "  why      -"),
        (
            {"messages": [{"receiver": "chat", "delivered_at": None, "error": "answered 500"}]},
            "  notified chat: answered 500",
        ),
        (
            {"messages": [{"receiver": "chat", "delivered_at": "x", "error": "answered 500"}]},
            "  notified chat: delivered",
        ),
    ],
    ids=[
        *("ended", "resolved", "an undo", "was undone", "looks again", "undone later", "no reason"),
        *("a failed message", "delivered at last"),
    ],
)
def test_what_else_there_is_to_say_has_a_line(more: dict[str, Any], expected: str) -> None:
    assert any(
        line.endswith(expected) or expected in line
        for line in lines(show.remediation(whole(**more)))
    )


def test_what_was_not_evaluated_yet_is_shown_without_a_plan() -> None:
    text = show.remediation(whole(look={}, attempts=[], history=[], messages=[], episodes=[]))
    assert len(lines(text)) == 3


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], []),
        ([verdict("a"), verdict("b"), verdict("a")], ["allowed  a, b"]),
        ([verdict("a", why="lifted")], ["guard    a: allow: lifted", "allowed  a"]),
        (
            [verdict("a", "deny", reason="out_of_scope", why="x"), verdict("b")],
            ["guard    a: deny out_of_scope: x", "allowed  b"],
        ),
    ],
    ids=["none", "only allowed, one of them twice", "allowed with a word", "one against"],
)
def test_each_guard_that_has_something_to_say_has_a_line(
    verdicts: list[Row], expected: list[str]
) -> None:
    given = looked(verdicts=verdicts, causes=None, calls=None, plan=None)
    assert show.look(given, indent="") == expected


def test_what_an_undo_would_do_is_shown_with_what_is_against_it() -> None:
    against = verdict("ownership", "hold", reason="owned", why="by Argo CD")
    would = {"plan": "", "calls": ["PATCH x"], "verdicts": [verdict(), against]}
    assert lines(show.undoing(would)) == [
        "plan     -",
        "call     PATCH x",
        "guard    ownership: hold owned: by Argo CD",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (rule(), "observe  -                 -         -"),
        (rule("approve", would=12, approved=4, denied=1, undecided=2), "12                4 of 7"),
        (rule("act", succeeded=5, ineffective=1, failed=2, other=3), "5 of 11"),
        (rule(since="2026-05-01T12:00:00+00:00"), "breaker open since 2026-05-01T12:00"),
    ],
    ids=["new", "asked", "acted", "its breaker is open"],
)
def test_a_rule_is_listed_with_how_it_has_done(given: Row, expected: str) -> None:
    assert expected in lines(show.rules([given]))[1]


@pytest.mark.parametrize(
    ("given", "against"),
    [
        (rule(would=4), "it would have acted 4 times"),
        (rule(would=5), ""),
        (rule("approve", approved=4), "people approved 4 of 4"),
        (rule("approve", approved=5), ""),
        (rule("approve", approved=9, denied=1), ""),
        (rule("approve", approved=9, undecided=1), ""),
        (rule("approve", approved=8, denied=1), "people approved 8 of 9"),
        (rule("approve", approved=89, denied=5, undecided=6), "people approved 89 of 100"),
        (rule("act", failed=9), ""),
        (rule("act", since="2026-05-01"), "its breaker is open"),
    ],
    ids=[
        *("few plans", "enough plans", "few approvals", "enough approvals", "nine of ten"),
        *("one undecided of ten", "less than nine of ten", "89 of 100", "acts", "breaker"),
    ],
)
def test_a_rule_is_not_praised_before_there_is_evidence(given: Row, against: str) -> None:
    said = [line for line in lines(show.promotion(given)) if line.startswith("  against")]
    assert len(said) == 1
    assert (against or "nothing found in the journal") in said[0]


@pytest.mark.parametrize(
    ("mode", "edit"),
    [
        ("observe", "in rules/shop.yaml, rule `restart` (line 7): set `mode: approve`"),
        ("approve", "set `mode: act`"),
        ("act", "none: it is in mode act already"),
    ],
)
def test_a_rule_is_promoted_by_one_step(mode: str, edit: str) -> None:
    assert edit in lines(show.promotion(rule(mode)))[-1]


def test_why_a_rule_did_nothing_is_counted() -> None:
    given = rule(idle=5)
    given["record"] |= {"against": {"no_cause": 2, "cooldown": 3}, "lately": ["restart web"]}
    text = show.promotion(given)
    assert "5 times there was nothing to do, or a guard was against it (3 cooldown, 2 no_c" in text
    assert "recent: restart web" in text


def replayed(**more: Any) -> dict[str, Any]:
    summary = {
        **dict.fromkeys(("webhooks", "alerts", "truncated", "episodes", "unmatched"), 0),
        **{"remediations": {}, "calls": 0, "notifications": 0},
    }
    return {"timeline": [], "remediations": [], "summary": summary | more}


def happened(at: str, **more: Any) -> dict[str, Any]:
    given = {"at": at, "reason": None, "what": "firing", "remediation": None, "target": "-"}
    return {**given, "text": "", **more}


def test_a_replay_says_that_nothing_was_sent() -> None:
    assert lines(show.replay(replayed()))[-2:] == [
        "remediations: none",
        "0 calls and 0 notifications would have been sent; nothing was sent",
    ]


@pytest.mark.parametrize(("count", "told"), [(0, False), (1, True)])
def test_a_replay_says_what_alertmanager_left_out(count: int, told: bool) -> None:
    assert (f"{count} truncated (set max_alerts: 0)" in show.replay(replayed(truncated=count))) is (
        told
    )


def test_a_timeline_names_each_day_once() -> None:
    report = replayed()
    report["timeline"] = [
        happened("2026-05-01T23:59:59+00:00"),
        happened("2026-05-01T23:59:59+00:00", remediation="r-1", reason="matched"),
        happened("2026-05-02T00:00:00+00:00"),
    ]
    shown = lines(show.replay(report))
    assert [line for line in shown if line.startswith("2026")] == ["2026-05-01", "2026-05-02"]
    assert "firing matched" in shown[2]


def test_an_explanation_has_every_rule_s_answer() -> None:
    matched = {"rule": "a", "matched": True, "target": "Pod/shop/x", "root": "Deployment/shop/web"}
    missed = {"rule": "b", "matched": False, "reason": "no_match", "why": "another alertname"}
    alert: dict[str, Any] = {"fingerprint": "f", "source": "s", "alert": {"b": "2", "a": "1"}}
    fate = {"fate": "attached", "remediations": ["r-1", "r-2"]}
    answer = {**alert, **fate, "rules": [matched | looked(), missed]}
    shown = lines(show.explanation(answer))
    assert shown[:3] == [
        "alert f from s: a=1, b=2",
        "  fate     attached (r-1, r-2)",
        "+ a: matches, target Pod/shop/x (root Deployment/shop/web)",
    ]
    assert shown[-1] == "- b: no match, no_match: another alertname"


@given(NASTY, NASTY)
def test_no_text_splits_a_line_or_moves_the_cursor(name: str, value: str) -> None:
    labels, why = {name: value, "plain": "x"}, f"{name}{value}"
    plain = whole(
        episodes=[episode(labels=labels)],
        why=why,
        rule=name,
        look=looked(causes=[{"name": "c", "why": value}], calls=[value]),
        messages=[{"receiver": name, "delivered_at": None, "error": value}],
    )
    answer = {"fingerprint": name, "source": value, "alert": labels}
    report = replayed()
    report["timeline"] = [happened("2026-05-01T12:00:00", target=name, text=value)]
    report["remediations"] = [row(rule=name, target=value, why=why)]
    shown = {
        show.remediation(plain): 12,
        show.listing([row(rule=name, target=value, why=why)]): 2,
        show.pauses([{"scope": name, "author": value, "at": "", "until": None, "reason": why}]): 1,
        show.explanation(
            {**answer, "rules": [{"rule": name, "matched": True, "target": value}]}
        ): 2,
        show.undoing({"plan": name, "calls": [value], "verdicts": []}): 2,
        show.replay(report): 9,
    }
    for text, count in shown.items():
        assert len(lines(text)) == count
        assert not UNSEEN.search(text.replace("\n", ""))
