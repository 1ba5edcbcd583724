"""Label selectors, written as a query parameter and read again."""

from typing import Any

import pytest

from remediator.errors import ClusterError
from remediator.model.selectors import selector_text, selects

LABELS = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("selector", "holds"),
    [
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["api"]}]}, False),
        (
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api", "db"]}]},
            True,
        ),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "NotIn", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "canary", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}]}, True),
        (
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front", "mid"]}],
            },
            True,
        ),
    ],
)
def test_what_is_written_selects_as_kubernetes_does(selector: dict[str, Any], holds: bool) -> None:
    assert selects(selector_text(selector), LABELS) is holds


def test_an_empty_selector_selects_nothing_and_no_query_everything() -> None:
    with pytest.raises(ClusterError, match="selects nothing"):
        selector_text({})
    assert selects("", LABELS)
