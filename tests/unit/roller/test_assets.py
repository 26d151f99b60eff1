"""The dashboard's files: what is served, how, and that they fit together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coreos_py.http.message import Request
from coreos_py.roller.web import assets
from coreos_py.roller.web.assets import Assets

STATIC = Path(assets.__file__).with_name("static")
FILES = sorted(str(path.relative_to(STATIC)) for path in STATIC.rglob("*.*"))
SCRIPTS = [name for name in FILES if name.endswith(".js")]
IMPORT = re.compile(r'^(?:import|\} from|export \{.*\} from).*?"(\..*?)";$', re.MULTILINE)
# What would make markup, or code, of text.
UNSAFE = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(")


def ask(target: str, *, method: str = "GET", headers: dict[bytes, bytes] | None = None):
    return Assets().route(Request(method, target.encode(), headers or {}, 1))


def header(response, name):
    return dict(response.headers)[name]


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served(name):
    response = ask(f"/{name}")
    assert response is not None
    assert response.status == 200
    assert response.body == (STATIC / name).read_bytes()
    assert header(response, "Content-Type") == assets.TYPES[name.rpartition(".")[2]]
    assert header(response, "X-Content-Type-Options") == "nosniff"
    policy = header(response, "Content-Security-Policy")
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy


def test_the_index_is_the_root():
    assert ask("/").body == (STATIC / "index.html").read_bytes()
    assert header(ask("/"), "Content-Type") == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "target",
    [
        "/nosuch.js",
        "/views",
        "/views/",
        "/main.js/",
        "/main.py",
        "/../assets.py",
        "/..%2fassets.py",
        "/%2e%2e/web/static/main.js",
        "/views/../main.js",
        "/views%2f..%2fmain.js",
        "//main.js",
        "/main.js%00",
        "/views/a/b.js",
        "/api/apps",
        "*",
    ],
)
def test_nothing_else_is(target):
    assert ask(target) is None


def test_a_browser_that_has_the_file_gets_no_second_copy():
    etag = header(ask("/main.js"), "ETag")
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = ask("/main.js", headers={b"if-none-match": known.encode()})
        assert (response.status, response.body) == (304, b"")
        assert header(response, "ETag") == etag
    assert ask("/main.js", headers={b"if-none-match": b'"other"'}).status == 200
    assert ask("/style/base.css", headers={b"if-none-match": etag.encode()}).status == 200


def test_files_are_only_read():
    assert ask("/main.js", method="HEAD").status == 200
    for method in ("POST", "PUT", "DELETE"):
        response = ask("/main.js", method=method)
        assert (response.status, header(response, "Allow")) == (405, "GET, HEAD")
    assert ask("/nosuch.js", method="POST") is None


def test_another_directory_instead(tmp_path):
    (tmp_path / "index.html").write_text("first")
    own = Assets(str(tmp_path))
    request = Request("GET", b"/", {}, 1)
    assert own.route(request).body == b"first"
    (tmp_path / "index.html").write_text("second")
    assert own.route(request).body == b"second"
    assert own.route(Request("GET", b"/main.js", {}, 1)) is None


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_checked_import_what_is_there_and_make_no_markup(name):
    text = (STATIC / name).read_text()
    assert text.startswith("// @ts-check\n/**")
    for target in IMPORT.findall(text):
        assert (STATIC / name).parent.joinpath(target).resolve().is_file(), target
    for word in UNSAFE:
        assert word not in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


def test_every_script_is_used():
    used = {"main.js"}
    for name in SCRIPTS:
        base = (STATIC / name).parent
        for target in IMPORT.findall((STATIC / name).read_text()):
            used.add(str(base.joinpath(target).resolve().relative_to(STATIC.resolve())))
    assert used == set(SCRIPTS)
