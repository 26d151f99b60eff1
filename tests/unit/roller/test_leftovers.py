"""Which payloads are removed."""

from __future__ import annotations

from coreos_py.roller.leftovers import Leftovers

OLD, NEW = "1.0.0-0123456789abcdef.gz", "2.0.0-fedcba9876543210.gz"


def test_what_no_package_names_goes_at_the_second_look():
    leftovers = Leftovers()
    assert leftovers.look([OLD, NEW], [NEW]) == []
    assert leftovers.look([OLD, NEW], [NEW]) == [OLD]
    assert leftovers.look([NEW], [NEW]) == []


def test_what_is_needed_again_stays():
    leftovers = Leftovers()
    assert leftovers.look([OLD], []) == []
    assert leftovers.look([OLD], [OLD]) == []
    assert leftovers.look([OLD], []) == []
    assert leftovers.look([OLD], []) == [OLD]


def test_files_that_somebody_put_there_stay():
    leftovers = Leftovers()
    names = ["update.gz", "coreos-amd64-766.3.0.gz", "a-0123456789abcdef", "README"]
    assert leftovers.look(names, []) == []
    assert leftovers.look(names, []) == []
