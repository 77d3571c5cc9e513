"""Settings: what wins over what, and what is said when something is wrong."""

from pathlib import Path

import pytest

from relay.config import Admission, Environment
from server.cli.configfile import ConfigFaults, load
from server.cli.settings_tree import Setting, all_settings
from server.config import database_url, listen_address, push_apps
from server.domain.device import Platform
from server.domain.relay import RelayApp

SETTINGS = list(all_settings())
NEEDED = {
    "apns": {
        "HUSHPOST_RELAY_APNS_0_TOPIC": "org.example",
        "HUSHPOST_RELAY_APNS_0_KEY_ID": "ABCDE12345",
        "HUSHPOST_RELAY_APNS_0_TEAM_ID": "FGHIJ67890",
    },
    "webpush": {
        "HUSHPOST_RELAY_WEBPUSH_0_APP": "web.example",
        "HUSHPOST_RELAY_WEBPUSH_0_SUBJECT": "mailto:ada@example.org",
    },
}
EXAMPLES = {
    "listen": "127.0.0.1:9",
    "public_url": "https://push.example",
    "relay_url": "https://relay.example",
    "relay_connect_url": "http://relay:8080",
    "database.url": "postgresql://db/hushpost",
    "redis.url": "rediss://ada:pass@[::1]:6380/2",
    "registration": "open",
    "admission": "open",
    "handle_delivery": "push",
    "level": "debug",
    "format": "json",
    "environments": "sandbox",
    "environment": "production",
    "provider": "apns",
    "issue_unconfigured": "true",
    "log_servers": "true",
    "body_bytes": "9000000",
    "client": "http2",
    "relay_keys": "AA" * 21 + "A",
    "relay_pass": "e30.e30.AA",
    "argon2_memory_kib": "9000",
    "trusted_proxies": "10.0.0.0/8",
    "forwarded_header": "Forwarded",
    "cors_origins": "https://app.example.org",
    "allowed_networks": "192.168.1.20/32",
}


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "hushpost.toml"
    file.write_text(text, "utf-8")
    return file


def faults(file: Path | None, environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigFaults) as raised:
        load(file, environ)
    return [str(fault) for fault in raised.value.faults]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_every_setting_can_be_given_by_its_variable(setting: Setting) -> None:
    value = EXAMPLES.get(setting.key) or EXAMPLES.get(str(setting.path[-1]), "7")
    needed = NEEDED.get(str(setting.path[1]), {})
    loaded = load(None, {**needed, setting.variable: value})
    assert loaded.places[setting.path] == setting.variable


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = written(tmp_path, '[relay.limits]\nserver = 7\ntoken = 8\n[relay]\nadmission = "open"\n')
    relay = load(file, {"HUSHPOST_RELAY_LIMITS_TOKEN": "9"}).settings.relay
    assert (relay.limits.server, relay.limits.token, relay.limits.handles) == (7, 9, 60)
    assert relay.admission is Admission.OPEN


def test_hushpost_config_names_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "[worker]\nbatch = 3\n")
    assert load(None, {"HUSHPOST_CONFIG": str(file)}).settings.worker.batch == 3


def test_apps_are_given_in_the_file_or_by_number_in_the_environment(tmp_path: Path) -> None:
    file = written(
        tmp_path, '[[relay.apns]]\ntopic = "org.example"\nkey_id = "A"\nteam_id = "B"\nkey_file = "k.p8"\n'
    )
    environ = {
        "HUSHPOST_RELAY_APNS_0_ENVIRONMENTS": "production, sandbox",
        "HUSHPOST_RELAY_FCM_0_PROJECT": "example",
    }
    relay = load(file, environ).settings.relay
    assert relay.apns[0].topic == "org.example"
    assert relay.apns[0].environments == (Environment.PRODUCTION, Environment.SANDBOX)
    assert relay.fcm[0].project == "example"


