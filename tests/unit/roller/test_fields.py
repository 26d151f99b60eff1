"""Bodies of the REST API: what Go takes, and what is said about the rest."""

from __future__ import annotations

import pytest

from coreos_py.roller.rest import fields
from coreos_py.roller.rest.ask import canonical_uuid
from coreos_py.roller.rest.fields import APP, CHANNEL, GROUP, PACKAGE, BadBody

UUID = "e96281a6-d1af-4bde-9a0a-97b76e56dc57"


@pytest.mark.parametrize(
    ("body", "spec", "expected"),
    [
        ('{"name":"x"}', APP, {"name": "x"}),
        ('{"NAME":"x","Description":"d"}', APP, {"name": "x", "description": "d"}),
        ('{"name":"x","name":"y"}', APP, {"name": "y"}),
        ('{"zzz":[1],"name":null}', APP, {}),
        (" \n{}", APP, {}),
        ('{"name":"\\ud800"}', APP, {"name": "\ufffd"}),
        ('{"name":"\\ud83d\\ude00"}', APP, {"name": "\U0001f600"}),
        (b'{"name":"\xff"}', APP, {"name": "\ufffd"}),
        ('{"groups":[null,{"name":"g"}]}', APP, {"groups": [{"name": "g"}]}),
        ('{"package_id":null}', CHANNEL, {"package_id": None}),
        ('{"size":155018912,"hash":true}', PACKAGE, {"size": "155018912", "hash": "true"}),
        ('{"size":1.5}', PACKAGE, {"size": "1.5"}),
        ('{"channels_blacklist":["a",null]}', PACKAGE, {"channels_blacklist": ["a", ""]}),
        ('{"coreos_action":{"sha256":"s"}}', PACKAGE, {"coreos_action": {"sha256": "s"}}),
        ('{"update_percent":5}', GROUP, {"update_percent": 5.0}),
    ],
)
def test_what_go_reads_is_read(body, spec, expected):
    data = body if isinstance(body, bytes) else body.encode()
    assert fields.read(data, spec, strict=True) == expected


def test_only_coreroller_clients_may_write_on_after_the_object():
    assert fields.read(b'{"name":"x"} trailing', APP, strict=False) == {"name": "x"}
    assert fields.read(b"null", APP, strict=False) == {}
    for body in (b'{"name":"x"} trailing', b"null"):
        with pytest.raises(BadBody):
            fields.read(body, APP, strict=True)


@pytest.mark.parametrize(
    ("body", "spec", "reason"),
    [
        ("", APP, "the body is empty, a JSON object is needed"),
        ("{bad", APP, "not JSON: invalid character 'b' looking for beginning of object key string"),
        ("[]", APP, "the body must be an object, not an array"),
        ('"x"', APP, "the body must be an object, not a string"),
        ("[" * 200_000, APP, "not JSON: too many brackets in one another"),
        ('{"a":' * 100_000, APP, "not JSON: too many brackets in one another"),
        ('{"name":5}', APP, "field name must be a string, not a number"),
        ('{"name":"a\\u0000"}', APP, "field name has a null character"),
        ('{"name":NaN}', APP, "not JSON: invalid number NaN"),
        ('{"type":1' + "0" * 5000 + "}", PACKAGE, "not JSON: Exceeds the limit (4300 digits)"),
        ('{"type":1.0}', PACKAGE, "field type must be a whole number"),
        ('{"type":9223372036854775808}', PACKAGE, "field type must be a whole number"),
        ('{"type":true}', PACKAGE, "field type must be a number, not a boolean"),
        ('{"size":[1]}', PACKAGE, "field size must be a string, not an array"),
        ('{"size":1e999}', PACKAGE, "not JSON: number 1e999 is out of range"),
        ('{"created_ts":"x"}', PACKAGE, "field created_ts must be a time"),
        ('{"coreos_action":[]}', PACKAGE, "field coreos_action must be an object, not an array"),
        (
            '{"coreos_action":{"needs_admin":"yes"}}',
            PACKAGE,
            "field coreos_action.needs_admin must be a boolean, not a string",
        ),
        ('{"channels_blacklist":"a"}', PACKAGE, "field channels_blacklist must be an array"),
        ('{"channels_blacklist":[1]}', PACKAGE, "field channels_blacklist must be a string"),
        ('{"groups":[1]}', APP, "field groups must be an object, not a number"),
        ('{"policy_safe_mode":1}', GROUP, "field policy_safe_mode must be a boolean"),
        ('{"update_percent":"5"}', GROUP, "field update_percent must be a number"),
        ('{"update_percent":' + "9" * 400 + "}", GROUP, "field update_percent is too large"),
    ],
)
def test_what_go_refuses_is_refused_with_the_reason(body, spec, reason):
    with pytest.raises(BadBody) as caught:
        fields.read(body.encode(), spec, strict=True)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (UUID, UUID),
        (UUID.upper(), UUID),
        ("{" + UUID + "}", UUID),
        (UUID.replace("-", ""), UUID),
        ("e962-81a6-d1af-4bde-9a0a-97b7-6e56-dc57", UUID),
        ("{" + UUID, None),
        (UUID + "}", None),
        (UUID + "0", None),
        (UUID[:-1], None),
        ("", None),
        ("x" * 36, None),
        (UUID + "\n", None),
        (UUID.replace("e", "\uff25"), None),
    ],
)
def test_uuids_are_read_as_postgres_reads_them(text, expected):
    assert canonical_uuid(text) == expected
