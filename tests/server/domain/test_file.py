"""What is left of a file's name and type as a stranger gave them."""

import pytest

from server.domain.file import clean_name, clean_type


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("  spaced name .txt ", "spaced name.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\cat.png", "cat.png"),
        ('say "hi".txt', 'say "hi".txt'),
        ("two\r\nlines: x.txt", "twolines: x.txt"),
        ("nul\x00.txt", "nul.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("דוח.pdf", "דוח.pdf"),
        ("half\ud800.txt", "half.txt"),
        (".htaccess", "htaccess"),
        ("...", "file"),
        ("a/", "file"),
        ("", "file"),
        (None, "file"),
    ],
)
def test_a_name_is_one_line_without_a_path(given: str | None, name: str) -> None:
    assert clean_name(given) == name


@pytest.mark.parametrize("letter", ["x", "é", "猫", "😀"])
def test_a_long_name_is_cut_and_keeps_its_suffix(letter: str) -> None:
    name = clean_name(letter * 300 + ".tar")
    assert name.endswith(letter + ".tar")
    assert len(name) <= 100
    assert len(name.encode()) <= 240
    assert len(clean_name(letter * 300)) > 50


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("image/png", "image/png"),
        ("Text/HTML; charset=utf-8", "text/html"),
        ("image/svg+xml", "image/svg+xml"),
        ('text/plain; name="a\r\nb"', "text/plain"),
        ("text", "application/octet-stream"),
        ("a b/c", "application/octet-stream"),
        ("text/plain\r\nX: y", "application/octet-stream"),
        ("x/" + "y" * 200, "application/octet-stream"),
        ("", "application/octet-stream"),
        (None, "application/octet-stream"),
    ],
)
def test_a_type_is_one_word_or_bytes(given: str | None, kind: str) -> None:
    assert clean_type(given) == kind