def test_a_secret_can_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://ada:pass@db/hushpost\n", "utf-8")
    settings = load(None, {"HUSHPOST_DATABASE_URL_FILE": str(secret)}).settings
    assert database_url(settings) == "postgresql://ada:pass@db/hushpost"


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hid/den@host:6379/0",
        "redis://ada:12#den@host",
        "redis://:hid?den@host",
        "redis://host:99999",
        "redis://host:0",
        "redis://hid@den@host",
        "http://host:6379",
        "redis://",
    ],
)
def test_a_redis_address_that_would_be_misread_is_refused_and_not_repeated(url: str) -> None:
    (fault,) = faults(None, {"HUSHPOST_REDIS_URL": url})
    assert "is not of the right form" in fault
    assert "den" not in fault.replace("percent-encoded", "")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:12#den@host/db",
        "postgresql://ada:hid/den@host/db",
        "postgresql://ada:hid?den@host/db",
        "postgresql://ada:hid@den@host/db",
        "postgresql://ada:hid:den@host/db",
        "postgresql://host:port/db",
        "postgresql://host:99999/db",
        "postgresql://[::1/db",
        "postgresql://host/db#den",
    ],
)
def test_a_database_address_that_would_be_misread_is_refused_and_not_repeated(url: str) -> None:
    (fault,) = faults(None, {"HUSHPOST_DATABASE_URL": url})
    assert "database.url" in fault.lower().replace("_", ".")
    assert "is not of the right form" in fault
    assert "percent-encode" in fault
    assert "den" not in fault


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///db?host=/var/run/postgresql",
        "postgres://ada@host",
        "postgresql://ada:p%23%2F%40@[::1]:5432/db?sslmode=verify-full",
        "postgresql://ada:p@one:5432,two:5433/db?target_session_attrs=read-write",
        "postgresql://ada:p@%2Fvar%2Frun/db",
    ],
)
def test_every_form_of_a_database_address_is_taken(url: str) -> None:
    assert load(None, {"HUSHPOST_DATABASE_URL": url}).settings.database.url == url


def test_what_is_not_secret_cannot_be_in_a_file_of_its_own() -> None:
    assert faults(None, {"HUSHPOST_LOG_LEVEL_FILE": "/dev/null"}) == [
        "HUSHPOST_LOG_LEVEL_FILE: there is no such setting; did you mean HUSHPOST_LOG_LEVEL?"
    ]


