"""`hushpost keys`: the server's and the relay's keys. Shows ids and public keys, never a secret."""

import secrets
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from crypto.encoding import b64u
from crypto.keys import EpochKey, IdentityKey
from crypto.vapid import VapidKey
from server.cli.files import (
    FIRST_EPOCH,
    load_settings,
    make_relay_keys,
    make_server_keys,
    pass_key_path,
    relay_key_path,
    server_key_path,
    server_secret_path,
    vapid_key_paths,
)
from server.cli.keyfiles import (
    MAKE_RELAY,
    MAKE_SERVER,
    Key,
    KeyFileError,
    ServerSecret,
    append,
    describe,
    read_identity,
    read_keys_of,
    write_new,
)
from server.cli.terminal import USAGE, CommandError, ConfigOption, JsonOption, result, result_json, say
from server.config import Settings

commands = typer.Typer(no_args_is_help=True, help="Make, show and check the keys of a server or relay.")


class New(StrEnum):
    SERVER = "server"
    RELAY = "relay"
    IDENTITY = "identity"
    EPOCH = "epoch"
    SECRET = "secret"  # noqa: S105 - the name of a kind of key
    PASS = "pass"  # noqa: S105 - as above
    VAPID = "vapid"


FilesArgument = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE]…", help="Key files; else those of the settings.")
]


@commands.command()
def new(
    kind: Annotated[New, typer.Argument(help="`server` and `relay` make all that is missing of theirs.")],
    file: Annotated[Path | None, typer.Argument(help="Where to, for a single key.")] = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Make keys: all of a server's or a relay's, or a single one.

    An epoch key is written behind those in the relay's file and takes the next number; new handles are sealed with it.
    A relay's second identity key is written in the same way. A key that signs passes is an identity key in a file of its own,
    which the relay has no need of. A VAPID key is what browsers subscribe for (`[[relay.webpush]]`). Nothing is ever
    overwritten.
    """
    settings = load_settings(config).settings
    match kind:
        case New.SERVER:
            made = make_server_keys(settings)
        case New.RELAY:
            made = make_relay_keys(settings)
        case _:
            made = [file or _default_path(kind, settings)]
            _add(made[0], kind)
    to = say if as_json else result
    match kind:
        case New.PASS:
            _say_pass_key(made[0], to=to)
        case New.VAPID:
            _say_vapid_key(made[0], to=to)
        case _:
            for path in made:
                say(f"made {path}; keep a copy apart from the database: without it every phone pairs anew")
    if not made:
        say("nothing was missing")
    if as_json:
        result_json(_described(made))


def _say_pass_key(path: Path, *, to: Callable[[str], None]) -> None:
    say(
        f"made {path}; who has it can give out passes, so keep it where you do that, and not where the relay runs"
    )
    to(f'relay.pass_keys = ["{b64u(read_identity(path).public.raw)}"]')


def _say_vapid_key(path: Path, *, to: Callable[[str], None]) -> None:
    say(f"made {path}; keep a copy: without it every browser subscribes and pairs anew")
    to(f'[[relay.webpush]]\nkey_file = "{path}"')
    to(f"applicationServerKey {_described([path])[0]['applicationServerKey']}")


def _default_path(kind: New, settings: Settings) -> Path:
    match kind:
        case New.EPOCH:
            return relay_key_path(settings)
        case New.SECRET:
            return server_secret_path(settings)
        case New.PASS:
            return pass_key_path(settings)
        case New.VAPID:
            missing = [path for path in vapid_key_paths(settings) if not path.exists()]
            return missing[0] if missing else relay_key_path(settings).with_name("vapid.pem")
        case _:
            return server_key_path(settings)


def _add(path: Path, kind: New) -> None:
    held = read_keys_of(path, hint=MAKE_RELAY) if path.exists() else []
    key: Key
    match kind:
        case New.EPOCH:
            numbers = [key.number for key in held if isinstance(key, EpochKey)]
            key = EpochKey.generate(max(numbers, default=FIRST_EPOCH - 1) + 1, secrets.token_bytes)
        case New.SECRET:
            key = ServerSecret.generate(secrets.token_bytes)
        case New.VAPID:
            key = VapidKey.generate(secrets.token_bytes)
        case _:
            key = IdentityKey.generate(secrets.token_bytes)
    rotated = kind in (New.EPOCH, New.IDENTITY)
    if rotated and any(isinstance(old, EpochKey) for old in held):
        append(path, [key])  # a relay's file: rotation adds to it
    else:
        write_new(path, [key])


@commands.command()
def show(files: FilesArgument = None, config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show the ids and public keys, which are not secret."""
    paths = files or [path for path in _of_settings(config) if path.exists()]
    if not paths:
        raise CommandError(f"there are no keys yet; {MAKE_SERVER}", code=USAGE)
    shown = _described(paths)
    if as_json:
        result_json(shown)
        return
    for key in shown:
        result(f"{key['file']}: {key['type']} {key['id']}")
        if "publicKey" in key:
            result(f"  public key {key['publicKey']}")
        if "applicationServerKey" in key:
            result(f"  applicationServerKey {key['applicationServerKey']}")


@commands.command()
def check(files: FilesArgument = None, config: ConfigOption = None) -> None:
    """Check that key files are whole and that nobody else may read them."""
    paths = files or [path for path in _of_settings(config) if path.exists()]
    faults = []
    for path in paths:
        try:
            result(f"{path}: {len(_read(path))} keys, in order")
        except KeyFileError as error:
            faults.append(str(error))
    if faults or not paths:
        raise CommandError(*(faults or [f"there are no keys yet; {MAKE_SERVER}"]), code=USAGE)


def _described(paths: list[Path]) -> list[dict[str, str]]:
    return [{"file": str(path), **describe(key)} for path in paths for key in _read(path)]


def _of_settings(config: str | None) -> list[Path]:
    settings = load_settings(config).settings
    paths = [server_key_path(settings), server_secret_path(settings), relay_key_path(settings)]
    return [*paths, *vapid_key_paths(settings)]


def _read(path: Path) -> list[Key]:
    return read_keys_of(path, hint="name a file that is there")
