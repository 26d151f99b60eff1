"""`python -m coreos_py NAME ...`: the same program as the archive."""

from __future__ import annotations

from coreos_py.multicall import main

main()