def test_all_faults_are_named_at_once_each_with_its_place_and_what_would_be_right(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        [server]
        listne = "127.0.0.1:8080"
        listen = "8080"
        relay_keys = ["x", 3]
        [relay]
        admission = "opne"
        [relay.limits]
        server = "many"
        [[relay.apns]]
        topic = "org.example"
        key_id = "A"
        """,
    )
    environ = {
        "HUSHPOST_SERVER_PUBLICURL": "https://push.example",
        "HUSHPOST_RELAY_LIMITS_TOKEN": "0",
        "HUSHPOST_DATABASE_URL_FILE": "/nowhere",
    }
    assert sorted(faults(file, environ)) == sorted(
        [
            "server.listne: there is no such setting; did you mean server.listen?",
            'server.listen: is not of the right form; write HOST:PORT, such as "127.0.0.1:8080" or "[::1]:8080"',
            (
                "server.relay_keys: item 1 is of the wrong type (int); write a list of words:"
                ' ["one", "two"] in the file, one,two in the environment'
            ),
            'relay.admission: is none of the words it can be; write one of "open", "allowlist", "pass"',
            "relay.limits.server: is of the wrong type (str); write a whole number from 1 to 1000000000",
            "relay.apns[0].team_id: is missing; write a text in quotes",
            "HUSHPOST_SERVER_PUBLICURL: there is no such setting; did you mean HUSHPOST_SERVER_PUBLIC_URL?",
            "HUSHPOST_RELAY_LIMITS_TOKEN: must be >= 1; write a whole number from 1 to 1000000000",
            (
                "HUSHPOST_DATABASE_URL_FILE: the file /nowhere cannot be read (No such file or directory);"
                " check its path and mode"
            ),
        ]
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server\n", "is not TOML"),
        ("accounts = 3\n", "accounts: is a table of settings; write [accounts] and the settings below it"),
        ("[relay]\napns = 3\n", "write [[relay.apns]] and the settings below it"),
        (
            "registration = 'open'\n",
            "registration: there is no such setting; did you mean accounts.registration?",
        ),
        (
            "[server]\nlisten = '127.0.0.1:99999'\n",
            "server.listen: the port is too large; a port is at most 65535",
        ),
        ("[server]\nrelay_keys = ['short']\n", "server.relay_keys: one is not a public key; copy each"),
        ("[server]\npublic_url = 'https://a.example/b'\n", "server.public_url: has a path; give the server"),
        ("[server]\ntrusted_proxies = ['all']\n", "server.trusted_proxies: "),
        ("[outgoing]\nallowed_networks = ['192.168.1.1/24']\n", "outgoing.allowed_networks: "),
        ("[database]\nurl = 'mysql://ada:hunter2@db/x'\n", "database.url: is not of the right form"),
    ],
)
def test_a_faulty_file_is_refused_with_a_reason(tmp_path: Path, text: str, said: str) -> None:
    found = faults(written(tmp_path, text), {})
    assert len(found) == 1
    assert said in found[0]
    assert "hunter2" not in found[0]


def test_values_that_do_not_fit_are_named_all_at_once() -> None:
    environ = {"HUSHPOST_SERVER_RELAY_KEYS": "x", "HUSHPOST_SERVER_TRUSTED_PROXIES": "x"}
    assert [fault.partition(":")[0] for fault in faults(None, environ)] == [
        "server.relay_keys",
        "server.trusted_proxies",
    ]


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path / "none.toml", {}) == [
        f"{tmp_path}/none.toml: cannot be read (No such file or directory); check its path and mode"
    ]


def test_a_misspelt_variable_of_an_app_is_answered_with_the_same_number() -> None:
    assert faults(None, {**NEEDED["apns"], "HUSHPOST_RELAY_APNS_0_TOPIK": "x"}) == [
        "HUSHPOST_RELAY_APNS_0_TOPIK: there is no such setting; did you mean HUSHPOST_RELAY_APNS_0_TOPIC?"
    ]


def test_the_clients_own_variables_are_no_settings() -> None:
    assert load(None, {"HUSHPOST_URL": "http://x", "HUSHPOST_TOKEN": "t", "HOME": "/"}).places == {}


def test_secrets_do_not_show_in_the_settings_text() -> None:
    environ = {
        **NEEDED["apns"],
        "HUSHPOST_DATABASE_URL": "postgresql://ada:hunter2@db/x",
        "HUSHPOST_RELAY_APNS_0_KEY": "hunter2",
        "HUSHPOST_RELAY_FCM_0_SERVICE_ACCOUNT": "hunter2",
    }
    assert "hunter2" not in repr(load(None, environ))


def test_an_ipv6_address_is_listened_on_without_its_brackets() -> None:
    assert listen_address("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize(
    "origin", ["https://app.example.org", "http://localhost:5173", "https://[2001:db8::1]:8443", "*"]
)
def test_an_origin_is_written_as_browsers_write_it(origin: str) -> None:
    assert load(None, {"HUSHPOST_SERVER_CORS_ORIGINS": origin}).settings.server.cors_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.org/",
        "https://app.example.org/path",
        "https://App.example.org",
        "https://app.example.org:443",
        "http://app.example.org:80",
        "https://user@app.example.org",
        "app.example.org",
        "https://*.example.org",
        "https://app.example.org:port",
        "null",
        "",
    ],
)
def test_what_no_browser_would_send_is_refused_as_an_origin(tmp_path: Path, origin: str) -> None:
    """It would never match: the page would be refused, and nobody could see why."""
    file = written(tmp_path, f'[server]\ncors_origins = ["{origin}"]\n')
    [fault] = faults(file, {})
    assert "cors_origins" in fault
    assert "no origin" in fault


def test_apps_of_push_tokens_go_by_what_a_device_runs_on() -> None:
    """Those of Firebase unless said otherwise; without a name it is the relay's only one."""
    given = {
        "HUSHPOST_APPS_IOS_PROVIDER": "apns",
        "HUSHPOST_APPS_IOS_APP": "org.example.app",
        "HUSHPOST_APPS_IOS_ENVIRONMENT": "sandbox",
        "HUSHPOST_APPS_ANDROID_APP": "example-app",
    }
    assert push_apps(load(None, given).settings.apps) == {
        Platform.IOS: RelayApp("apns", "org.example.app", "sandbox"),
        Platform.ANDROID: RelayApp("fcm", "example-app", "production"),
        Platform.WEB: RelayApp("fcm", "", "production"),
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"IOS_ENVIRONMENT": "sandbox"}, 'apps.ios.environment: FCM has no sandbox; write "production"'),
        ({"WEB_APP": "an app"}, "HUSHPOST_APPS_WEB_APP: is not of the right form; write the app's bundle id or"),
        ({"ANDROID_PROVIDER": "apns"}, "HUSHPOST_APPS_ANDROID_PROVIDER: there is no such setting"),
    ],
)  # fmt: skip
def test_an_app_that_cannot_be_is_refused(given: dict[str, str], said: str) -> None:
    [fault] = faults(None, {f"HUSHPOST_APPS_{name}": value for name, value in given.items()})
    assert fault.startswith(said)
