"""`hushpost relay pass`: lets a server in where `relay.admission` is "pass"."""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from crypto.encoding import b64u, unb64u
from crypto.errors import CryptoError
from crypto.keys import IdentityKey, IdentityPublicKey
from relay.config import Admission
from server.cli.files import load_settings, pass_key_path
from server.cli.keyfiles import KeyFileError, read_keys_of
from server.cli.terminal import (
    FAILED,
    USAGE,
    CommandError,
    ConfigOption,
    JsonOption,
    result,
    result_json,
    say,
)
from server.config import Settings

DAY = 86_400
_MAKE_PASS = "make it with: hushpost keys new pass"  # noqa: S105 - advice

commands = typer.Typer(no_args_is_help=True, help="Give out passes to servers, and look at them.")

KeyOption = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The key that signs passes; else relay.pass among the keys."),
]

# `passes` is imported where it is needed: it brings JWT, and `hushpost relay` should not wait for that.


@commands.command()
def issue(
    server: Annotated[
        str, typer.Option("--server", metavar="KEYID", help="As the server's `hushpost keys show` prints it.")
    ],
    quota: Annotated[
        int | None,
        typer.Option("--quota", metavar="N", min=1, help="Pushes a minute; else the relay's own limit."),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", metavar="D", min=1, max=90, help="How long it is good.")
    ] = 90,
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Print a pass for a server, which its operator writes into server.relay_pass. It is a secret between you and them."""
    from relay.passes import read_pass, sign_pass  # noqa: PLC0415 - see above

    _check_key_id(server)
    settings = load_settings(config).settings
    signer = _signer(key or pass_key_path(settings))
    relay = settings.relay.public_url.rstrip("/")
    token = sign_pass(
        signer, server=server, relay=relay, quota=quota, now=int(time.time()), seconds=days * DAY
    )
    _say_what_is_missing(settings, signer)
    claims = read_pass(token) or {}
    say(f"a pass for {server} at {relay}, {_quota(quota)}, good until {_time(claims['exp'])}")
    result(token)


def _check_key_id(text: str) -> None:
    try:
        unb64u(text, 32)
    except CryptoError:
        raise CommandError(
            "--server: is not a key id, which has 43 characters; the server's `hushpost keys show` prints it",
            code=USAGE,
        ) from None


def _signer(path: Path) -> IdentityKey:
    found = [key for key in read_keys_of(path, hint=_MAKE_PASS) if isinstance(key, IdentityKey)]
    if len(found) != 1:
        raise KeyFileError(f"{path}: holds {len(found)} identity keys, one signs passes; {_MAKE_PASS}")
    return found[0]


def _say_what_is_missing(settings: Settings, signer: IdentityKey) -> None:
    public = b64u(signer.public.raw)
    if public not in settings.relay.pass_keys:
        say(f'the relay does not take it yet: add "{public}" to relay.pass_keys, and send it a SIGHUP')
    if settings.relay.admission is not Admission.PASS:
        say(f'nobody needs it yet: relay.admission is "{settings.relay.admission}"')


@commands.command()
def show(
    token: Annotated[str, typer.Argument(metavar="PASS", help="The pass, or - for standard input.")],
    key: KeyOption = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show what a pass says, and whether the relay would take it. Ends with 1 where it would not."""
    from relay.passes import read_pass, why_refused  # noqa: PLC0415 - see above

    text = (sys.stdin.read() if token == "-" else token).strip()  # noqa: S105 - standard input
    claims = read_pass(text)
    if claims is None:
        raise CommandError(
            "this is no pass: three words of base64url with dots between, as `issue` prints it"
        )
    settings = load_settings(config).settings
    keys = _known_keys(settings, key)
    refused = why_refused(text, keys=keys, relay=settings.relay.public_url, now=time.time())
    shown = _shown(claims) | {"good": refused is None} | ({} if refused is None else {"refused": refused})
    if as_json:
        result_json(shown)
    else:
        for name, value in shown.items():
            result(f"{name}: {value}")
    if refused is not None:
        raise CommandError(f"{settings.relay.public_url} would refuse it: {refused}", code=FAILED)


def _known_keys(settings: Settings, key: Path | None) -> Sequence[IdentityPublicKey]:
    path = key or pass_key_path(settings)
    of_file = [_signer(path).public] if key is not None or path.exists() else []
    try:
        return [*of_file, *(IdentityPublicKey(unb64u(text, 32)) for text in settings.relay.pass_keys)]
    except CryptoError:
        raise CommandError(
            "relay.pass_keys: each must be a raw Ed25519 public key, b64u of 32 bytes", code=USAGE
        ) from None


def _shown(claims: dict[str, Any]) -> dict[str, Any]:
    return {
        "server": claims.get("sub"),
        "relay": claims.get("aud"),
        "quota": _quota(claims.get("quota")),
        "issued": _time(claims.get("iat")),
        "expires": _time(claims.get("exp")),
        "key": claims.get("kid"),
    }


def _quota(quota: Any) -> str:
    return "the relay's own limit" if quota is None else f"{quota} pushes a minute"


def _time(seconds: Any) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (TypeError, ValueError, OverflowError, OSError):
        return "not said"
