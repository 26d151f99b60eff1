"""Configs that refer to others: appended in version 2, merged in version 3, replaced in both."""

from __future__ import annotations

import hashlib
import json

import pytest

from coreos_py.base.errors import CoreosError
from coreos_py.ignition import dataurl, resolve, text
from coreos_py.ignition.dataurl import BadDataURL
from coreos_py.ignition.fetch import Fetcher, FetchError
from coreos_py.ignition.plan import Source


def get(source):
    return Fetcher(say=lambda _line: None).get(source)


def config(more=None, version="3.3.0", **ignition):
    return {"ignition": {"version": version, **ignition}, **(more or {})}


def url(document):
    return {"source": dataurl.encode(json.dumps(document).encode())}


def whole(document):
    found = resolve.resolve(json.dumps(document).encode(), lambda _config: get)
    return json.loads(text.dump(found.config, (found.major, 3 if found.major == 3 else 0)))


def storage(**lists):
    return {"storage": lists}


# parent, child, what becomes of the storage
MERGED = [
    (
        storage(files=[{"path": "/a", "mode": 420}]),
        storage(files=[{"path": "/b"}]),
        storage(files=[{"path": "/a", "mode": 420}, {"path": "/b"}]),
    ),
    (
        storage(files=[{"path": "/a", "mode": 420, "contents": {"source": "data:,x"}}]),
        storage(files=[{"path": "/a", "mode": 0, "user": {"name": "u"}}]),
        storage(
            files=[
                {
                    "path": "/a",
                    "mode": 0,
                    "user": {"name": "u"},
                    "contents": {"source": "data:,x"},
                }
            ]
        ),
    ),
    (
        storage(links=[{"path": "/a", "target": "/b"}]),
        storage(files=[{"path": "/a"}]),
        storage(files=[{"path": "/a"}]),
    ),
    (
        storage(files=[{"path": "/a", "append": [{"source": "data:,1"}]}]),
        storage(files=[{"path": "/a", "append": [{"source": "data:,1"}]}]),
        storage(files=[{"path": "/a", "append": [{"source": "data:,1"}, {"source": "data:,1"}]}]),
    ),
    (
        storage(
            disks=[{"device": "/dev/a", "partitions": [{"number": 1, "label": "x"}]}],
            filesystems=[{"device": "/dev/b", "format": "ext4", "options": ["-q"]}],
        ),
        storage(
            disks=[{"device": "/dev/a", "wipeTable": True, "partitions": [{"number": 2}]}],
            filesystems=[{"device": "/dev/b", "format": "xfs", "options": ["-q"]}],
        ),
        storage(
            disks=[
                {
                    "device": "/dev/a",
                    "wipeTable": True,
                    "partitions": [{"number": 1, "label": "x"}, {"number": 2}],
                }
            ],
            filesystems=[{"device": "/dev/b", "format": "xfs", "options": ["-q", "-q"]}],
        ),
    ),
    (
        storage(
            files=[
                {
                    "path": "/a",
                    "contents": {
                        "source": "http://x",
                        "httpHeaders": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}],
                    },
                }
            ]
        ),
        storage(files=[{"path": "/a", "contents": {"httpHeaders": [{"name": "a"}]}}]),
        storage(
            files=[
                {
                    "path": "/a",
                    "contents": {
                        "source": "http://x",
                        "httpHeaders": [{"name": "b", "value": "2"}],
                    },
                }
            ]
        ),
    ),
]


@pytest.mark.parametrize(("parent", "child", "expected"), MERGED)
def test_merge(parent, child, expected):
    if "httpHeaders" in json.dumps(child):  # valid only as a part
        child["storage"]["files"][0]["contents"]["source"] = "http://x"
    found = whole(config(parent, config={"merge": [url(config(child))]}))
    assert found["storage"] == expected["storage"]


def test_append_is_no_merge():
    old = config(
        storage(files=[{"filesystem": "root", "path": "/a", "mode": 420}]),
        "2.0.0",
        config={
            "append": [
                url(
                    config(storage(files=[{"filesystem": "root", "path": "/a"}]), "2.0.0"),
                )
            ]
        },
    )
    files = whole(old)["storage"]["files"]
    assert [file["path"] for file in files] == ["/a", "/a"]


