"""A paired phone's way: receiving over real APNs, fetching, claims, receipts, renewal, restart."""

# ruff: noqa: ASYNC240 - small local files, looked at between awaits

import json
import stat
from pathlib import Path

import pytest

from crypto.envelope import SIZES
from crypto.frame import Kind
from crypto.keys import IdentityKey
from simulator.home import Refused
from simulator.mail import DAY
from simulator.phone import Phone, Unpaired
from simulator.providers import Providers
from simulator.state import BadState, load
from tests.simulator.clients import Events, Reopen, Time
from tests.simulator.peer import Peer


async def test_a_push_is_told_with_its_size_and_times(phone: Phone, peer: Peer, events: Events) -> None:
    await peer.push(peer.make("hello"))
    await phone.shows("hello")
    (received,) = events.of("received")
    assert received["envelopeBytes"] in SIZES
    assert (received["messageId"], received["kind"]) == (str(peer.frames[0].message_id), Kind.MESSAGE)
    assert received["acceptedAt"] <= received["receivedAt"]


async def test_a_push_that_comes_twice_is_shown_once(
    phone: Phone, peer: Peer, providers: Providers, events: Events
) -> None:
    providers.behave(peer.push_token, duplicate=1)
    await peer.push(peer.make("once"))
    await peer.push(peer.make("after"))
    await phone.shows("after")
    assert [one.text for one in phone.inbox.log] == ["once", "after"]
    assert events.of("refused") == [{"event": "refused", "reason": "replay"}]


async def test_a_lost_push_is_fetched_when_the_next_one_comes(
    phone: Phone, peer: Peer, providers: Providers
) -> None:
    providers.behave(peer.push_token, drop=1)
    await peer.push(peer.make("lost"))
    await peer.push(peer.make("next"))
    await phone.shows("lost")
    assert [one.text for one in phone.inbox.log] == ["next", "lost"]
    assert peer.heard.fetches == [0]


async def test_a_lost_last_push_is_fetched_when_the_app_is_opened(
    phone: Phone, peer: Peer, providers: Providers
) -> None:
    providers.behave(peer.push_token, drop=1)
    await peer.push(peer.make("lost"))
    await phone.refresh()
    assert [one.text for one in phone.inbox.log] == ["lost"]


async def test_more_than_one_page_is_fetched(phone: Phone, peer: Peer) -> None:
    for number in range(205):
        peer.make(f"text {number}")
    await phone.refresh()
    assert len(phone.inbox.log) == 205
    assert peer.heard.fetches == [0, 100, 200]


