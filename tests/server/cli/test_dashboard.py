"""What an operator watches: the dashboards and the alerts ask for nothing that a running server or relay does not export."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # has no types
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from relay.wire import ERROR_STATUS
from server.cli.figures import of_the_only_process
from server.cli.relay_app import relay_app
from server.worker.reasons import label_of
from tests.harness.hushpost import get_text
from tests.relay.running import config
from tests.server.cli.conftest import Up

DOCS = Path(__file__).parents[3] / "docs"
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}
METRIC = re.compile(r"\b(?:hushpost|process)_[a-z0-9_]+")
VARIABLE = re.compile(r"\$\{?(\w+)")
GRAFANAS_OWN = {"__rate_interval", "__all"}
ROLES = {"server": "host-it.md", "relay": "run-a-relay.md"}
"""Each with the page that has its alerts."""


@pytest.fixture(scope="module", params=ROLES)
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def dashboard(role: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCS / "grafana" / f"hushpost-{role}.json").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def exported(role: str, request: pytest.FixtureRequest) -> set[str]:
    return names(relay_figures() if role == "relay" else server_figures(request.getfixturevalue("up")))


def server_figures(up: Up) -> str:
    return get_text(f"{up.url}/metrics", up.token)


def relay_figures() -> str:
    """What a relay exports that has all there may be: it need not run for that."""
    figures = of_the_only_process()
    relay_app(config(redis_url="redis://127.0.0.1:1/0"), figures)
    return generate_latest(figures.shown).decode()


def names(text: str) -> set[str]:
    families = text_string_to_metric_families(text)
    return {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}


def graphs(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def test_every_metric_of_the_dashboard_is_exported(dashboard: dict[str, Any], exported: set[str]) -> None:
    queries = [target["expr"] for panel in graphs(dashboard) for target in panel["targets"]]
    queries += [variable["definition"] for variable in dashboard["templating"]["list"][1:]]
    asked = {name for query in queries for name in METRIC.findall(query)}
    assert len(asked) > 15
    assert asked - exported == set()


def test_every_metric_of_the_alerts_is_exported(role: str, exported: set[str]) -> None:
    text = (DOCS / ROLES[role]).read_text("utf-8")
    alerts = re.findall(r"expr: (.*)", text)
    asked = {name for expression in alerts for name in METRIC.findall(expression)}
    assert len(alerts) == len(re.findall(r"- alert:", text)) > 4
    assert asked - exported == set()


def test_the_dashboard_has_what_grafana_needs_to_import_it(role: str, dashboard: dict[str, Any]) -> None:
    """A new one (no id), a schema, a place and a type for each panel, a data source that is chosen when it is imported."""
    assert dashboard["id"] is None
    assert dashboard["uid"] == f"hushpost-{role}"
    assert dashboard["schemaVersion"] >= 36
    assert {"title", "time", "templating", "panels", "refresh"} <= dashboard.keys()
    source, *others = dashboard["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    mine = {"type": "prometheus", "uid": f"${{{source['name']}}}"}
    assert all(variable["datasource"] == mine for variable in others)
    for panel in graphs(dashboard):
        assert panel["datasource"] == mine
        assert panel["title"]
        assert panel["description"]
        assert panel["type"] in {"timeseries", "stat"}
        assert {"defaults", "overrides"} == panel["fieldConfig"].keys()
        assert all(target["datasource"] == mine for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_panels_have_ids_of_their_own_and_do_not_overlap(dashboard: dict[str, Any]) -> None:
    places: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        covered = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not covered & places
        assert at["x"] + at["w"] <= 24
        places |= covered
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_every_variable_that_is_used_is_there(dashboard: dict[str, Any]) -> None:
    named = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(VARIABLE.findall(json.dumps(dashboard)))
    assert used - GRAFANAS_OWN <= named


def test_the_alerts_are_rules_as_prometheus_reads_them(role: str) -> None:
    [block] = re.findall(r"```yaml\n(groups:.*?)```", (DOCS / ROLES[role]).read_text("utf-8"), re.DOTALL)
    [group] = yaml.safe_load(block)["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(names) == len(set(names))
    for rule in group["rules"]:
        assert {"alert", "expr"} <= rule.keys() <= {"alert", "expr", "for"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))


def test_codes_and_reasons_that_a_relay_is_asked_for_are_its_own() -> None:
    asked = (DOCS / "grafana" / "hushpost-relay.json").read_text("utf-8").replace('\\"', '"')
    asked += (DOCS / ROLES["relay"]).read_text("utf-8")
    codes = words(r'refused_total\{[^}]*code=~?"([^"]+)"', asked)
    assert len(codes) > 3
    assert codes <= ERROR_STATUS.keys()
    reasons = words(r'[{,]reason[=!]~?"([^"]+)"', asked)
    assert len(reasons) > 5
    assert {label_of(one) for one in reasons} == reasons


def words(pattern: str, text: str) -> set[str]:
    return {word for found in re.findall(pattern, text) for word in found.split("|")}