def test_replacement_drops_everything():
    inner = config(storage(files=[{"path": "/b"}]))
    found = whole(config(storage(files=[{"path": "/a"}]), config={"replace": url(inner)}))
    assert found["storage"] == {"files": [{"path": "/b"}]}
    assert "config" not in found["ignition"]


def test_special_bits_of_a_newer_part_are_kept():
    """Ignition 2.14 drops them from 3.3.0; the next stage is told a version that has them."""
    part = config({"storage": {"directories": [{"path": "/new", "mode": 0o1777}]}}, "3.6.0")
    document = config({"storage": {"files": [{"path": "/old", "mode": 0o4755}]}})
    document["ignition"]["config"] = {"merge": [url(part)]}
    kept = text.dump(
        resolve.resolve(json.dumps(document).encode(), lambda _config: get).config, (3, 3)
    )
    again = whole(json.loads(kept))
    assert json.loads(kept)["ignition"]["version"] == "3.6.0"
    assert again["storage"]["files"][0]["mode"] == 0o755
    assert again["storage"]["directories"][0]["mode"] == 0o1777


def test_the_experimental_version_is_kept():
    files = [{"path": "/a", "mode": 0o4755, "contents": {"source": "arn:aws:s3:::b/k"}}]
    document = config(storage(files=files), "3.4.0-experimental")
    found = resolve.resolve(json.dumps(document).encode(), lambda _config: get)
    kept = text.dump(found.config, found.version)
    assert json.loads(kept) == document
    assert json.loads(text.dump(found.config, (3, 3)))["ignition"]["version"] == "3.6.0"


def test_version_1_becomes_2():
    old = {
        "ignitionVersion": 1,
        "storage": {
            "filesystems": [
                {
                    "device": "/dev/a",
                    "format": "ext4",
                    "files": [{"path": "/x", "contents": "hello", "mode": 420, "uid": 5}],
                }
            ]
        },
    }
    found = whole(old)
    name = "_translate-filesystem-0"
    assert found["storage"]["filesystems"] == [
        {"name": name, "mount": {"device": "/dev/a", "format": "ext4"}}
    ]
    (file,) = found["storage"]["files"]
    assert (file["filesystem"], file["path"], file["user"]) == (name, "/x", {"id": 5})
    assert dataurl.decode(file["contents"]["source"]) == b"hello"


def test_a_part_of_another_line_is_refused():
    inner = config(version="2.0.0")
    with pytest.raises(CoreosError, match="a config of version 2 cannot be part of one of version"):
        whole(config(config={"merge": [url(inner)]}))


def test_a_part_with_errors_is_refused():
    with pytest.raises(resolve.Unusable) as caught:
        whole(config(config={"merge": [url(config(storage(files=[{"path": "a"}])))]}))
    assert caught.value.lines[0].endswith("path not absolute")


def test_what_configs_say_about_fetching_holds_for_what_they_refer_to():
    first = config(proxy={"httpProxy": "http://p"}, config={"merge": [{"source": "http://a"}]})
    served = {
        "http://a": config(
            timeouts={"httpTotal": 5}, config={"merge": [{"source": "http://b"}, url(config())]}
        ),
        "http://b": config(
            proxy={"httpProxy": "http://q"}, config={"replace": {"source": "http://c"}}
        ),
        "http://c": config(),
    }
    asked = []

    def settle(config):
        settings = config["ignition"]

        def fetch(source):
            seen = (settings["proxy"]["httpProxy"], settings["timeouts"]["httpTotal"])
            asked.append((source.url[:8], *seen))
            return json.dumps(served[source.url]).encode() if source.url in served else get(source)

        return fetch

    resolve.resolve(json.dumps(first).encode(), settle)
    assert asked == [
        ("http://a", "http://p", None),
        ("http://b", "http://p", 5),
        ("http://c", "http://q", 5),
        ("data:;ba", "http://p", 5),
    ]


