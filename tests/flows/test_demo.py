"""The demonstration as a newcomer runs it, and the pipe that a script reads it through."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence

import psutil
import pytest

TEXT = 'Backup finished ✓ "quoted" <b>ü</b> 💥 ' + "and a line that is far wider than any terminal " * 5


def demo(arguments: Sequence[str], **settings: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "simulator.demo", *arguments],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_all_three_phones_show_exactly_the_text_in_any_locale_and_nobody_between_saw_it() -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = demo([TEXT], **plain)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    lines = out.decode("utf-8").splitlines()
    assert [line for line in lines if line.startswith("phone ")] == [
        f"phone iphone shows: {TEXT}",
        f"phone android shows: {TEXT}",
        f"phone browser shows: {TEXT}",
    ]
    assert any(
        re.fullmatch(r"apns +was given (1536|2304|2944) bytes of ciphertext; .*", line) for line in lines
    )
    assert any(
        re.fullmatch(r"fcm +was given (768|1536|2304|2944) bytes of ciphertext; .*", line) for line in lines
    )
    assert any(
        re.fullmatch(r"webpush +was given (768|1536|2304) bytes of ciphertext and 103 around it; .*", line)
        for line in lines
    )


def test_kept_it_runs_until_it_is_told_to_stop_and_leaves_no_process_behind() -> None:
    process = demo(["one\ntwo", "--keep"])
    assert process.stdout is not None
    said = []
    for line in iter(process.stdout.readline, b""):
        said.append(line.decode().rstrip("\n"))
        if line.startswith(b"Logs and data"):
            break
    assert r"phone iphone shows: one\ntwo" in said
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 6
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.parametrize("text", ["", "x" * 501])
def test_a_text_that_no_message_can_have_is_refused_before_anything_starts(text: str) -> None:
    process = demo([text])
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert b"a message has 1 to 500" in err


def test_a_step_that_fails_ends_it_with_the_cause() -> None:
    process = demo(["bell \x07"])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert b"demo: POST /api/v1/messages was answered 400: body: " in err
