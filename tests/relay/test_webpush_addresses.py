"""Where a subscription may point: how an endpoint may be written, and where its name may lead."""

import asyncio
import socket
import threading
from collections.abc import Sequence

import pytest
from yarl import URL

from relay.guard import GuardedResolver, Inside, SystemResolver, is_public
from relay.subscription import LONGEST_ENDPOINT, host_of, is_known, is_served

INSIDE = [
    "0.0.0.0",  # noqa: S104  nothing is bound to it
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2620:4f:8000::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2a00:1450::1%eth0",
    "127.1",
    "0x7f.1",
    "017700000001",
    "localhost",
    "",
    " 8.8.8.8",
    "8.8.8.8 ",
    "8.8.8.8.",
    "8.8.8.08",
    "8.8.8.8/32",
]
OUTSIDE = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "17.188.143.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "142.250.1.95",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2600::1",
    "2620:149::1",
    "2a00:1450:4001:82b::200a",
    "3ffe::1",
]

NOT_ENDPOINTS = [
    "",
    "https://",
    "https:///x",
    "push.example.org/x",
    "http://push.example.org/x",
    "HTTPS://push.example.org/x",
    "https:push.example.org/x",
    "https:/push.example.org/x",
    "https:\\\\push.example.org\\x",
    "//push.example.org/x",
    "ftp://push.example.org/x",
    "wss://push.example.org/x",
    " https://push.example.org/x",
    "https://push.example.org/x ",
    "https://push.example.org/x\n",
    "https://push.example.org/\tx",
    "https://push.exam\tple.org/x",
    "https://push.exam\nple.org/x",
    "https://push.example.org/x\x00",
    "https://push.example.org/x\x7f",
    "https://push.example.org",
    "https://push.example.org?x",
    "https://push.example.org./x",
    "https://push..example.org/x",
    "https://.push.example.org/x",
    "https://push.example.org:/x",
    "https://push.example.org:80/x",
    "https://push.example.org:0443/x",
    "https://push.example.org:8443/x",
    "https://push.example.org:443:443/x",
    "https://user@push.example.org/x",
    "https://user:password@push.example.org/x",
    "https://@push.example.org/x",
    "https://push.example.org@127.0.0.1/x",
    "https://127.0.0.1#@push.example.org/x",
    "https://127.0.0.1\\@push.example.org/x",
    "https://push.example.org\\.evil.example/x",
    "https://push%2eexample%2eorg/x",
    "https://push.example.org%00.evil.example/x",
    "https://push.example.org%2f@evil.example/x",
    "https://push.example.org/x#fragment",
    "https://push.example.org/%zz",
    "https://push.example.org/%2",
    "https://push.example.org/a b",
    'https://push.example.org/"',
    "https://push.example.org/<x>",
    "https://push.example.org/{x}",
    "https://push.example.org/\\x",
    "https://push.example.org/x|y",
    "https://push.example.org/[x]",
    "https://push.example.org/\u00fc",
    "https://p\u00fcsh.example.org/x",
    "https://push\u3002example\u3002org/x",
    "https://\uff11\uff12\uff17.0.0.1/x",
    "https://push.example.org\uff0fevil/x",
    "https://push_service.example.org/x",
    "https://-push.example.org/x",
    "https://push-.example.org/x",
    "https://push/x",
    "https://localhost/x",
    "https://localhost./x",
    "https://127.0.0.1/x",
    "https://127.1/x",
    "https://127.0.0.1./x",
    "https://2130706433/x",
    "https://0x7f000001/x",
    "https://0x7f.0.0.1/x",
    "https://0177.0.0.1/x",
    "https://127.0.0.0x1/x",
    "https://8.8.8.8/x",
    "https://8.8.8.8.in.1/x",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://[fe80::1%25eth0]/x",
    "https://[v1.x]/x",
    "https://[/x",
    "https://" + "a" * 64 + ".example.org/x",
    "https://" + "a." * 130 + "org/x",
    "https://push.example.org/" + "x" * LONGEST_ENDPOINT,
]
ENDPOINTS = {
    "https://fcm.googleapis.com/fcm/send/dEf-1:APA91bH_x": "fcm.googleapis.com",
    "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABl-_": "updates.push.services.mozilla.com",
    "https://web.push.apple.com/QNx0~x'()": "web.push.apple.com",
    "https://wns2-par02p.notify.windows.com/w/?token=BQY%3d%2bx&a=b": "wns2-par02p.notify.windows.com",
    "https://PUSH.Example.ORG/x": "push.example.org",
    "https://push.example.org:443/x": "push.example.org",
    "https://push.example.org/": "push.example.org",
    "https://push.example.org//a/../b;c=d,e:f@g!$&*+": "push.example.org",
    "https://xn--psh-hoa.example.org/x": "xn--psh-hoa.example.org",
    "https://push.xn--p1ai/x": "push.xn--p1ai",
    "https://8.8.8.8.example.org/x": "8.8.8.8.example.org",
    "https://" + "a" * 63 + ".example.org/x": "a" * 63 + ".example.org",
}


