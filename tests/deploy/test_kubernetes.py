"""The manifests: a schema check takes them, and what they say of us is so."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # has no types
import pytest
import yaml  # type: ignore[import-untyped]  # as above
from aiohttp import web
from typer.main import get_command

from relay.app import build_relay
from server.cli import running, supervisor
from server.cli.configfile import load
from server.cli.program import app
from tests.relay.running import EPOCH, RELAY_KEY, config

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ["1.31", "1.37"]
Document = dict[str, Any]


def documents() -> Iterator[tuple[str, Document]]:
    for file in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text("utf-8")):
            yield file.name, document


ALL = dict(documents())
MANIFESTS = {name: one for name, one in ALL.items() if name != "kustomization.yaml"}


@pytest.fixture
def pod() -> Document:
    found: Document = ALL["deployment.yaml"]["spec"]["template"]["spec"]
    return found


@pytest.fixture
def relay(pod: Document) -> Document:
    [found] = pod["containers"]
    return dict(found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_schema_check_takes_it(name: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_the_schema_check_would_see_a_misspelt_field() -> None:
    deployment = yaml.safe_load((FOLDER / "deployment.yaml").read_text("utf-8"))
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 45
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


def test_everything_but_the_example_of_a_secret_is_applied() -> None:
    assert {*ALL["kustomization.yaml"]["resources"], "secrets.example.yaml"} == MANIFESTS.keys()


def test_the_containers_command_is_one_of_ours(relay: Document) -> None:
    """Parsed as it would be when it runs, down to the last option."""
    command, arguments = get_command(app), list(relay["args"])
    assert "command" not in relay, "the image's entry point is the command itself"
    with command.make_context("hushpost", arguments) as outer:
        name, sub, rest = command.resolve_command(outer, outer._protected_args + outer.args)  # type: ignore[attr-defined]  # a group's
        with sub.make_context(name, rest, parent=outer) as inner:
            assert (name, inner.invoked_subcommand) == ("relay", None)
            assert inner.params == {"config": "/etc/hushpost/relay.toml", "workers": 2}


def test_the_configuration_and_the_variables_are_settings_that_exist(relay: Document, tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(ALL["configuration.yaml"]["data"]["relay.toml"])
    environ = {one["name"]: one.get("value", "") for one in relay["env"]}
    settings = load(file, environ).settings
    assert settings.relay.listen == f"0.0.0.0:{relay['ports'][0]['containerPort']}"
    replicas = ALL["autoscaler.yaml"]["spec"]["maxReplicas"]
    assert settings.relay.processes == replicas * int(relay["args"][relay["args"].index("--workers") + 1])


def test_every_file_that_the_configuration_names_is_in_the_secret_and_copied(pod: Document) -> None:
    text = ALL["configuration.yaml"]["data"]["relay.toml"]
    named = set(re.findall(r'/data/keys/([\w.]+)"', text)) | {"relay.keys"}
    copied = {argument.removeprefix("/secrets/") for argument in pod["initContainers"][0]["args"]}
    assert named == copied
    assert named < ALL["secrets.example.yaml"]["stringData"].keys()


def test_nothing_in_them_is_secret() -> None:
    text = "".join(file.read_text("utf-8") for file in FOLDER.iterdir())
    assert not re.search(r"hushpost-(identity|epoch)-1:|PRIVATE KEY|eyJ", text)


def test_the_probes_ask_what_a_relay_answers(relay: Document) -> None:
    built = build_relay(
        config(identities=(RELAY_KEY,), epochs={EPOCH.number: EPOCH}), clock=lambda: 0, random=bytes
    )
    answered = {resource.canonical for resource in built.router.resources()}
    probes = [relay[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert {one["path"] for one in probes} == {"/healthz", "/readyz"} <= answered
    assert {one["port"] for one in probes} == {relay["ports"][0]["name"]}
    assert isinstance(built, web.Application)


def test_there_is_time_to_drain(pod: Document, relay: Document) -> None:
    """The pause before the signal, and all that the supervisor may take."""
    pause = int(relay["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = running._LINGER_SECONDS + running._FINISH_WITHIN
    assert drain < supervisor._END_WITHIN
    assert pause + supervisor._END_WITHIN < pod["terminationGracePeriodSeconds"]


def test_it_runs_without_privileges_and_writes_only_in_memory(pod: Document) -> None:
    assert pod["securityContext"]["runAsNonRoot"]
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    written = [volume for volume in pod["volumes"] if "emptyDir" in volume]
    assert all(volume["emptyDir"]["medium"] == "Memory" for volume in written)


def test_the_user_is_the_images_own(pod: Document) -> None:
    assert f"--uid {pod['securityContext']['runAsUser']} " in (ROOT / "Dockerfile").read_text("utf-8")


def test_what_belongs_together_has_the_same_label(pod: Document) -> None:
    labels = ALL["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    assert ALL["deployment.yaml"]["spec"]["selector"]["matchLabels"] == labels
    assert ALL["service.yaml"]["spec"]["selector"] == labels
    assert ALL["network-policy.yaml"]["spec"]["podSelector"]["matchLabels"] == labels
    assert ALL["disruption-budget.yaml"]["spec"]["selector"]["matchLabels"] == labels
    assert pod["volumes"]
