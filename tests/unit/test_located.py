"""The one YAML door: places, carets, traps, duplicates, and never an exception for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.located import load_text, suggest


def codes(text: str) -> list[tuple[int, int, str]]:
    return [
        (finding.line, finding.column, finding.code)
        for finding in load_text(text, "f.yaml").findings
    ]


def test_data_is_plain_and_every_place_is_known() -> None:
    document = load_text("a: {b: [1, two, 3.5, true, null]}\n", "f.yaml")
    assert document.data == {"a": {"b": [1, "two", 3.5, True, None]}}
    finding = document.finding(("a", "b", 1), "code", "message")
    assert (finding.line, finding.column, finding.width) == (1, 12, 3)


def test_a_finding_shows_its_line_with_a_caret() -> None:
    finding = load_text("rules:\n  - nme: x\n", "f.yaml").finding(
        ("rules", 0, "nme"), "unknown-field", "no field `nme`", at_key=True
    )
    assert finding.render() == (
        "f.yaml:2:5  error  unknown-field\n    2 |   - nme: x\n            ^^^ no field `nme`"
    )  # fmt: skip


def test_a_place_that_does_not_stand_in_the_file_is_its_nearest_parent() -> None:
    document = load_text("a:\n  b: 1\n", "f.yaml")
    assert document.finding(("a", "missing", "deeper"), "c", "m").line == 2
    assert load_text("", "f.yaml").finding(("x",), "c", "m").line == 1


@pytest.mark.parametrize(
    "value", ["12:30", "1:2:3", "+2", "+2.5", "yes", "No", "on", "OFF", "y", "0755"]
)
def test_the_traps_of_yaml_1_1_are_refused(value: str) -> None:
    assert codes(f"a: {value}\n") == [(1, 4, "yaml-trap")]
    assert codes(f"a: '{value}'\n") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 2026-05-01", "2026-05-01"),
        ("a: 1e3", "1e3"),
        ("a: 0x1f", "0x1f"),
        ("a: 12", 12),
        ("a: -1", -1),
    ],
)
def test_nothing_else_is_guessed(text: str, expected: object) -> None:
    assert load_text(text, "f.yaml").data == {"a": expected}


def test_a_key_twice_is_refused_and_names_the_first() -> None:
    (finding,) = load_text("a: 1\nb: 2\na: 3\n", "f.yaml").findings
    assert (finding.line, finding.code, finding.message) == (
        3,
        "duplicate-key",
        "duplicate key `a`; first set in line 1",
    )


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: b: c",
        "\t- x",
        "a: !!python/object:os.system x",
        "a: &x [*x]",
        "[" * 3000,
        "- " * 3000,
        "? [a]\n: b",
        "%",
    ],
)
def test_what_cannot_be_read_is_a_finding(text: str) -> None:
    assert load_text(text, "f.yaml").findings


@pytest.mark.parametrize(
    "value", ['!!int ""', '!!float ""', "!!bool maybe", "!!timestamp x", "!!binary é", "!other x"]
)
def test_a_tag_that_its_value_does_not_fit_is_a_finding(value: str) -> None:
    (finding,) = load_text(f"a: {value}\n", "f.yaml").findings
    assert (finding.line, finding.code) == (1, "yaml")


def test_aliases_of_aliases_of_aliases_are_refused_before_they_are_built() -> None:
    text = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    (finding,) = load_text(text, "f.yaml").findings
    assert "aliases" in finding.message
    shared = load_text("a: &a {x: 1}\nb: *a\nc: *a\n", "f.yaml")
    assert (shared.data, shared.findings) == ({"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1}}, [])


@given(st.text(max_size=200))
def test_no_text_raises(text: str) -> None:
    document = load_text(text, "f.yaml")
    for finding in document.findings:
        assert finding.render().startswith("f.yaml:")


def test_suggestions() -> None:
    assert (
        suggest("chnged_within", ["changed_within", "mode"]) == "; did you mean `changed_within`?"
    )
    assert suggest("zzz", ["b", "a"]) == "; known: a, b"
    assert suggest("zzz", [str(n) for n in range(30)]) == ""
