"""Whatever a message holds, its device gets all of it: in the envelope, or behind the claim that the envelope names."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crypto.claim import open_claim
from crypto.encoding import unb64u
from crypto.envelope import LARGEST_WEB_PUSH, SIZES, fits, open_envelope
from crypto.keys import DeviceKey, IdentityKey, Suite
from server.commands.previews import preview, write_json
from server.commands.sealing import Letter, letter_for, make_claim, seal_letters
from server.domain.delivery import Address, Kind, Parcel, State

SERVER = IdentityKey.from_seed(bytes([3]) * 32)
KEYS = {suite: DeviceKey.from_seed(suite, bytes([9]) * 32) for suite in Suite}
DEVICE = "01890a5d-ac96-774b-bcce-b302099a8057"
FRAME = "01890a5d-ac97-7a3c-8c2e-5d4f60718293"
NOISE = b"\x5a"

# Text that compresses badly, text that compresses well, and the two together.
_text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4000),
    st.builds(
        lambda text, n: text * n, st.text("ab é✓👍🏽\u200d\n", min_size=1, max_size=30), st.integers(1, 1500)
    ),
)
_LONG = "".join(chr(0x3041 + i * i % 20_000) for i in range(6000))
_contents = st.fixed_dictionaries(
    {"title": _text},
    optional={
        "body": _text,
        "subtitle": st.text(st.characters(exclude_categories=["Cs"]), max_size=100),
        "deliveryType": st.sampled_from(["NORMAL", "CRITICAL"]),
        "data": st.dictionaries(st.text("xyz", max_size=5), st.integers(), max_size=200),
        "tapAction": st.fixed_dictionaries({"type": st.just("NAVIGATE"), "value": _text}),
    },
)


def noise(length: int) -> bytes:
    return NOISE * length


def letter(content: dict[str, Any], suite: Suite, platform: str) -> Letter:
    parcel = Parcel(
        FRAME, FRAME, DEVICE, Kind.MESSAGE, FRAME, 7, State.LEASED, 1, 5, 9, "NORMAL", None, "{}", None
    )
    address = Address(DEVICE, platform, int(suite), KEYS[suite].public.raw, "handle", None)
    return letter_for(parcel, address, write_json(content))


def opened(envelope: bytes, suite: Suite) -> dict[str, Any]:
    frame = open_envelope(envelope, keys=[KEYS[suite]], device_id=UUID(DEVICE), server=SERVER.public)
    assert (str(frame.message_id), frame.sequence, frame.sent_at, frame.kind) == (FRAME, 7, 5, 1)
    body: dict[str, Any] = json.loads(frame.body)
    return body


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@example({"title": "x", "body": _LONG}, Suite.X25519, "web")
@example({"title": _LONG, "data": {"x": 1}}, Suite.XWING, "ios")
@given(_contents, st.sampled_from(Suite), st.sampled_from(["ios", "web"]))
def test_envelope_and_claim_give_back_the_whole_content(
    content: dict[str, Any], suite: Suite, platform: str
) -> None:
    whole = letter(content, suite, platform)
    [envelope] = seal_letters(SERVER, [whole])
    if isinstance(envelope, bytes):
        assert opened(envelope, suite) == content
        return
    stored = make_claim(whole, FRAME, now=1, random=noise)
    [envelope] = seal_letters(SERVER, [replace(whole, claim=stored.claim)])
    assert isinstance(envelope, bytes)
    assert len(envelope) == (LARGEST_WEB_PUSH if platform == "web" else SIZES[-1])
    check_preview(opened(envelope, suite), content, stored.blob)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@example({"title": "x", "body": _LONG}, Suite.X25519, "web")
@example({"title": _LONG, "data": {"x": 1}}, Suite.XWING, "ios")
@given(_contents, st.sampled_from(Suite), st.sampled_from(["ios", "web"]))
def test_what_is_kept_nowhere_is_cut_to_what_fits_and_says_so(
    content: dict[str, Any], suite: Suite, platform: str
) -> None:
    [envelope] = seal_letters(SERVER, [replace(letter(content, suite, platform), fleeting=True)])
    assert isinstance(envelope, bytes)
    shown = opened(envelope, suite)
    assert shown.keys() <= content.keys()
    for name, value in shown.items():
        cut = name in {"title", "body"} and value != content[name]
        assert value == content[name] or (cut and value[-1] == "…" and content[name].startswith(value[:-1]))


def check_preview(shown: dict[str, Any], content: dict[str, Any], blob: bytes) -> None:
    assert shown.pop("truncated") is True
    claim = shown.pop("claim")
    behind = open_claim(
        blob,
        message_id=UUID(FRAME),
        device_id=UUID(DEVICE),
        key=unb64u(claim["key"]),
        sha256=unb64u(claim["sha256"]),
        size=claim["size"],
    )
    assert json.loads(behind) == content
    for name, value in shown.items():
        assert content[name].startswith(value) if name in {"title", "body"} else content[name] == value


@pytest.mark.parametrize("suite", Suite)
def test_a_preview_is_as_full_as_it_gets(suite: Suite) -> None:
    content = {"title": "A long story", "body": _LONG}
    whole = letter(content, suite, "ios")
    claim = make_claim(whole, FRAME, now=1, random=noise).claim
    body = json.loads(preview(whole.body, claim, suite, SIZES[-1]))
    assert body["title"] == content["title"]
    more = body | {"body": content["body"][: len(body["body"]) + 40]}
    assert not fits(write_json(more), suite, SIZES[-1])


@pytest.mark.parametrize(("suite", "platform"), [(Suite.XWING, "ios"), (Suite.X25519, "web")])
def test_a_preview_says_it_all_and_what_can_be_done_before_it_has_pictures(
    suite: Suite, platform: str
) -> None:
    """What makes a message too large is left to the claim, and what is small beside it is there at once."""
    said = {"title": "Order", "subtitle": "Payment received", "body": "confirmed " * 50}
    done = {
        "tapAction": {"type": "DISMISS"},
        "actions": [{"type": "DELETE"}],
        "snoozes": [5],
        "tags": ["blue"],
    }
    pictures = [
        {"mediaType": "IMAGE", "url": f"https://example.com/{_LONG[n * 600 :][:600]}"} for n in range(9)
    ]
    content = {**said, **done, "attachments": pictures}
    whole = letter(content, suite, platform)
    claim = make_claim(whole, FRAME, now=1, random=noise).claim
    shown = json.loads(preview(whole.body, claim, suite, whole.largest))
    assert shown.keys() - {"truncated", "claim"} == said.keys() | done.keys()
    assert content.items() >= {name: shown[name] for name in said}.items()
    assert [shown[name] for name in done] == list(done.values())


@pytest.mark.parametrize("torn", ["e\u0301", "👍🏽", "👩\u200d🚀", "❤\ufe0f", "\r\n"])
def test_a_cut_does_not_tear_what_is_read_as_one_character(torn: str) -> None:
    for before in range(8):
        content = {
            "title": "t",
            "body": "x" * before + torn * 3000 + "".join(map(chr, range(0x4E00, 0x5E00))),
        }
        whole = letter(content, Suite.XWING, "ios")
        claim = make_claim(whole, FRAME, now=1, random=noise).claim
        text = json.loads(preview(whole.body, claim, Suite.XWING, SIZES[-1]))["body"]
        rest = content["body"][len(text) :]
        assert not (text.endswith(torn[:-1]) and rest.startswith(torn[-1]))


def test_a_device_without_a_key_has_nothing_sealed_for_it() -> None:
    parcel = Parcel(
        FRAME, FRAME, DEVICE, Kind.MESSAGE, FRAME, 7, State.LEASED, 1, 5, 9, "NORMAL", None, "{}", None
    )
    with pytest.raises(ValueError, match="without a key"):
        letter_for(parcel, Address(DEVICE, "ios", None, None, "handle", None), b"{}")


def test_secrets_do_not_show() -> None:
    whole = letter({"title": "canary"}, Suite.X25519, "ios")
    stored = make_claim(whole, FRAME, now=1, random=noise)
    assert "canary" not in repr(whole)
    assert "ZZZZ" not in repr(stored)
