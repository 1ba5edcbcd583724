"""The shipped dashboards: Grafana's own types, strictly.

The conventions that dashboard-linter checks; known metrics only.
"""

import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import jsonschema
import promql_parser
import pytest

from remediator.telemetry import METRICS
from tests.artifacts.dashboards import FILES, ROOT, panels, queries
from tests.real.parts import binary

NAMES = [path.stem for path in FILES]
SUFFIXES = ("_bucket", "_sum", "_count")


def strict(name: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(
        json.loads(Path(binary("grafana-schema", f"{name}.json")).read_text())
    )


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_field_is_one_that_grafana_knows(path: Path) -> None:
    found = list(strict("dashboard").iter_errors(json.loads(path.read_text())))
    for panel in panels(path):
        found += list(strict(panel["type"]).iter_errors(panel["options"]))
        if panel["type"] == "timeseries":
            found += list(
                strict("timeseries-field").iter_errors(panel["fieldConfig"]["defaults"]["custom"])
            )
    assert [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in found] == []


def test_they_are_what_their_definitions_make(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, str(ROOT / "tools" / "dashboards.py"), str(tmp_path)], check=True
    )
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in FILES
    }


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_it_imports_by_hand_by_sidecar_and_by_provisioning(path: Path) -> None:
    made = json.loads(path.read_text())
    assert "__inputs" not in made
    assert "${DS_" not in path.read_text()
    assert made["id"] is None
    assert re.fullmatch(r"[a-z0-9-]{8,40}", made["uid"])
    assert made["editable"] is False
    source, *variables = made["templating"]["list"]
    assert (source["name"], source["label"], source["query"]) == (
        "datasource",
        "Data source",
        "prometheus",
    )
    for variable in variables:
        assert (variable["type"], variable["multi"], variable["allValue"], variable["refresh"]) == (
            "query",
            True,
            ".+",
            2,
        )
        assert variable["label"] == variable["name"].title()
        assert set(variable["current"]) >= {"text", "value"}
        assert "definition" not in variable
        assert variable["datasource"]["uid"] == "${datasource}"
    assert [variable["name"] for variable in variables] == ["job", "instance"]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_panel_says_what_it_shows_and_asks_only_the_chosen_source(path: Path) -> None:
    places = set()
    for panel in panels(path):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["fieldConfig"]["overrides"] == []
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            assert 'job=~"$job"' in target["expr"]
            assert 'instance=~"$instance"' in target["expr"]
            if re.search(r"\brate\(", target["expr"]):
                assert "[$__rate_interval]" in target["expr"]
        places.add((panel["gridPos"]["x"], panel["gridPos"]["y"]))
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    assert len(places) == len(panels(path))


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_query_parses_and_names_metrics_that_are_exported_with_their_labels(
    path: Path,
) -> None:
    for title, query in queries(path):
        promql_parser.parse(query)
        for name, selector in re.findall(r"remediator_(\w+)\{([^}]*)\}", query):
            base = next(
                (
                    name.removesuffix(end)
                    for end in SUFFIXES
                    if name.endswith(end) and name not in METRICS
                ),
                name,
            )
            assert base in METRICS, f"{title}: remediator_{name}"
            labels = {"job", "instance", "le", *METRICS[base][2]}
            assert set(re.findall(r"(\w+)(?:=~|!=|=)", selector)) <= labels, f"{title}: {selector}"
            if name.endswith("_total"):
                assert re.search(rf"(rate|increase)\(remediator_{name}", query), (
                    f"{title}: a counter without a rate"
                )
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", query))))
        known = set(chain.from_iterable(labels for _, _, labels in METRICS.values()))
        assert grouped <= known | {"le", "job", "instance"}, f"{title}: {grouped}"
