"""A release of the version before, with its tokens and its
journal, is upgraded in place by Helm.
"""

import sqlite3
import urllib.error
from contextlib import closing

import pytest

from tests.e2e.walk import ROOT, Newcomer

FIXTURES = ROOT / "tests" / "fixtures"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kept", ["reuse", "reset-then-reuse"])
def test_an_older_release_is_upgraded_in_place_and_keeps_its_tokens_and_its_history(
    newcomer: Newcomer, kept: str
) -> None:
    newcomer.namespace, newcomer.release = f"earlier-{kept}", f"{kept}-remediator"
    place = f"{newcomer.release} {{}} --namespace {newcomer.namespace}"
    urls = (
        f"--set alertmanagerUrl={newcomer.alertmanager.url} --set"
        f" prometheusUrl=http://127.0.0.1:{newcomer.prometheus}"
    )
    old = FIXTURES / "charts" / "remediator-0.1.0.tgz"
    newcomer.run(f"helm install {place.format(old)} --create-namespace {urls}")
    before = newcomer.secret(newcomer.namespace, newcomer.release)
    journal = newcomer.pod / "var" / "lib" / "remediator" / "journal.db"
    journal.parent.mkdir(parents=True)
    with closing(sqlite3.connect(journal)) as connection:
        connection.executescript((FIXTURES / "journals" / "0001.sql").read_text())
        names = {row[0] for row in connection.execute("SELECT id FROM remediation")}
    newcomer.with_hooks(f"helm upgrade {place.format('helm/remediator')} --{kept}-values")
    newcomer.serve("remediator", *newcomer.kubelet())
    secrets = newcomer.pod / "etc" / "remediator" / "secrets"
    # Alertmanager and people go on with theirs
    assert {key: (secrets / key).read_bytes() for key in before} == before
    with pytest.raises(urllib.error.HTTPError):
        # Helm removed what the old chart made
        newcomer.secret(newcomer.namespace, newcomer.release)
    newcomer.env["REMEDIATOR_TOKEN_FILE"] = str(secrets / "operator")
    assert names <= {row["id"] for row in newcomer.remediator("list")}