class Said:
    """A resolver that gives what a test says, and notes what it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def lookup(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        return self.addresses

    def close(self) -> None:
        self.asked.append("closed")


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("endpoint", NOT_ENDPOINTS)
def test_an_endpoint_has_one_spelling_and_a_public_name(endpoint: str) -> None:
    assert host_of(endpoint) is None


@pytest.mark.parametrize(("endpoint", "host"), ENDPOINTS.items())
def test_the_host_that_was_checked_is_the_one_that_is_connected_to(endpoint: str, host: str) -> None:
    assert host_of(endpoint) == host
    url = URL(endpoint, encoded=True)
    assert (url.scheme, (url.raw_host or "").lower(), url.port) == ("https", host, 443)
    assert url.raw_path_qs == "/" + endpoint.split("/", 3)[3]


@pytest.mark.parametrize(
    ("host", "hosts", "served", "known"),
    [
        ("push.example.org", ("push.example.org",), True, True),
        ("push.example.org", ("PUSH.example.org",), True, True),
        ("a.push.example.org", ("*.push.example.org",), True, True),
        ("push.example.org", ("*.push.example.org",), False, False),
        ("evilpush.example.org", ("*.push.example.org", "push.example.org"), False, False),
        ("push.example.org.evil.example", ("push.example.org", "*.example.org"), False, False),
        ("push.example.org", ("*",), True, False),
        ("push.example.org", ("*", "push.example.org"), True, True),
        ("push.example.org", (), False, False),
    ],
)
def test_a_service_is_known_where_the_operator_named_it(
    host: str, hosts: tuple[str, ...], *, served: bool, known: bool
) -> None:
    assert is_served(host, hosts) is served
    assert is_known(host, hosts) is known


async def test_a_name_leads_to_the_addresses_that_were_checked_and_is_asked_for_whole() -> None:
    resolver = Said("8.8.8.8", "2001:4860:4860::8888")
    found = await GuardedResolver(resolver, {}).resolve("Push.Example.ORG", 443)
    assert [(one["host"], one["port"], one["family"]) for one in found] == [
        ("8.8.8.8", 443, socket.AF_INET),
        ("2001:4860:4860::8888", 443, socket.AF_INET6),
    ]
    assert all(one["flags"] == socket.AI_NUMERICHOST for one in found)
    assert resolver.asked == ["push.example.org."]


@pytest.mark.parametrize("inside", ["127.0.0.1", "::ffff:127.0.0.1", "fe80::1%eth0", "169.254.169.254"])
async def test_a_name_with_one_address_inside_leads_nowhere(inside: str) -> None:
    for addresses in ((inside,), ("8.8.8.8", inside), (inside, "8.8.8.8")):
        with pytest.raises(Inside):
            await GuardedResolver(Said(*addresses), {}).resolve("push.example.org", 443)


async def test_a_name_with_many_addresses_is_tried_at_four() -> None:
    many = Said(*(f"8.8.8.{number}" for number in range(200)))
    assert len(await GuardedResolver(many, {}).resolve("push.example.org", 443)) == 4


async def test_a_fifth_address_inside_refuses_the_name_all_the_same() -> None:
    many = Said(*(f"8.8.8.{number}" for number in range(5)), "10.0.0.1")
    with pytest.raises(Inside):
        await GuardedResolver(many, {}).resolve("push.example.org", 443)


async def test_the_operator_may_lead_a_name_inside_and_to_another_port() -> None:
    resolver = Said("10.0.0.7")
    connect = {"push.example.org": ("127.0.0.1", 8443), "other.example.org": ("push", 9443)}
    guarded = GuardedResolver(resolver, connect)
    [found] = await guarded.resolve("PUSH.example.org", 443)
    assert (found["host"], found["port"], resolver.asked) == ("127.0.0.1", 8443, [])
    [found] = await guarded.resolve("other.example.org", 443)
    assert (found["host"], found["port"], resolver.asked) == ("10.0.0.7", 9443, ["push"])
    with pytest.raises(Inside):
        await guarded.resolve("push.example.com", 443)


async def test_the_systems_resolver_finds_each_address_once() -> None:
    resolver = SystemResolver(lambda _: True, known=1, others=1)
    found = await resolver.lookup("localhost")
    assert "127.0.0.1" in found
    assert len(set(found)) == len(found)
    resolver.close()


async def test_names_that_strangers_chose_hold_up_no_others_and_end_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system's resolver cannot be interrupted: here it says nothing of `slow.example` before the test is over."""
    over = threading.Event()

    def getaddrinfo(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if name == "slow.example":
            over.wait()
        return [(0, 0, 0, "", ("8.8.8.8", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("relay.guard.LOOKUP_SECONDS", 0.05)
    resolver = SystemResolver(lambda name: name == "known.example", known=1, others=1)
    names = ("slow.example", "other.example", "known.example.")
    try:
        slow, other, known = await asyncio.gather(*map(resolver.lookup, names), return_exceptions=True)
    finally:
        over.set()
        resolver.close()
    assert isinstance(slow, OSError)
    assert isinstance(other, OSError)  # had no thread
    assert known == ["8.8.8.8"]


async def test_closing_the_guard_closes_what_resolves() -> None:
    resolver = Said()
    await GuardedResolver(resolver, {}).close()
    assert resolver.asked == ["closed"]
