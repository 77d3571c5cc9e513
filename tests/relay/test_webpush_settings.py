"""What a configuration says about Web Push, and how it is told what is wrong."""

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crypto.encoding import b64u
from relay.config import ConfigError, RelayConfig
from relay.settings import RelaySettings, relay_config
from tests.relay.running import EPOCH, RELAY_KEY
from tests.relay.web import SUBJECT, VAPID, WEB

WRONG_CURVE = (
    ec.generate_private_key(ec.SECP384R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
FILES = {
    "relay.keys": f"{RELAY_KEY.text}\n{EPOCH.text}\n",
    "vapid.pem": VAPID.text,
    "scalar": f"{b64u(VAPID.scalar)}\n",
    "roots.pem": "roots",
}
APP = {"app": WEB, "subject": SUBJECT}


def read(**values: Any) -> RelayConfig:
    settings = msgspec.convert({"public_url": "https://relay.example", **values}, RelaySettings)
    return relay_config(settings, read_text=FILES.__getitem__, issue_unconfigured=False, redis_url="")


@pytest.mark.parametrize(
    "key",
    [{"key_file": "vapid.pem"}, {"key_file": "scalar"}, {"key": VAPID.text}, {"key": b64u(VAPID.scalar)}],
)
def test_a_key_is_read_from_a_file_or_the_setting_in_either_form(key: dict[str, str]) -> None:
    [app] = read(webpush=[APP | key]).webpush
    assert (app.app, app.subject) == (WEB, SUBJECT)


def test_services_are_named_and_led_elsewhere() -> None:
    found = read(
        webpush=[APP | {"key_file": "vapid.pem"}],
        webpush_hosts=["push.example.org", "*.push.example.net", "*"],
        webpush_connect=["Push.Example.Test=127.0.0.1:8443", "six.example.test=[::1]:9443", "a.b=push:443"],
        webpush_ca_file="roots.pem",
    )
    assert found.webpush_connect == {
        "push.example.test": ("127.0.0.1", 8443),
        "six.example.test": ("::1", 9443),
        "a.b": ("push", 443),
    }
    assert found.webpush_roots == "roots"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"webpush": [APP]}, "relay.webpush.key: give either"),
        ({"webpush": [APP | {"key": "a", "key_file": "vapid.pem"}]}, "relay.webpush.key: give either"),
        ({"webpush": [APP | {"key": "canary"}]}, "relay.webpush.key: .*hushpost keys new vapid"),
        ({"webpush": [APP | {"key": WRONG_CURVE}]}, "relay.webpush.key: not a key of P-256"),
        ({"webpush": [APP | {"key": b64u(bytes(32))}]}, "relay.webpush.key: not a private key"),
        (
            {"webpush": [APP | {"key_file": "vapid.pem", "subject": "me@example.org"}]},
            "relay.webpush.subject",
        ),
        ({"webpush": [APP | {"key_file": "vapid.pem", "app": "a b"}]}, "relay.webpush.app"),
        ({"webpush": [APP | {"key_file": "vapid.pem", "app": "x" * 156}]}, "relay.webpush.app"),
        ({"webpush": [APP | {"key_file": "vapid.pem"}] * 2}, "configured twice"),
        ({"webpush_hosts": ["https://push.example.org"]}, "relay.webpush_hosts"),
        ({"webpush_hosts": ["push.*.org"]}, "relay.webpush_hosts"),
        ({"webpush_hosts": ["push.example.org."]}, "relay.webpush_hosts"),
        ({"webpush_hosts": ["localhost"]}, "relay.webpush_hosts"),
        ({"webpush_connect": ["push.example.org"]}, "relay.webpush_connect"),
        ({"webpush_connect": ["push.example.org=127.0.0.1"]}, "relay.webpush_connect"),
        ({"webpush_connect": ["push.example.org=127.0.0.1:0"]}, "relay.webpush_connect"),
        ({"webpush_connect": ["=127.0.0.1:443"]}, "relay.webpush_connect"),
    ],
)
def test_a_faulty_setting_is_named_and_no_key_is_shown(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as refused:
        read(**values)
    assert "canary" not in str(refused.value)
    assert "PRIVATE KEY" not in str(refused.value)


def test_a_configuration_does_not_show_the_key() -> None:
    assert b64u(VAPID.scalar) not in repr(read(webpush=[APP | {"key": b64u(VAPID.scalar)}]))
