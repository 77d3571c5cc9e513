"""From a configuration file's values to a relay's configuration, and the errors on the way."""

import json
from typing import Any

import msgspec
import pytest

from crypto.encoding import b64u
from relay.config import Admission, ConfigError, Environment, RelayConfig
from relay.settings import RelaySettings, relay_config
from tests.relay.running import EPOCH, PASS_KEY, RELAY_KEY, SECOND_RELAY_KEY, SERVER_KEY, config

SECRET = "-----BEGIN PRIVATE KEY-----"
FILES = {
    "relay.keys": f"# relay\n{RELAY_KEY.text}\n{SECOND_RELAY_KEY.text}\n\n{EPOCH.text}\n",
    "no.keys": "",
    "no-epoch.keys": RELAY_KEY.text,
    "twice.keys": f"{RELAY_KEY.text}\n{EPOCH.text}\n{EPOCH.text}",
    "bad.keys": "hushpost-identity-1:abc",
    "key.p8": SECRET,
    "account.json": json.dumps({"project_id": "project", "private_key": SECRET, "token_uri": "https://a"}),
    "ca.pem": "roots",
}
MINIMAL = {"public_url": "https://relay.example/"}


def _read(**values: Any) -> RelayConfig:
    settings = msgspec.convert(MINIMAL | values, RelaySettings)
    return relay_config(settings, read_text=FILES.__getitem__, issue_unconfigured=False, redis_url="")


def test_little_is_needed() -> None:
    found = _read()
    assert found.public_url == "https://relay.example"
    assert found.identities == (RELAY_KEY, SECOND_RELAY_KEY)
    assert dict(found.epochs) == {EPOCH.number: EPOCH}
    assert found.admission is Admission.ALLOWLIST


def test_an_apns_key_serves_its_environments() -> None:
    entry = {
        "topic": "org.hushpost.app",
        "key_id": "KEY",
        "team_id": "TEAM",
        "key_file": "key.p8",
        "environments": ["production", "sandbox"],
    }
    apps = _read(apns=[entry]).apns
    assert [(app.environment, app.host, app.port) for app in apps] == [
        (Environment.PRODUCTION, "api.push.apple.com", 443),
        (Environment.SANDBOX, "api.sandbox.push.apple.com", 443),
    ]
    [app] = _read(
        apns=[entry | {"environments": ["sandbox"], "host": "h", "port": 1, "ca_file": "ca.pem"}]
    ).apns
    assert (app.key, app.host, app.port, app.roots) == (SECRET, "h", 1, "roots")


def test_a_service_account_names_its_project() -> None:
    [project] = _read(fcm=[{"service_account_file": "account.json"}]).fcm
    assert (project.project, project.endpoint) == ("project", "https://fcm.googleapis.com")
    changes = {"project": "other", "token_uri": "https://b", "endpoint": "https://c/"}
    [project] = _read(fcm=[{"service_account": FILES["account.json"], **changes}]).fcm
    assert (project.project, project.endpoint) == ("other", "https://c")
    assert json.loads(project.service_account)["token_uri"] == "https://b"


APNS = {"topic": "t", "key_id": "k", "team_id": "t"}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"public_url": "relay.example"}, "relay.public_url"),
        ({"public_url": "https://relay.example/?a"}, "relay.public_url"),
        ({"key_file": "no.keys"}, "no identity key"),
        ({"key_file": "no-epoch.keys"}, "no epoch key"),
        ({"key_file": "twice.keys"}, "number 7"),
        ({"key_file": "bad.keys"}, "relay.key_file: line 1"),
        ({"admission": "pass"}, "relay.pass_keys"),
        ({"pass_keys": ["short"]}, "relay.pass_keys"),
        ({"allowlist": ["short"]}, "relay.allowlist"),
        ({"denied": [SERVER_KEY.public.id + "x"]}, "relay.denied"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "relay.trusted_proxies"),
        ({"apns": [APNS]}, "relay.apns.key"),
        ({"apns": [APNS | {"key": "a", "key_file": "key.p8"}]}, "relay.apns.key"),
        ({"apns": [APNS | {"key": "a"}, APNS | {"key": "b"}]}, "configured twice"),
        ({"fcm": [{"service_account": SECRET}]}, "relay.fcm.service_account"),
        ({"fcm": [{"service_account": "[]"}]}, "relay.fcm.service_account"),
    ],
)
def test_a_faulty_setting_is_named_and_secrets_are_not_shown(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as refused:
        _read(**values)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "values", [{"unknown": 1}, {"limits": {"server": 0}}, {"admission": "all"}, {"handle_days": 0}]
)
def test_the_form_of_a_setting_is_checked_where_it_is_decoded(values: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        _read(**values)


def test_a_pass_key_is_a_public_key() -> None:
    found = _read(admission="pass", pass_keys=[b64u(PASS_KEY.public.raw)])
    assert found.pass_keys == (PASS_KEY.public,)


def test_a_configuration_does_not_show_its_secrets() -> None:
    shown = repr(_read(apns=[APNS | {"key": SECRET}], fcm=[{"service_account_file": "account.json"}]))
    settings = msgspec.convert(MINIMAL | {"apns": [APNS | {"key": SECRET}]}, RelaySettings)
    for text in (shown, repr(settings), repr(config())):
        assert SECRET not in text
        assert repr(EPOCH.secret) not in text
