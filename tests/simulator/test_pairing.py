"""Pairing a phone: what it checks before it tells anything, and what it keeps."""

# ruff: noqa: ASYNC240 - small local files, looked at between awaits

from pathlib import Path

import pytest

from crypto.encoding import b64u
from crypto.keys import IdentityKey
from simulator.home import Refused
from simulator.identity import NotVerified
from simulator.link import BadLink
from simulator.phone import Phone
from tests.simulator.clients import Events, Fcm, Pair
from tests.simulator.peer import CODE, Peer


@pytest.mark.parametrize("suite", [1, 2])
async def test_a_paired_phone_shows_what_is_pushed_to_it(pair: Pair, peer: Peer, suite: int) -> None:
    phone = await pair(suite=suite)
    await peer.push(peer.make("Backup finished ✓"))
    shown = await phone.shows("Backup finished ✓")
    assert (shown.title, shown.replaces) == ("Title", None)
    assert peer.heard.pairs[0]["suite"] == suite
    assert peer.heard.pairs[0]["platform"] == "ios"


async def test_pairing_tells_the_fingerprint_that_the_server_shows(phone: Phone, events: Events) -> None:
    (paired,) = events.of("paired")
    assert paired["fingerprint"] == phone.fingerprint
    assert len(paired["fingerprint"].split()) == 6


async def test_a_handle_that_is_pushed_reaches_the_pairing_and_a_strangers_does_not(
    pair: Pair, peer: Peer
) -> None:
    peer.sabotage.pushes_handles = True
    await pair()
    assert peer.heard.pairs[0]["handle"] == "handle-pushed"


async def test_the_handle_is_bound_to_the_key_of_the_link(phone: Phone, peer: Peer) -> None:
    (asked,) = peer.heard.handles
    assert asked["server"] == peer.key.public.id == phone.pairing.server.id
    assert (asked["provider"], asked["app"]) == ("apns", "org.hushpost.app")


async def test_an_android_phone_receives_through_fcm(pair: Pair, peer: Peer, fcm: Fcm) -> None:
    phone = await pair(platform="android", suite=1)

    envelope = b64u(peer.sealed(peer.make("over FCM")))
    await fcm(
        {"message": {"token": peer.push_token, "data": {"hp": envelope}, "android": {"priority": "HIGH"}}}
    )
    await phone.shows("over FCM")
    await fcm({"message": {"token": peer.push_token, "data": {"hp": ""}}})
    await phone.until(lambda inbox: inbox.woken_at > 0)


async def test_a_server_of_another_key_hears_nothing(pair: Pair, peer: Peer) -> None:
    other = IdentityKey.from_seed(bytes(32)).public.id
    with pytest.raises(NotVerified, match="another server"):
        await pair(peer.link.replace(peer.key.public.id, other))
    assert peer.heard.handles == peer.heard.pairs == []


async def test_an_identity_signed_by_another_key_is_refused(pair: Pair, peer: Peer) -> None:
    peer.sabotage.impostor = IdentityKey.from_seed(bytes(32))
    with pytest.raises(NotVerified, match="signature"):
        await pair()
    assert peer.heard.handles == peer.heard.pairs == []


async def test_a_refused_code_leaves_nothing_behind(pair: Pair, peer: Peer, file: Path) -> None:
    peer.sabotage.pair_status = 403
    with pytest.raises(Refused, match="pairing_code_invalid"):
        await pair()
    assert not file.exists()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("hushpost://", "https://", "link"),
        ("s=http://127.0.0.1", "s=http://example.org", "s: https"),
        ("s=http://", "s=http://me@", "s: a plain URL"),
        (f"c={CODE}", "c=short", "c: 16 bytes"),
        (f"c={CODE}&", "", "c: exactly one"),
        ("&k=", "&c=x&k=", "c: exactly one"),
        ("&r=http://127.0.0.1", "&r=https://relay.example", "r: a relay that this app does not know"),
    ],
)
async def test_a_link_that_must_not_be_followed_is_refused(
    pair: Pair, peer: Peer, old: str, new: str, says: str
) -> None:
    with pytest.raises(BadLink, match=says) as refused:
        await pair(peer.link.replace(old, new))
    assert CODE not in str(refused.value)


async def test_a_relay_that_is_named_is_known_and_others_are_not(pair: Pair, peer: Peer) -> None:
    await pair(relays=[f"{peer.url}/relay/"])
    with pytest.raises(BadLink):
        await pair(relays=["https://relay.example"])
