"""TLS contexts for both sides, safe by default: TLS 1.2 or newer, certificates verified.

File problems become ConfigErrors that name the file; the contexts are stdlib's.
"""

from __future__ import annotations

import os
import ssl

from coreos_py.base.errors import ConfigError


def server_context(
    cert_file: str, key_file: str, *, ca_file: str = "", require_client_cert: bool = False
) -> ssl.SSLContext:
    """For a listener; with a CA, clients that show a certificate must have one of that CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_pair(context, cert_file, key_file)
    if ca_file:
        _load_ca(context, ca_file)
    if require_client_cert:
        if not ca_file:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    *, ca_file: str = "", cert_file: str = "", key_file: str = "", verify: bool = True
) -> ssl.SSLContext:
    """For a client; without a CA file the system's authorities are trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file:
        _load_ca(context, ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if cert_file or key_file:
        _load_pair(context, cert_file, key_file)
    return context


def _load_pair(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    if not cert_file or not key_file:
        have, missing = ("certificate", "key") if cert_file else ("key", "certificate")
        raise ConfigError(f"a TLS {have} file ({cert_file or key_file}) needs its {missing} file")
    for path in (cert_file, key_file):
        _readable(path)
    try:
        context.load_cert_chain(cert_file, key_file)
    except ssl.SSLError as err:
        problem = err.reason or str(err)
        raise ConfigError(f"cannot use {cert_file} with {key_file}: {problem}") from None


def _load_ca(context: ssl.SSLContext, ca_file: str) -> None:
    _readable(ca_file)
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as err:
        raise ConfigError(f"no certificates in {ca_file}: {err.reason or err}") from None


def _readable(path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}") from None
