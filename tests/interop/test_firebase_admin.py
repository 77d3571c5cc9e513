"""`firebase-admin` for Node and for Python, as they come, push to the simulated FCM over HTTP/1.1 and HTTP/2.

Neither can be told another address: the names of Google's hosts are led to the simulator below the library, which verifies
certificates as it always does.
"""

import json
from typing import Any

import pytest

from crypto.encoding import b64u
from simulator.providers import Providers
from tests.harness.others import node, python

pytestmark = pytest.mark.asyncio(loop_scope="package")

ENVELOPE, COLLAPSE = b64u(bytes(2304)), b64u(bytes(16))
NAMES = ("fcm.googleapis.com", "oauth2.googleapis.com", "www.googleapis.com")


def _given(providers: Providers, tokens: list[str], **more: Any) -> dict[str, Any]:
    return {
        "serviceAccountFile": str(providers.service_account_file),
        "lead": dict.fromkeys(NAMES, providers.fcm_url.removeprefix("https://")),
        "tokens": tokens,
        "envelope": ENVELOPE,
        "collapse": COLLAPSE,
        **more,
    }


def _fine_and_dead(providers: Providers) -> list[str]:
    tokens = [providers.token("fcm") for _ in range(3)]
    providers.uninstall(tokens[1])
    return tokens


def _check(providers: Providers, tokens: list[str], answers: list[Any], unregistered: str) -> None:
    assert [one["success"] for one in answers] == [True, False, True]
    assert answers[1]["error"] == unregistered
    assert answers[0]["messageId"].startswith(f"projects/{providers.project}/messages/")
    for token in (tokens[0], tokens[2]):
        [record] = [one for one in providers.recorded if one.token == token]
        message = json.loads(record.payload)["message"]
        assert message["data"] == {"hp": ENVELOPE}
        assert message["android"]["priority"].lower() == "high"
        assert message["android"]["collapse_key"] == COLLAPSE


@pytest.mark.parametrize("legacy", [False, True], ids=["http2", "http1"])
async def test_firebase_admin_for_node_pushes(providers: Providers, *, legacy: bool) -> None:
    tokens = _fine_and_dead(providers)
    given = _given(providers, tokens, legacy=legacy)
    answers = await node("firebase_admin.js", given, roots=providers.ca_file)
    _check(providers, tokens, answers, "messaging/registration-token-not-registered")


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
async def test_firebase_admin_for_python_pushes(providers: Providers, *, http2: bool) -> None:
    tokens = _fine_and_dead(providers)
    given = _given(providers, tokens, http2=http2)
    answers = await python("send_by_fcm.py", given, roots=providers.ca_file)
    _check(providers, tokens, answers, "UnregisteredError")
