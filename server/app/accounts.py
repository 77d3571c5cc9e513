"""Signing in and registering: what they need, and how often somebody may try."""

from argon2 import PasswordHasher

from relay.shared import Shared
from server.api.address import Proxies
from server.api.auth import Auth
from server.app.pieces import ServerPieces
from server.commands.accounts import AccountRules
from server.commands.derive import SESSIONS, derive, first_account_code
from server.commands.mint import Mint
from server.commands.passwords import Passwords
from server.commands.sessions import SignInLimits
from server.config import (
    AccountSettings,
    ServerSettings,
    Settings,
    is_for_this_machine,
    trusted_networks,
)
from server.domain.ports import Random
from server.domain.throttle import Quota, Throttle
from server.live.throttles import SharedThrottle

# A person's own mistakes fit; guessing does not. An address may be an office's. What strangers guess at an account leaves
# its owner, who is at another address, free, until there are so many addresses that only the account can be counted.
SIGN_INS_BY_PAIR = Quota("sign-in", 10, 300)
SIGN_INS_BY_ADDRESS = Quota("sign-in-address", 60, 300)
SIGN_INS_BY_ACCOUNT = Quota("sign-in-account", 300, 3600)
REGISTRATIONS_BY_ADDRESS = Quota("registration", 20, 3600)
_KEYS_REMEMBERED = 10_000


def auth_of(
    settings: Settings, pieces: ServerPieces, mint: Mint, passwords: Passwords, shared: Shared | None
) -> Auth:
    return Auth(
        db=pieces.db,
        clock=pieces.clock,
        random=pieces.random,
        passwords=passwords,
        mint=mint,
        rules=AccountRules(settings.accounts.registration, first_account_code(pieces.secret)),
        sign_ins=SignInLimits(
            by_address=_throttle(SIGN_INS_BY_ADDRESS, shared),
            by_pair=_throttle(SIGN_INS_BY_PAIR, shared),
            by_account=_throttle(SIGN_INS_BY_ACCOUNT, shared),
        ),
        registrations=_throttle(REGISTRATIONS_BY_ADDRESS, shared),
        loopback=is_for_this_machine(settings.server),
        proxies=proxies_of(settings.server),
    )


def _throttle(quota: Quota, shared: Shared | None) -> SharedThrottle:
    return SharedThrottle(Throttle(quota, keys=_KEYS_REMEMBERED), shared)


def passwords_of(settings: AccountSettings, random: Random) -> Passwords:
    hasher = PasswordHasher(
        time_cost=settings.argon2_time,
        memory_cost=settings.argon2_memory_kib,
        parallelism=settings.argon2_lanes,
    )
    return Passwords(hasher, random=random, threads=settings.argon2_threads, waiting=settings.argon2_waiting)


def proxies_of(settings: ServerSettings) -> Proxies:
    return Proxies(trusted_networks(settings), settings.forwarded_header)


def mint_of(pieces: ServerPieces) -> Mint:
    return Mint(derive(pieces.secret, SESSIONS), pieces.identity.public.id, pieces.random)
