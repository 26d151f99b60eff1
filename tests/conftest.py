"""What every test shares: command-line options, a clean environment, the seed."""

from __future__ import annotations

import logging
import os
import random
import signal

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine, not about the code.
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


def pytest_addoption(parser):
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="rewrite the expected halves of transcripts; commit only a diff you understand",
    )
    parser.addoption(
        "--seed",
        type=int,
        default=None,
        help="seed of the randomised tests (default: a new one, printed in the header)",
    )


def pytest_configure(config):
    # A shell's background job ignores SIGINT, and so would every process a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # On a busy machine asyncio's debug mode calls every callback slow, amid what tests compare.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    seed = config.getoption("--seed")
    # xdist workers inherit the controller's options, so all of them get the same number.
    config.option.seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed


def pytest_report_header(config):
    return f"seed: {config.getoption('--seed')} (repeat with --seed)"


@pytest.fixture
def rewrite(request):
    """True when expected outputs shall be rewritten instead of compared."""
    return request.config.getoption("--rewrite")


@pytest.fixture
def seed(request):
    """The seed of this run; a failure prints it in the header."""
    return request.config.getoption("--seed")


@pytest.fixture
def rng(seed) -> random.Random:
    """A generator with this run's seed."""
    return random.Random(seed)


_OURS = ("DISC_", "ETCD_", "ETCDCTL_", "FLEET_", "FLEETCTL_", "COREOS_", "LISTEN_", "NOTIFY_SOCKET")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """No setting of the developer's shell reaches a test."""
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def archive():
    """The built dist/coreos.pyz."""
    from tests.support.archive import built

    return built()
