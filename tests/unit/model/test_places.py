"""Rule files: what is wrong is shown where it stands, and nothing is guessed or overlooked."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.located import Document, Finding, load_file, load_text, suggest, without_echoes


def read(text: str) -> Document:
    return load_text(text, "f.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", None, id="empty"),
        pytest.param("# only a comment\n", None, id="a comment"),
        pytest.param("a:\n", {"a": None}, id="no value"),
        pytest.param("a: ~\nb: null\n", {"a": None, "b": None}, id="nulls"),
        pytest.param("a: true\nb: 'true'\n", {"a": True, "b": "true"}, id="truth"),
        pytest.param(
            "a: 0\nb: -0\nc: 0.5\nd: -1.25\n", {"a": 0, "b": 0, "c": 0.5, "d": -1.25}, id="numbers"
        ),
        pytest.param(
            "a: 1.2.3\nb: 1_000\nc: -.5\n",
            {"a": "1.2.3", "b": "1_000", "c": "-.5"},
            id="no numbers",
        ),
        pytest.param("a: {}\nb: []\n", {"a": {}, "b": []}, id="empty parts"),
        pytest.param("1: x\ntrue: z\n", {"1": "x", "true": "z"}, id="keys are words"),
        pytest.param("\ufeffa: 1\r\nb: 2\r\n", {"a": 1, "b": 2}, id="Windows"),
        pytest.param("a: grün\n", {"a": "grün"}, id="UTF-8"),
    ],
)
def test_plain_yaml_is_read_as_it_is_written(text: str, expected: object) -> None:
    document = read(text)
    assert (document.data, document.findings) == (expected, [])


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("12:30", "base 60"),
        ("+3", "without `+`"),
        ("+2.5", "without `+`"),
        ("Yes", "truth value"),
        ("n", "truth value"),
        ("007", "octal"),
        ("00", "octal"),
    ],
)
def test_a_trap_is_named_with_the_way_out(value: str, advice: str) -> None:
    (finding,) = read(f"a:\n  - {value}\n").findings
    assert (finding.line, finding.column, finding.width) == (2, 5, len(value))
    assert f"`{value}`" in finding.message
    assert advice in finding.message


@pytest.mark.parametrize(
    "value", ["0", "10", "0.5", "08", "yesterday", "noon", "12:60x", "a+1", "'yes'", '"+1"', "onyx"]
)
def test_what_only_resembles_a_trap_is_none(value: str) -> None:
    assert read(f"a: {value}\n").findings == []


def test_a_trap_in_a_key_is_no_trap() -> None:
    assert (read("on: 1\n").data, read("on: 1\n").findings) == ({"on": 1}, [])


def test_all_mistakes_of_a_file_are_found_at_once() -> None:
    findings = read("a: yes\nb: 1\nb: 2\nb: 3\nc: +1\n? [x]\n: y\n").findings
    assert [(finding.line, finding.code) for finding in findings] == [
        (1, "yaml-trap"),
        (3, "duplicate-key"),
        (4, "duplicate-key"),
        (5, "yaml-trap"),
        (1, "yaml"),
    ]
    assert all("first set in line 2" in finding.message for finding in findings[1:3])


def test_the_first_of_two_values_stays() -> None:
    assert read("a: {x: 1, y: 2, x: 3}\n").data == {"a": {"x": 1, "y": 2}}


def test_one_key_in_two_maps_is_no_duplicate() -> None:
    assert read("a: {x: 1}\nb: {x: 1}\nx: 1\n").findings == []


def test_two_documents_in_one_file_are_refused() -> None:
    (finding,) = read("a: 1\n---\nb: 2\n").findings
    assert (finding.line, finding.code) == (2, "yaml")


def test_what_cannot_be_read_is_shown_with_its_line() -> None:
    (finding,) = read("a: 1\nb: [1, 2\nc: 3\n").findings
    assert finding.message.startswith("cannot read the YAML: ")
    assert finding.source == "c: 3"
    assert finding.line == 3


@pytest.mark.parametrize(
    ("loc", "at_key", "expected"),
    [
        pytest.param(("rules", 0, "name"), False, (2, 11, 3), id="a value"),
        pytest.param(("rules", 0, "name"), True, (2, 5, 4), id="its key"),
        pytest.param(("rules", 1, "match", 1), False, (4, 16, 1), id="an item"),
        pytest.param(("rules", 1, "absent"), True, (3, 5, 7), id="a missing key"),
        pytest.param(("rules", 9), False, (2, 3, 11), id="a missing item"),
        pytest.param((), False, (1, 1, 6), id="the whole"),
    ],
)
def test_a_finding_points_at_its_place(
    loc: tuple[str | int, ...], at_key: bool, expected: tuple[int, int, int]
) -> None:
    document = read("rules:\n  - name: web\n  - name: ü\n    match: [a, b]\n")
    finding = document.finding(loc, "code", "message", at_key)
    assert (finding.line, finding.column, finding.width) == expected
    assert finding.source == document.lines[expected[0] - 1]


def test_a_warning_is_rendered_as_one_and_a_finding_without_a_source_has_no_caret() -> None:
    warned = read("a: 1\n").finding(("a",), "late", "too late", severity="warning")
    assert warned.render() == "f.yaml:1:4  warning  late\n    1 | a: 1\n           ^ too late"
    bare = Finding("f.yaml", 7, 2, 1, "yaml", "broken")
    assert bare.render() == "f.yaml:7:2  error  yaml\n     broken"


KEYS = st.text("abcdefghij", min_size=3, max_size=6)
VALUES = st.recursive(
    st.integers(-999, 999) | st.booleans() | st.none() | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_json_is_yaml_and_is_read_as_it_is(data: dict[str, object]) -> None:
    document = read(json.dumps(data))
    assert (document.data, document.findings) == (data, [])


def test_a_file_that_is_not_utf_8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_bytes(b"b: 1\na: gr\xfcn\n")
    (found,) = load_file(path).findings
    assert (found.path, found.line) == (str(path), 2)
    assert found.message == "not UTF-8 text; save the file as UTF-8"
    with pytest.raises(FileNotFoundError):
        load_file(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("Deploymnet", ["Deployment", "DaemonSet"], "; did you mean `Deployment`?"),
        ("zzz", [str(n) for n in range(10, 30)], f"; known: {', '.join(map(str, range(10, 30)))}"),
        ("zzz", [str(n) for n in range(10, 31)], ""),
    ],
    ids=["close", "twenty are listed", "more are not"],
)
def test_a_suggestion_is_what_is_close_or_what_there_is(
    word: str, known: list[str], expected: str
) -> None:
    assert suggest(word, known) == expected


def test_all_that_is_wrong_with_a_value_that_yaml_reads_in_two_ways_is_told() -> None:
    def said(code: str, message: str) -> Finding:
        return Finding("f", 1, 2, 3, code, message)

    trap = said("yaml-trap", "YAML reads `on` as true; quote it")
    (told,) = without_echoes([trap, said("bad-value", "first"), said("bad-value", "second")])
    assert told.message == "YAML reads `on` as true; first; second"
    assert without_echoes([trap]) == [trap]
