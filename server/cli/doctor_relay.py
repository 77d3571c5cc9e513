"""What can be checked of the relay from here: whether it is the right one, takes our word, and has somewhere to push to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from crypto.encoding import b64u
from crypto.errors import CryptoError
from crypto.httpsig import SignatureFault
from crypto.keys import IdentityKey, IdentityPublicKey, read_jwks
from server.cli.doctor_findings import Finding, Findings, bad, good, unknown
from server.domain.relay import LITTLE
from server.worker.relay_look import Refused, RelayLook

_SKEW = 60  # seconds: PROTOCOL.md, section 4
_DRIFT = 5
_CLOCK = "set the clock, and keep it set: with systemd, timedatectl set-ntp true"


@dataclass(frozen=True)
class Trust:
    """Whose answers are believed, and why. Empty `keys`: whoever is seen first."""

    keys: Sequence[IdentityPublicKey]
    why: str


def trust(given: Sequence[IdentityPublicKey], stored: str | None) -> Trust:
    """Return what the server trusts: the configured keys, else those that it saw first and kept."""
    if given:
        return Trust(given, "server.relay_keys has them")
    try:
        kept = [] if stored is None else read_jwks(json.loads(stored))
    except (ValueError, CryptoError):
        kept = []
    return Trust(kept, "the server has trusted them since it saw them first")


async def look_at_relay(look: RelayLook, identity: IdentityKey | None, trusted: Trust) -> Findings:
    """Check from the outside in: each is only worth asking if the one before it was in order."""
    try:
        listed = await look.directory(trusted.keys)
    except Refused as refused:
        yield _unreachable(look, refused)
        yield _clock(look)
        return
    except SignatureFault as fault:
        yield _clock(look)
        yield _directory_refused(look, fault, trusted)
        return
    yield _clock(look)
    yield _keys(listed, trusted)
    if identity is None:
        yield unknown("admission", "cannot be asked for without the server's key", "see keys, above")
    else:
        yield await _admission(look, identity, listed)
    yield await _providers(look)


def _unreachable(look: RelayLook, refused: Refused) -> Finding:
    if refused.code == "unreachable":
        return bad(
            "relay",
            f"nothing answers at {look.reach} ({refused.said})",
            "check server.relay_url and server.relay_connect_url, the network, and that the relay runs;"
            " messages wait meanwhile",
        )
    return bad("relay", f"{look.reach} is no relay of Hushpost's: {refused.said}", "check server.relay_url")


def _clock(look: RelayLook) -> Finding:
    if look.skew is None:
        return unknown("clock", "no answer of the relay's has a date to compare with", "see relay")
    ahead = f"about {abs(look.skew):.0f} s {'ahead of' if look.skew > 0 else 'behind'} the relay's"
    if abs(look.skew) > _SKEW:
        return bad(
            "clock",
            f"this machine's clock is {ahead}: signatures more than {_SKEW} s off are refused",
            _CLOCK,
        )
    if abs(look.skew) > _DRIFT:
        return unknown("clock", f"this machine's clock is {ahead}: still good, but drifting", _CLOCK)
    return good("clock", "agrees with the relay's")


def _directory_refused(look: RelayLook, fault: SignatureFault, trusted: Trust) -> Finding:
    if fault.code in {"created_skew", "signature_expired"}:
        return bad("relay", f"the signature on its key directory is of another time ({fault.code})", _CLOCK)
    if fault.code == "key_mismatch" and trusted.keys:
        return bad(
            "relay",
            f"it shows keys that no trusted one vouches for; trusted are {_ids(trusted.keys)} ({trusted.why})",
            "ask the relay's operator: if it has new keys, set server.relay_keys to what its `hushpost keys show` prints;"
            " if not, somebody stands in between",
        )
    return bad(
        "relay",
        f"its key directory does not verify ({fault.code})",
        f"check that {look.url} is the relay's own relay.public_url, and that no proxy changes its answers",
    )


def _keys(listed: Sequence[IdentityPublicKey], trusted: Trust) -> Finding:
    if trusted.keys:
        return good("relay", f"it is the one that is trusted: {_ids(listed)} ({trusted.why})")
    pinned = ", ".join(f'"{b64u(key.raw)}"' for key in listed)
    return unknown(
        "relay",
        f"it shows the keys {_ids(listed)}, and the server will trust what it sees first",
        f"compare them with the relay's `hushpost keys show`; to settle it, set server.relay_keys = [{pinned}]",
    )


def _ids(keys: Sequence[IdentityPublicKey]) -> str:
    return ", ".join(key.id for key in keys)


async def _admission(look: RelayLook, identity: IdentityKey, listed: Sequence[IdentityPublicKey]) -> Finding:
    try:
        status = await look.status(identity, listed)
    except Refused as refused:
        return _refused(look, identity, refused)
    except SignatureFault as fault:
        return bad(
            "admission",
            f"the relay's answer does not verify ({fault.code})",
            "check that no proxy in between changes answers; nothing is settled by such an answer",
        )
    left = ", ".join(f"{one.remaining} of {one.limit} ({one.name})" for one in status.limits)
    found = f"the relay admits this server, {status.server}; left are {left or 'no limits'}"
    low = [one.name for one in status.limits if one.remaining < one.limit * LITTLE]
    if low:
        fix = "what is over a limit waits for the next minute; ask the relay's operator for more"
        return unknown("admission", f"{found}, which is little of {', '.join(low)}", fix)
    return good("admission", found)


def _not_admitted(own: str, *, by_pass: bool) -> Finding:
    if by_pass:
        found = "the relay admits servers by pass, and this one's is missing, expired or another's"
        return bad("admission", found, f"ask its operator for one for {own}, and set server.relay_pass to it")
    found = "the relay does not admit this server (key_not_admitted)"
    return bad("admission", found, f"give its operator this key id, for relay.allowlist: {own}")


def _refused(look: RelayLook, identity: IdentityKey, refused: Refused) -> Finding:
    own = identity.public.id
    match refused.code:
        case "key_not_admitted" | "pass_invalid":
            return _not_admitted(own, by_pass=refused.code == "pass_invalid")
        case "key_denied":
            return bad("admission", f"the relay's operator has denied the key {own}", "ask the operator why")
        case "created_skew" | "signature_expired":
            return bad("admission", f"the relay refuses the signature's time ({refused.code})", _CLOCK)
        case "signature_invalid":
            found = f"the relay refuses the signature: it is made for {look.url}, and the relay goes by another name"
            return bad("admission", found, "set server.relay_url to the relay's own relay.public_url")
        case "limited" | "starting" | "draining" | "nonce_store_full":
            return unknown(
                "admission", f"the relay cannot say now ({refused.code})", "run this again in a minute"
            )
        case _:
            said = refused.said or refused.code
            return bad(
                "admission", f"the relay did not say whether it admits this server: {said}", "see its log"
            )


async def _providers(look: RelayLook) -> Finding:
    try:
        apps = await look.apps()
        troubles = await look.troubles()
    except Refused as refused:
        return unknown("providers", f"the relay does not say ({refused.said or refused.code})", "see its log")
    if not apps:
        return bad(
            "providers",
            "the relay has no app to push to",
            "configure [[relay.apns]], [[relay.fcm]] or [[relay.webpush]] where the relay runs",
        )
    if troubles:
        return bad(
            "providers",
            f"credentials do not work: {'; '.join(troubles)}",
            "renew them where the relay runs; its log has the provider's answer",
        )
    named = ", ".join(f"{app.provider} {app.app} ({app.environment})" for app in apps)
    return good("providers", f"the relay pushes to {named}")
