"""The metrics as documented, the dashboard and the alerts speak of the metrics that there are, and of no others."""

import json
import re
from pathlib import Path

from opsbot.web.metrics import LiveCollector

DOCS = Path(__file__).parents[2] / "docs"
NAME = re.compile(r"\bopsbot_[a-z_]+")


def exported() -> dict[str, set[str]]:
    """Every metric by the name it is scraped under, with its labels."""
    families = LiveCollector([]).collect()
    return {f.name + ("_total" if f.type == "counter" else ""): set(f._labelnames) for f in families}  # type: ignore[attr-defined]


def test_every_metric_is_documented_with_its_labels() -> None:
    rows = re.findall(r"^\| `(opsbot_\w+)` \| (.*?) \|", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == exported()


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    for file in ("prometheus-alerts.yml", "grafana-dashboard.json"):
        named = set(NAME.findall((DOCS / file).read_text()))
        assert named
        assert named <= exported().keys(), file


def test_each_panel_asks_the_data_source_and_the_hosts_that_were_chosen() -> None:
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text())
    variables = {each["name"] for each in dashboard["templating"]["list"]}
    assert variables == {"source", "host"}
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${source}"
            assert target["expr"].count("{") == target["expr"].count('instance=~"$host"'), panel["title"]
