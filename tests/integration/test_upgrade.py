"""A journal that an older version left, with remediations in flight, is migrated and goes on.

Nothing is done twice.
"""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remediator.errors import ConfigurationError
from remediator.journal.reading import reading
from remediator.journal.sql import HEAD
from remediator.model.alert import Alert, AlertStatus
from remediator.model.call import STAMP
from remediator.model.plan import from_json, to_json
from tests.integration.world import RESTART, ROLL_BACK, World, rules
from tests.unit.actions.test_actions import planned
from tests.unit.objects import WEB, facts

OLD = Path(__file__).parent.parent / "fixtures" / "journals" / "0001.sql"
LEFT_AT = datetime(2026, 5, 1, 12, 1, 16, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ASK = (
    "name: ask, match: ['alertname=\"Ask\"'], mode: approve, steps: [{action: restart_workload, if:"
    " always}]"
)
MORE = (
    "name: more, match: ['alertname=\"Slow\"'], steps: [{action: scale_workload, if: always, with:"
    " {by: 2}}]"
)


def written(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD.read_text())
    return path


def found_again(world: World, path: Path) -> None:
    """The cluster as the older version left it.

    Web rolled back, more scaled, the others not touched.
    """
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT kind, namespace, name, uid FROM remediation WHERE uid != ''"
        ).fetchall()
        attempts = dict(
            connection.execute(
                "SELECT r.name, a.id FROM attempt a JOIN remediation r ON r.id = a.remediation"
            )
        )
        alerts = connection.execute("SELECT fingerprint, alert FROM episode WHERE open").fetchall()
    for name in ("ask", "held", "gone", "more"):
        world.cluster.create_workload(
            "Deployment", "shop", name, f"{name}:1", replicas=5 if name == "more" else 3
        )
    for number in range(20):  # enough that six in trouble are no storm
        world.cluster.create_workload("Deployment", "shop", f"other{number}", "other:1", replicas=1)
    for kind, namespace, name, uid in rows:
        obj = world.cluster.objects[kind, namespace, name]
        for other in world.cluster.objects.values():
            for owner in other["metadata"].get("ownerReferences", []):
                owner["uid"] = uid if owner["uid"] == obj["metadata"]["uid"] else owner["uid"]
        obj["metadata"]["uid"] = uid
    world.cluster.objects["Deployment", "shop", "web"]["metadata"]["annotations"] = {
        STAMP: attempts["web"]
    }
    for name in ("held", "gone", "api"):
        world.leak(name)
    for fingerprint, text in alerts:
        labels = json.loads(text)["labels"]
        world.alertmanager.delivered(
            "s", [Alert(fingerprint, AlertStatus.FIRING, labels, {}, LEFT_AT, None)]
        )
    world.alertmanager.silenced.add("Leak-held")


async def test_an_older_journal_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path / "j.db")
    world = World(rules(ROLL_BACK, RESTART, ASK, MORE), f"sqlite:///{path}")
    found_again(world, path)
    world.clock.time = LEFT_AT
    await world.journal.open(world.clock.now())
    world.boot(LEFT_AT - timedelta(hours=1))
    await world.run(2 * MINUTE)
    live: dict[str, Any] = {row["target"].rsplit("/")[-1]: row for row in await world.rows()}
    shown = {name: (row["state"], row["reason"]) for name, row in live.items()}
    assert shown == {
        "web": ("verifying", None),
        "more": ("verifying", None),
        "ask": ("awaiting_approval", "approval_required"),
        "held": ("held", "silenced"),
        "gone": ("verifying", None),
        "api": ("verifying", None),
    }
    called = sorted(call.split(" ")[1] for _, call in world.cluster.calls)
    # web and more were done before
    assert called == ["Deployment/shop/api", "Deployment/shop/gone"]
    for name, app in (("Crash", "web"), ("Slow", "more"), ("Leak", "gone"), ("Leak", "api")):
        await world.deliver(name, app, firing=False)
    await world.run(7 * MINUTE)
    ended = {
        row["target"].rsplit("/")[-1]: row["state"]
        for row in await world.rows()
        if row["state"] == "succeeded"
    }
    assert sorted(ended) == ["api", "gone", "more", "web"]
    assert len(world.cluster.calls) == 2
    while await world.journal.seal(world.clock.now()):
        pass
    await world.journal.close()
    with reading(f"sqlite:///{path}") as connection:
        from remediator.journal import seals

        assert seals.verify(connection).findings == []
        ages = (
            connection.exec_driver_sql(
                "SELECT at FROM outbox WHERE delivered_at < 1777636870000000"
            )
            .scalars()
            .all()
        )
        # what was told before is as old as it is, and is forgotten in its time
        assert ages == [1777636810000000]


def test_a_rollout_that_an_older_version_began_may_still_delete_its_stuck_pods() -> None:
    stored = to_json(planned(facts()))
    del stored["touches"]
    (touch,) = from_json({**stored, "takes": 1}).touches
    assert (touch.target, touch.takes, touch.outage) == (WEB, 1, True)


def test_an_older_journal_is_not_read_before_it_is_migrated(tmp_path: Path) -> None:
    path = written(tmp_path / "j.db")
    with (
        pytest.raises(ConfigurationError, match=f"schema is 0001 but this version needs {HEAD}"),
        reading(f"sqlite:///{path}"),
    ):
        pass
