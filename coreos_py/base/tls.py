"""TLS contexts for both sides, safe by default: TLS 1.2 or newer, certificates verified.

File problems become ConfigErrors that name the file; the contexts are stdlib's. Our own
certificate may be signed with SHA-1, as etcd 2.3's may: those who verify it decide. Only then is
what others show measured at OpenSSL's security level 0 too; ciphers and protocols stay.
"""

from __future__ import annotations

import os
import ssl

from coreos_py.base.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    ContextSource = Callable[[], ssl.SSLContext]
    """Gives the context for the next handshake."""

_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_TOO_WEAK = ("MD_TOO_WEAK", "KEY_TOO_SMALL")


class ReloadingContext:
    """Gives the context for the next handshake, made again when its files have changed.

    While new files cannot be used the old context stays, and `complain` hears of it once.
    """

    def __init__(
        self,
        make: ContextSource,
        files: Iterable[str],
        *,
        complain: Callable[[str], object],
        notice: Callable[[str], object],
    ) -> None:
        """`make` may raise ConfigError, now and later; empty names of files are ignored."""
        self._make = make
        self._files = tuple(dict.fromkeys(filter(None, files)))
        self._complain = complain
        self._notice = notice
        self._seen = self._look()
        self._context = make()

    def __call__(self) -> ssl.SSLContext:
        """The context to use now."""
        found = self._look()
        if found != self._seen:
            self._seen = found
            try:
                self._context = self._make()
            except ConfigError as error:
                self._complain(f"keeping the TLS files of before: {error}")
            else:
                self._notice(f"TLS files have changed, using {', '.join(self._files)}")
        return self._context

    def _look(self) -> list[tuple[int, ...]]:
        return [_state(path) for path in self._files]


def _state(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


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
        _load_chain(context, cert_file, key_file)
    except OSError as err:  # ssl.SSLError is one
        raise ConfigError(_pair_problem(err, cert_file, key_file)) from None


def _load_chain(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    try:
        # An encrypted key is an error, not a question at the terminal.
        context.load_cert_chain(cert_file, key_file, password=b"")
        return
    except ssl.SSLError as err:
        if not (err.reason or "").endswith(_TOO_WEAK):
            raise
    names = ":".join(cipher["name"] for cipher in context.get_ciphers())
    # The level has to stay: OpenSSL measures our chain again whenever it sends it.
    context.set_ciphers(f"{names}:@SECLEVEL=0")
    context.load_cert_chain(cert_file, key_file, password=b"")


def _pair_problem(error: OSError, cert_file: str, key_file: str) -> str:
    reason = getattr(error, "reason", None) or str(error)
    if reason in _MISMATCHES:
        return f"the key in {key_file} does not belong to the certificate in {cert_file}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cert_file)
    except OSError as err:
        return f"no certificate in {cert_file}: {getattr(err, 'reason', None) or err}"
    return f"no key that can be used in {key_file} (it must not be encrypted): {reason}"


def _load_ca(context: ssl.SSLContext, ca_file: str) -> None:
    _readable(ca_file)
    try:
        context.load_verify_locations(ca_file)
    except OSError as err:
        problem = getattr(err, "reason", None) or err
        raise ConfigError(f"no certificates in {ca_file}: {problem}") from None


def _readable(path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}") from None
