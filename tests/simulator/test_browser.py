"""A simulated browser: it subscribes for the relay's key, opens both layers of encryption, and shows what a phone shows."""

from typing import Any

import pytest

from crypto.frame import Kind
from crypto.webpush import SubscriptionKey
from simulator.home import Refused
from simulator.phone import Phone
from simulator.state import HANDLE_AGE
from simulator.subscription import Subscription
from tests.simulator.clients import Events, Pair, Reopen, Time
from tests.simulator.peer import Peer
from tests.simulator.webpush_client import fixed, token_of

BROWSER: dict[str, Any] = {"platform": "web", "suite": 1, "name": "Ada's browser"}


@pytest.fixture
async def browser(pair: Pair) -> Phone:
    return await pair(**BROWSER)


async def test_a_paired_browser_shows_what_is_pushed_to_it(browser: Phone, peer: Peer) -> None:
    await peer.push(peer.make("Backup finished ✓"))
    shown = await browser.shows("Backup finished ✓")
    assert shown.title == "Title"
    [paired] = peer.heard.pairs
    assert (paired["platform"], paired["suite"]) == ("web", 1)


async def test_it_asks_for_a_handle_with_its_subscription_and_without_a_token(
    browser: Phone, peer: Peer
) -> None:
    [asked] = peer.heard.handles
    assert (asked["provider"], asked["app"]) == ("webpush", "org.hushpost.web")
    assert "token" not in asked
    assert asked["subscription"].keys() == {"endpoint", "keys"}
    assert token_of(asked["subscription"]) == browser.pairing.push_token
    assert asked["subscription"]["keys"].keys() == {"p256dh", "auth"}


async def test_a_handle_that_is_pushed_reaches_the_pairing_and_a_strangers_does_not(
    pair: Pair, peer: Peer
) -> None:
    peer.sabotage.pushes_handles = True
    await pair(**BROWSER)
    assert peer.heard.pairs[0]["handle"] == "handle-pushed"


async def test_a_push_without_a_body_makes_it_fetch(browser: Phone, peer: Peer, events: Events) -> None:
    peer.make("lay on the server")
    await peer.push_envelope(None)
    await browser.shows("lay on the server")
    assert len(events.of("woken")) == 1


async def test_a_body_that_does_not_open_shows_nothing_and_is_reported_once(
    browser: Phone, peer: Peer, events: Events
) -> None:
    assert peer.subscription is not None
    other = Subscription.make(peer.subscription["endpoint"], SubscriptionKey.generate(fixed)).show()
    for _ in range(2):
        await peer.web.push(other, peer.sealed(peer.make("not for this browser")))
    await events.until("refused", 2)
    await peer.push(peer.make("for this browser"))
    await browser.shows("for this browser")
    assert [one["reason"] for one in events.of("refused")] == ["altered", "altered"]
    await browser.until(lambda inbox: not inbox.receipts)
    assert [one["reason"] for one in peer.heard.receipts if one["event"] == "failed"] == ["altered"]


async def test_json_of_another_kind_than_a_handle_is_no_envelope(
    browser: Phone, peer: Peer, events: Events
) -> None:
    assert peer.subscription is not None
    await peer.web.push(peer.subscription, b"{not JSON")
    await peer.push(peer.make("afterwards"))
    await browser.shows("afterwards")
    assert [one["reason"] for one in events.of("refused")] == ["malformed"]


async def test_it_goes_on_with_the_same_subscription_after_a_restart(
    browser: Phone, reopen: Reopen, peer: Peer
) -> None:
    await browser.close()
    await peer.push(peer.make("meanwhile"))
    again = await reopen()
    await again.shows("meanwhile")
    await peer.push(peer.make("afterwards"))
    await again.shows("afterwards")
    assert len(peer.heard.handles) == 1


async def test_it_renews_its_handle_with_the_same_subscription(
    browser: Phone, peer: Peer, time: Time, events: Events
) -> None:
    time.now += HANDLE_AGE / 1000
    browser.poke()
    await events.until("handle_renewed")
    first, second = peer.heard.handles
    assert first["subscription"] == second["subscription"]
    assert peer.heard.renewed == ["handle-answered"]


async def test_it_does_not_pair_where_the_relay_names_no_key_to_subscribe_for(pair: Pair, peer: Peer) -> None:
    peer.sabotage.no_web_push = True
    with pytest.raises(Refused, match="application_server_key_missing"):
        await pair(**BROWSER)
    assert peer.heard.handles == []


async def test_nothing_secret_stands_in_its_representation(browser: Phone) -> None:
    subscription = browser.pairing.subscription
    assert subscription is not None
    for secret in (subscription.endpoint, subscription.scalar, subscription.auth):
        assert secret not in repr(subscription)
        assert secret not in repr(browser.pairing)


async def test_an_edit_takes_the_place_of_what_it_shows(browser: Phone, peer: Peer) -> None:
    first = peer.make("Backup started")
    await peer.push(first)
    await browser.shows("Backup started")
    await peer.push(peer.make("Backup finished", kind=Kind.UPDATE, of=str(first.message_id)))
    shown = await browser.shows("Backup finished")
    assert shown.replaces == str(first.message_id)
    assert [card.content["body"] for card in browser.inbox.visible] == ["Backup finished"]


async def test_what_was_retracted_goes_when_it_fetches(browser: Phone, peer: Peer) -> None:
    first = peer.make("regretted")
    await peer.push(first)
    await browser.shows("regretted")
    peer.retracted.append(str(first.message_id))
    await browser.refresh()
    assert browser.inbox.visible == ()