async def test_what_was_shown_is_not_shown_again_after_a_restart(
    phone: Phone, peer: Peer, file: Path, reopen: Reopen
) -> None:
    await peer.push(peer.make("before"))
    await phone.shows("before")
    await phone.close()
    await peer.push(peer.make("meanwhile"))
    again = await reopen()
    await again.shows("meanwhile")
    assert [one.text for one in again.inbox.log] == ["before", "meanwhile"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_state_file_that_others_can_read_is_refused(phone: Phone, file: Path, reopen: Reopen) -> None:
    await phone.close()
    file.chmod(0o640)
    with pytest.raises(BadState, match="chmod 600"):
        await reopen()
    file.chmod(0o600)
    file.write_text("{}")
    with pytest.raises(BadState, match="pair again"):
        await reopen()


async def test_secrets_do_not_show_in_the_state(phone: Phone) -> None:
    shown = repr(phone._keeper.state)
    assert phone.pairing.device_token not in shown
    assert phone.pairing.push_token not in shown
    assert "hushpost-device" not in shown


async def test_a_wake_makes_the_phone_fetch_at_most_every_thirty_seconds(
    phone: Phone, peer: Peer, time: Time, events: Events
) -> None:
    peer.make("first")
    await peer.push_envelope(None)
    await phone.shows("first")
    peer.make("second")
    await peer.push_envelope(None)
    await events.until("woken", 2)
    await peer.push_envelope(None)
    await events.until("woken", 3)
    assert peer.heard.fetches == [0]
    time.now += 30
    phone.poke()
    await phone.shows("second")
    assert peer.heard.fetches == [0, 1]


async def test_what_does_not_open_shows_nothing_and_is_reported_once(
    phone: Phone, peer: Peer, events: Events
) -> None:
    altered = bytearray(peer.sealed(peer.make("altered")))
    altered[-1] ^= 1
    for _ in range(2):
        await peer.push_envelope(bytes(altered))
    await peer.push_envelope(peer.sealed(peer.frames[0], signer=IdentityKey.from_seed(bytes(32))))
    await events.until("refused", 3)
    assert phone.inbox.log == ()
    await phone.until(lambda inbox: not inbox.receipts)
    assert [(one["event"], one["reason"]) for one in peer.heard.receipts] == [("failed", "altered")]
    assert "messageId" not in peer.heard.receipts[0]


async def test_receipts_tell_received_shown_and_read(phone: Phone, peer: Peer) -> None:
    frame = peer.make("hello")
    await peer.push(frame)
    await phone.shows("hello")
    await phone.read(str(frame.message_id))
    await phone.until(lambda inbox: not inbox.receipts)
    assert [one["event"] for one in peer.heard.receipts] == ["received", "shown", "read"]
    assert {one["messageId"] for one in peer.heard.receipts} == {str(frame.message_id)}


async def test_receipts_wait_for_a_server_that_is_down(phone: Phone, peer: Peer, events: Events) -> None:
    peer.sabotage.down = True
    await peer.push(peer.make("hello"))
    await phone.shows("hello")
    await events.until("trying_again")
    assert peer.heard.receipts == []
    peer.sabotage.down = False
    await phone.until(lambda inbox: not inbox.receipts)
    assert len(peer.heard.receipts) == 2


LONG = 3000 * "long ✓ "


async def test_the_whole_of_a_preview_is_claimed_before_it_is_shown(phone: Phone, peer: Peer) -> None:
    await peer.push(peer.make_preview(LONG))
    await phone.shows(LONG)
    assert len(phone.inbox.log) == 1


async def test_a_preview_is_shown_when_its_claim_cannot_be_had_and_completed_later(
    phone: Phone, peer: Peer
) -> None:
    frame = peer.make_preview(LONG)
    peer.sabotage.down = True
    await peer.push(frame)
    await phone.shows(LONG[:10])
    peer.sabotage.down = False
    shown = await phone.shows(LONG)
    assert shown.replaces == str(frame.message_id)


async def test_a_claim_does_not_follow_redirects(phone: Phone, peer: Peer) -> None:
    frame = peer.make_preview(LONG)
    peer.sabotage.redirect_claims = f"{peer.url}/api/v1/device/claims/claim-1?elsewhere"
    await peer.push(frame)
    await phone.shows(LONG[:10])


async def test_an_altered_claim_is_refused_and_the_preview_stays(
    phone: Phone, peer: Peer, events: Events
) -> None:
    frame = peer.make_preview(LONG)
    peer.claims["claim-1"] = peer.claims["claim-1"][:-1] + b"x"
    await peer.push(frame)
    await phone.shows(LONG[:10])
    assert events.of("refused") == [{"event": "refused", "reason": "altered"}]
    assert [card.content.get("claim") for card in phone.inbox.visible] == [None]


async def test_retracting_reading_and_updating_reach_the_screen(phone: Phone, peer: Peer) -> None:
    one, two, three = peer.make("one"), peer.make("two"), peer.make("three")
    for frame in (one, two, three):
        await peer.push(frame)
    await peer.push(peer.make(kind=Kind.RETRACT, ids=[str(one.message_id)]))
    await peer.push(peer.make(kind=Kind.READ, ids=[str(two.message_id)]))
    await peer.push(peer.make("drei", kind=Kind.UPDATE, of=str(three.message_id)))
    await phone.shows("drei")
    assert [card.content["body"] for card in phone.inbox.visible] == ["drei"]


async def test_what_a_fetch_names_as_retracted_or_read_is_honoured(phone: Phone, peer: Peer) -> None:
    one, two = peer.make("one"), peer.make("two")
    await phone.refresh()
    peer.retracted, peer.read = [str(one.message_id)], [str(two.message_id)]
    await phone.refresh()
    assert phone.inbox.visible == ()
    assert list(phone.inbox.cards) == [str(two.message_id)]


async def test_a_restored_server_is_noticed_and_fetched_from_the_start(phone: Phone, peer: Peer) -> None:
    for number in range(5):
        await peer.push(peer.make(f"text {number}"))
    await phone.shows("text 4")
    peer.frames = peer.frames[:2]
    await peer.push(peer.make("after the restore"))
    await phone.shows("after the restore")
    await phone.until(lambda inbox: inbox.numbering.head == 3 and not inbox.fetch_due)
    assert peer.heard.fetches == [0]
    assert len(phone.inbox.log) == 6


async def test_a_handle_is_renewed_after_seven_days(
    phone: Phone, peer: Peer, time: Time, events: Events
) -> None:
    time.now += 7 * DAY / 1000
    phone.poke()
    await events.until("handle_renewed")
    assert peer.heard.renewed == ["handle-answered"]
    assert phone.pairing.handle_at == int(time() * 1000)


async def test_a_pushed_handle_renews_too(phone: Phone, peer: Peer) -> None:
    peer.sabotage.pushes_handles = True
    await phone.renew_handle()
    assert peer.heard.renewed == ["handle-pushed"]


async def test_a_key_is_replaced_after_thirty_days_and_the_old_one_opens_for_twenty_eight_more(
    phone: Phone, peer: Peer, time: Time, events: Events, file: Path
) -> None:
    old = peer.sealed(peer.make("sealed to the old key"))
    time.now += 30 * DAY / 1000
    phone.poke()
    await events.until("key_rotated")
    await peer.push_envelope(old)
    await phone.shows("sealed to the old key")
    await peer.push(peer.make("sealed to the new key"))
    await phone.shows("sealed to the new key")
    assert len(load(file).keys) == 2
    time.now += 28 * DAY / 1000
    await phone.refresh()
    assert len(load(file).keys) == 1
    assert peer.heard.keys[0]["suite"] == 2


async def test_a_key_that_the_server_may_not_have_is_kept_and_sent_again(
    phone: Phone, peer: Peer, file: Path, reopen: Reopen
) -> None:
    peer.sabotage.down = True
    with pytest.raises(Refused):
        await phone.rotate_key()
    await phone.close()
    made = load(file).keys[-1].text
    peer.sabotage.down = False
    again = await reopen()
    await again.refresh()
    assert [one.text for one in load(file).keys][-1] == made
    assert load(file).current.registered


async def test_unpairing_deletes_everything_on_both_sides(phone: Phone, peer: Peer, file: Path) -> None:
    await phone.unpair()
    assert not file.exists()
    assert peer.sabotage.forgot_device


async def test_a_phone_that_was_unpaired_elsewhere_forgets_everything(
    phone: Phone, peer: Peer, file: Path
) -> None:
    peer.sabotage.forgot_device = True
    await peer.push(peer.make("hello"))
    with pytest.raises(Unpaired):
        await phone.done()
    assert not file.exists()
    with pytest.raises(Unpaired):
        await phone.shows("never")


async def test_the_state_file_is_json_that_holds_the_log(phone: Phone, peer: Peer, file: Path) -> None:
    await peer.push(peer.make("kept"))
    await phone.shows("kept")
    assert json.loads(file.read_text())["inbox"]["log"][0]["text"] == "kept"
