"""`hushpost up`: from an empty folder to a server and a relay that answer."""

import json
import stat
from contextlib import closing
from http.client import HTTPConnection

import psutil

from tests.harness.hushpost import LIGHT, get, hushpost, start
from tests.server.cli.conftest import Up


def test_an_empty_folder_is_enough_and_ten_seconds_are(up: Up) -> None:
    assert get(f"{up.url}/healthz") == {"status": "ok"}
    assert up.ready_after < 10


def test_the_relay_answers_below_relay(up: Up) -> None:
    for path in ("healthz", "readyz", "v1/apps", ".well-known/http-message-signatures-directory"):
        assert get(f"{up.url}/relay/{path}") is not None


def test_the_relays_figures_need_what_the_servers_need(up: Up) -> None:
    for path in ("metrics", "relay/metrics", "relay/%6Detrics"):
        for method in ("GET", "HEAD"):
            assert asked(up, path, method)[0] == 401
    status, shown = asked(up, "relay/metrics", token=up.token)
    assert (status, b"hushpost_relay_request_seconds" in shown) == (200, True)


def asked(up: Up, path: str, method: str = "GET", token: str | None = None) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with closing(HTTPConnection(up.url.removeprefix("http://"), timeout=30)) as connection:
        connection.request(method, f"/{path}", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_it_says_how_to_go_on(up: Up) -> None:
    said = (up.folder / "err.log").read_text()
    assert f"export HUSHPOST_URL={up.url}" in said
    for step in ("hushpost register", "hushpost devices pair", "hushpost send", "hushpost tokens new"):
        assert step in said


def test_what_it_makes_is_its_owners_alone(up: Up) -> None:
    data = up.folder / "data"
    for file in (data, *data.rglob("*")):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_a_pairing_code_names_the_server_and_its_relay(up: Up) -> None:
    link = json.loads(up.run("devices", "pair", "--json").out)["link"]
    port = up.url.rpartition(":")[2]
    assert f"s=http%3A%2F%2F127.0.0.1%3A{port}&" in link
    assert link.endswith(f"r=http%3A%2F%2F127.0.0.1%3A{port}%2Frelay")


def test_a_port_that_is_taken_is_named(up: Up) -> None:
    listen = up.url.removeprefix("http://")
    done = hushpost("up", "--data", "other", "--listen", listen, folder=up.folder)
    assert done.code == 1
    assert done.err == (
        f"hushpost: cannot listen on {listen} (address already in use); choose another with --listen\n"
    )


def test_a_listen_address_of_the_wrong_form_is_named(up: Up) -> None:
    done = hushpost("up", "--data", "other", "--listen", "8080", folder=up.folder)
    assert done.code == 2
    assert done.err == 'hushpost: --listen: is not HOST:PORT, such as "127.0.0.1:8080" or "[::1]:8080"\n'


def test_killed_it_leaves_no_process_behind_and_comes_up_again_with_the_same_key(up: Up) -> None:
    folder = up.folder / "again"
    folder.mkdir()
    keys = set()
    for _ in range(2):
        process = start("up", "--data", "d", "--listen", "127.0.0.1:0", folder=folder, settings=LIGHT)
        assert process.stdout is not None
        process.stdout.readline()
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.kill()
        process.wait()
        process.stdout.close()
        assert psutil.wait_procs(children, timeout=10)[1] == []
        keys.add((folder / "d/keys/server.key").read_text())
    assert len(keys) == 1
