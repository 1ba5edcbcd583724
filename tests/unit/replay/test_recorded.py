"""Recorded webhooks and facts are read as they were saved, or refused with their place."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.errors import ClusterError, ConfigurationError
from remediator.kinds import DEPLOYMENT, NODE, POD
from remediator.replay.closed import SnapshotFile
from remediator.replay.recorded import read
from tests.unit.objects import HOUR, MINUTE, T

NOT_ENDED = "0001-01-01T00:00:00Z"


def alert(name: str, starts: datetime, ends: datetime | None = None) -> dict[str, Any]:
    return {
        "status": "resolved" if ends else "firing",
        "labels": {"alertname": name},
        "startsAt": starts.isoformat(),
        "endsAt": ends.isoformat() if ends else NOT_ENDED,
        "fingerprint": name,
    }


def webhook(*alerts: dict[str, Any], **more: Any) -> bytes:
    return orjson.dumps({"version": "4", "status": "firing", "alerts": alerts, **more})


def names(paths: list[Path]) -> list[str]:
    return [item.alerts[0].name for item in read(paths)]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return tmp_path / "saved.jsonl"


def test_a_webhook_counts_from_its_newest_start_or_end(saved: Path) -> None:
    saved.write_bytes(
        webhook(
            alert("A", T - HOUR, T + 5 * MINUTE), alert("B", T + MINUTE), alert("C", T - 9 * HOUR)
        )
    )
    (item,) = read([saved])
    assert item.at == T + 5 * MINUTE
    assert [one.name for one in item.alerts] == ["A", "B", "C"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8))
def test_webhooks_are_replayed_in_the_order_of_their_time(
    tmp_path_factory: pytest.TempPathFactory, minutes: list[int]
) -> None:
    file = tmp_path_factory.mktemp("saved") / "saved.jsonl"
    lines = [webhook(alert(f"A{minute}", T + minute * MINUTE)) for minute in minutes]
    file.write_bytes(b"\n".join(lines))
    items = read([file])
    assert [item.at for item in items] == sorted(T + minute * MINUTE for minute in minutes)


def test_webhooks_of_one_moment_keep_the_order_in_which_they_were_saved(saved: Path) -> None:
    saved.write_bytes(b"\n".join(webhook(alert(name, T)) for name in ("C", "A", "B")))
    assert names([saved]) == ["C", "A", "B"]


def test_times_of_other_zones_are_the_same_moment(saved: Path) -> None:
    zoned = {**alert("A", T), "startsAt": "2026-05-01T14:00:00+02:00"}
    saved.write_bytes(webhook(zoned))
    assert read([saved])[0].at == T


def test_blank_lines_separate_and_a_document_may_have_many_lines(tmp_path: Path) -> None:
    lines, document = tmp_path / "a.jsonl", tmp_path / "b.json"
    lines.write_bytes(b"\n\n" + webhook(alert("A", T)) + b"\r\n  \n" + webhook(alert("B", T)))
    document.write_bytes(orjson.dumps(orjson.loads(webhook(alert("C", T))), option=2))
    assert names([lines, document]) == ["A", "B", "C"]


def test_a_folder_is_read_deeply_and_only_its_json_files(tmp_path: Path) -> None:
    below = tmp_path / "2026" / "05"
    below.mkdir(parents=True)
    for number, name in enumerate(("z.json", "2026/a.jsonl", "2026/05/b.ndjson")):
        (tmp_path / name).write_bytes(webhook(alert(f"A{number}", T + number * MINUTE)))
    for ignored in ("notes.txt", "2026/old.json.gz", "2026/05/README"):
        (tmp_path / ignored).write_bytes(b"not JSON")
    assert names([tmp_path]) == ["A0", "A1", "A2"]


def test_alerts_that_alertmanager_left_out_are_counted(saved: Path) -> None:
    saved.write_bytes(webhook(alert("A", T), truncatedAlerts=7))
    assert read([saved])[0].truncated == 7


def test_every_error_is_told_at_once_with_its_place(tmp_path: Path, saved: Path) -> None:
    saved.write_bytes(b"\n".join([webhook(alert("A", T)), b"[]", webhook(), b"{}"]))
    missing = tmp_path / "missing.json"
    with pytest.raises(ConfigurationError) as refused:
        read([saved, missing])
    first, *lines = str(refused.value).splitlines()
    assert first == "cannot replay:"
    assert [line.split(": ")[0].strip() for line in lines] == [
        f"{saved}:2",
        f"{saved}:3",
        f"{saved}:4",
        str(missing),
    ]
    assert "the list is empty" in lines[1]
    assert "No such file" in lines[3]


@pytest.mark.parametrize("content", [b"", b"\n \n\t\n"])
def test_a_file_without_a_webhook_is_an_error(saved: Path, content: bytes) -> None:
    saved.write_bytes(content)
    with pytest.raises(ConfigurationError, match="no webhooks found in"):
        read([saved])


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\xef\xbb\xbf{}", b"null", b"4", b'"text"'])
def test_what_is_no_webhook_is_an_error_and_no_crash(saved: Path, content: bytes) -> None:
    saved.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not an Alertmanager webhook"):
        read([saved])


def manifest(kind: str, name: str, namespace: str = "shop", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels} | ({"namespace": namespace} if namespace else {})
    return {"kind": kind, "metadata": metadata}


def snapshot(path: Path, *items: Any) -> SnapshotFile:
    file = path / "facts.json"
    file.write_bytes(orjson.dumps({"kind": "List", "items": items}))
    return SnapshotFile(file)


async def test_objects_are_found_by_kind_namespace_and_name(tmp_path: Path) -> None:
    facts = snapshot(
        tmp_path, manifest("Deployment", "web"), manifest("Pod", "web"), manifest("Node", "n1", "")
    )
    assert await facts.get(DEPLOYMENT, "shop", "web") == manifest("Deployment", "web")
    assert await facts.get(NODE, "", "n1") is not None
    assert await facts.get(DEPLOYMENT, "billing", "web") is None
    assert await facts.get(DEPLOYMENT, "shop", "other") is None


async def test_lists_are_those_of_the_namespace_that_the_selector_selects(tmp_path: Path) -> None:
    facts = snapshot(
        tmp_path,
        manifest("Pod", "a", app="web", tier="front"),
        manifest("Pod", "b", app="web"),
        manifest("Pod", "c", app="db"),
        manifest("Pod", "d", "billing", app="web"),
        manifest("Deployment", "e", app="web"),
    )
    for selector, expected in (
        ("app=web", ["a", "b"]),
        ("app=web,tier=front", ["a"]),
        ("app in (web,db)", ["a", "b", "c"]),
        ("!tier", ["b", "c"]),
        ("", ["a", "b", "c"]),
        ("app=none", []),
    ):
        found = await facts.list_objects(POD, "shop", selector)
        assert [item["metadata"]["name"] for item in found] == expected


async def test_facts_without_a_node_do_not_mean_a_cluster_without_nodes(tmp_path: Path) -> None:
    facts = snapshot(tmp_path, manifest("Pod", "a"))
    with pytest.raises(ClusterError, match="the facts contain no Node"):
        await facts.list_objects(NODE, "", "")


async def test_a_list_over_all_namespaces_has_the_objects_of_each(tmp_path: Path) -> None:
    facts = snapshot(tmp_path, manifest("Pod", "a"), manifest("Pod", "b", "billing"))
    found = await facts.list_objects(POD, "", "")
    assert [item["metadata"]["name"] for item in found] == ["a", "b"]


async def test_one_object_alone_and_yaml_are_facts_too(tmp_path: Path) -> None:
    alone, listed = tmp_path / "pod.json", tmp_path / "facts.yaml"
    alone.write_bytes(orjson.dumps(manifest("Pod", "a")))
    listed.write_text(
        "kind: List\nitems:\n  - {kind: Pod, metadata: {name: a, namespace: shop, labels: {}}}\n"
    )
    for file in (alone, listed):
        assert await SnapshotFile(file).get(POD, "shop", "a") == manifest("Pod", "a")


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"4",
        b"null",
        b'{"items": []}',
        b'{"items": null}',
        b'{"items": [null]}',
        b'{"items": [{"kind": "Pod"}]}',
        b'{"items": [{"metadata": {"name": "a"}}]}',
        b'{"items": {"a": 1}}',
        b'{"items": 5}',
        b'{"items": [{"kind": "Pod", "metadata": "a"}]}',
        b'{"items": [{"kind": ["Pod"], "metadata": {"name": "a"}}]}',
        b"\xff\xfe\x00",
    ],
)
def test_what_holds_no_objects_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "facts.json"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot use the facts"):
        SnapshotFile(file)


def test_facts_that_are_not_there_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the facts"):
        SnapshotFile(tmp_path / "missing.json")
    with pytest.raises(ConfigurationError, match="cannot read the facts"):
        SnapshotFile(tmp_path)


def test_the_latest_and_the_earliest_times_can_be_replayed(saved: Path) -> None:
    far = {**alert("A", T), "startsAt": "9999-12-31T23:59:59Z"}
    early = {**alert("B", T), "startsAt": NOT_ENDED}
    saved.write_bytes(webhook(far) + b"\n" + webhook(early))
    first, last = read([saved])
    assert (first.alerts[0].name, last.alerts[0].name) == ("B", "A")
    assert first.at.tzinfo is not None
    assert last.at - timedelta(days=1) > datetime(2026, 1, 1, tzinfo=UTC)