def test_what_was_merged_has_to_hold_the_rules():
    part = config(storage(files=[{"path": "/a/b"}]))
    document = config(
        storage(links=[{"path": "/a", "target": "/c"}]), config={"merge": [url(part)]}
    )
    with pytest.raises(resolve.Unusable, match="not valid as it was merged") as caught:
        whole(document)
    assert caught.value.lines == ["error at $.storage.files.0: file path includes link in config"]


def test_the_systems_configs_are_below():
    """Those of one file each, the first at the bottom; what they refer to does not count."""

    def system(mode, more):
        files = storage(files=[{"path": "/a", "mode": mode}, {"path": more}])
        return json.dumps(config(files, config={"merge": [{"source": "http://x"}]})).encode()

    own = resolve.resolve(
        json.dumps(config(storage(files=[{"path": "/a", "user": {"id": 7}}]))).encode(),
        lambda _config: get,
    )
    found = resolve.under([system(1, "/b"), system(2, "/c")], own, where=["1", "2"])
    assert json.loads(text.dump(found.config, (3, 3)))["storage"]["files"] == [
        {"path": "/a", "user": {"id": 7}, "mode": 2},
        {"path": "/b"},
        {"path": "/c"},
    ]
    old = json.dumps(config(version="2.0.0")).encode()
    with pytest.raises(
        CoreosError, match="a config of version 3 cannot be part of one of version 2"
    ):
        resolve.under([old], own, where=["old"])


@pytest.mark.parametrize(
    ("sources", "remote"),
    [
        (["data:,x", "oem:///x"], ""),
        (["data:,x", "http://x"], "http://x"),
        (["", "s3://b/k"], "s3://b/k"),
    ],
)
def test_what_needs_a_network(sources, remote):
    files = [
        {"filesystem": "root", "path": "/a", "mode": 0, "contents": {"source": source}}
        for source in sources
    ]
    document = json.dumps(config(storage(files=files), "2.2.0")).encode()
    assert resolve.remote(resolve.resolve(document, lambda _config: get).config) == remote


def test_circles_end():
    document = config(config={"merge": [{"source": "http://self"}]})
    with pytest.raises(CoreosError, match="more than 16 deep"):
        resolve.resolve(
            json.dumps(document).encode(), lambda _config: lambda _s: json.dumps(document).encode()
        )


def test_verification():
    digest = hashlib.sha512(b"x").hexdigest()
    assert get(Source("data:,x", digest=f"sha512-{digest}")) == b"x"
    with pytest.raises(FetchError, match="hash verification failed"):
        get(Source("data:,y", digest=f"sha512-{digest}"))


def test_compressed_sources():
    import gzip

    packed = gzip.compress(b"x" * 1000)
    plain = hashlib.sha512(b"x" * 1000).hexdigest()
    both = hashlib.sha512(packed).hexdigest()
    link = dataurl.encode(packed)
    assert get(Source(link, "gzip", f"sha512-{plain}")) == b"x" * 1000
    with pytest.raises(FetchError):
        get(Source(link, "gzip", f"sha512-{both}"))
    assert get(Source(link, "gzip", f"sha512-{both}", digest_of_either=True)) == b"x" * 1000
    for broken in (packed[:-9], b"no gzip"):
        with pytest.raises(FetchError, match="gzip"):
            get(Source(dataurl.encode(broken), "gzip"))


@pytest.mark.parametrize(
    ("text_", "data"),
    [
        ("data:,", b""),
        ("data:,a%20b", b"a b"),
        ("data:;base64,aGk=", b"hi"),
        ("data:text/plain;charset=utf-8,x", b"x"),
        ('data:text/plain;a="b c",x', b"x"),
    ],
)
def test_data_urls(text_, data):
    assert dataurl.decode(text_) == data


@pytest.mark.parametrize("text_", ["http:,x", "data:", "data:,%", "data:,%g0", "data:;base64,a"])
def test_no_data_urls(text_):
    with pytest.raises(BadDataURL):
        dataurl.decode(text_)
