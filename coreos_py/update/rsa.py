"""Sign and check signatures with RSA: PKCS #1 v1.5 over a SHA-256 digest, done by OpenSSL.

By the very libcrypto that Python's own ssl and hashlib are linked with, through ctypes; where that
cannot be found (Python built statically), by the `openssl` command. The compiled library
`cryptography` would ride along as 9.5 MB for two machines plus 1.7 MB of cffi for four Pythons,
and the archive's limit is 11 MB for everything; nothing here is cryptography of our own.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from typing import Any

from coreos_py.base.errors import ConfigError, ExternalError, Unavailable

_NAMES = ("libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so.4", "libcrypto.so")
_VERIFY = 1
_SIGN = 2
DIGEST_SIZE = 32
_TIMEOUT_S = 60.0


class PublicKey:
    """A public key from a PEM file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._pem = _read(path)
        self._tool = _tool()
        self.size = self._tool.size(self._pem, path, is_private=False)  # in bytes

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """Whether the key's owner signed this SHA-256 digest."""
        assert len(digest) == DIGEST_SIZE
        return self._tool.verify(self._pem, digest, signature)


class PrivateKey:
    """A private key from a PEM file without a passphrase."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._pem = _read(path)
        self._tool = _tool()
        self.size = self._tool.size(self._pem, path, is_private=True)  # in bytes

    def sign(self, digest: bytes) -> bytes:
        """The signature of a SHA-256 digest."""
        assert len(digest) == DIGEST_SIZE
        return self._tool.sign(self._pem, digest)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 16)
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}") from None


class Libcrypto:
    """OpenSSL in this process."""

    def __init__(self, library: Any) -> None:
        self._lib = library
        for name in ("BIO_new_mem_buf", "EVP_PKEY_CTX_new"):
            getattr(library, name).restype = ctypes.c_void_p
        for name in ("PEM_read_bio_PUBKEY", "PEM_read_bio_PrivateKey"):
            function = getattr(library, name)
            function.restype = ctypes.c_void_p
            function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_char_p]
        for name in ("BIO_free", "EVP_PKEY_free", "EVP_PKEY_CTX_free"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        for name in ("EVP_PKEY_verify_init", "EVP_PKEY_sign_init"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        library.EVP_PKEY_CTX_new.argtypes = [ctypes.c_void_p] * 2
        library.EVP_PKEY_CTX_ctrl_str.argtypes = [
            *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)
        ]
        buffer = [ctypes.c_char_p, ctypes.c_size_t]
        library.EVP_PKEY_verify.argtypes = [ctypes.c_void_p, *buffer, *buffer]
        library.EVP_PKEY_sign.argtypes = [
            *(ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_size_t)),
            *buffer,
        ]
        self._size = getattr(library, "EVP_PKEY_get_size", None) or library.EVP_PKEY_size
        self._size.argtypes = [ctypes.c_void_p]

    def size(self, pem: bytes, path: str, *, is_private: bool) -> int:
        """The key's size in bytes; ConfigError when it is no RSA key."""
        key = self._key(pem, is_private=is_private)
        if not key:
            what = "private" if is_private else "public"
            raise ConfigError(f"{path}: no {what} key in PEM form")
        try:
            size: int = self._size(key)
            self._lib.EVP_PKEY_CTX_free(self._context(key, _SIGN if is_private else _VERIFY))
        except ValueError:
            raise ConfigError(f"{path}: not an RSA key") from None
        finally:
            self._lib.EVP_PKEY_free(key)
        return size

    def verify(self, pem: bytes, digest: bytes, signature: bytes) -> bool:
        """Whether the signature is good."""
        key = self._key(pem, is_private=False)
        try:
            context = self._context(key, _VERIFY)
            try:
                done: int = self._lib.EVP_PKEY_verify(
                    context, signature, len(signature), digest, len(digest)
                )
                return done == 1
            finally:
                self._lib.EVP_PKEY_CTX_free(context)
        finally:
            self._lib.EVP_PKEY_free(key)

    def sign(self, pem: bytes, digest: bytes) -> bytes:
        """The signature."""
        key = self._key(pem, is_private=True)
        try:
            context = self._context(key, _SIGN)
            try:
                size = ctypes.c_size_t(self._size(key))
                out = ctypes.create_string_buffer(size.value)
                done = self._lib.EVP_PKEY_sign(
                    context, out, ctypes.byref(size), digest, len(digest)
                )
                if done != 1:
                    raise ExternalError(["libcrypto", "sign"], 1)
                return out.raw[: size.value]
            finally:
                self._lib.EVP_PKEY_CTX_free(context)
        finally:
            self._lib.EVP_PKEY_free(key)

    def _key(self, pem: bytes, *, is_private: bool) -> Any:
        bio = self._lib.BIO_new_mem_buf(pem, len(pem))
        bio = ctypes.c_void_p(bio)
        read = self._lib.PEM_read_bio_PrivateKey if is_private else self._lib.PEM_read_bio_PUBKEY
        # An empty passphrase, so that nobody is asked for one.
        key = read(bio, None, None, b"")
        self._lib.BIO_free(bio)
        self._lib.ERR_clear_error()
        return key

    def _context(self, key: Any, purpose: int) -> Any:
        """Ready to sign or verify as RSA PKCS #1 v1.5 with SHA-256; ValueError for other keys."""
        lib = self._lib
        context = lib.EVP_PKEY_CTX_new(key, None)
        start = lib.EVP_PKEY_sign_init if purpose == _SIGN else lib.EVP_PKEY_verify_init
        done = (
            start(context) == 1
            and lib.EVP_PKEY_CTX_ctrl_str(context, b"rsa_padding_mode", b"pkcs1") == 1
            and lib.EVP_PKEY_CTX_ctrl_str(context, b"digest", b"sha256") == 1
        )
        lib.ERR_clear_error()
        if not done:
            lib.EVP_PKEY_CTX_free(context)
            raise ValueError("not an RSA key")
        return context


class Command:
    """The `openssl` program."""

    def __init__(self, program: str) -> None:
        self._program = program

    def size(self, pem: bytes, path: str, *, is_private: bool) -> int:
        """The key's size in bytes; ConfigError when it is no RSA key."""
        with _Files(key=pem) as files:
            extra = [] if is_private else ["-pubin"]
            done = self._run(
                ["pkey", "-in", files["key"], *extra, "-noout", "-text", "-passin", "pass:"]
            )
        what = "private" if is_private else "public"
        text = done.stdout.decode("ascii", "replace")
        match = re.search(r"\((\d+) bit", text)
        if done.returncode or match is None:
            raise ConfigError(f"{path}: no {what} key in PEM form")
        if "Modulus" not in text and "modulus" not in text:
            raise ConfigError(f"{path}: not an RSA key")
        return -(-int(match[1]) // 8)

    def verify(self, pem: bytes, digest: bytes, signature: bytes) -> bool:
        """Whether the signature is good."""
        with _Files(key=pem, digest=digest, signature=signature) as files:
            words = ["-verify", "-pubin", "-inkey", files["key"], "-in", files["digest"]]
            return not self._pkeyutl([*words, "-sigfile", files["signature"]]).returncode

    def sign(self, pem: bytes, digest: bytes) -> bytes:
        """The signature."""
        with _Files(key=pem, digest=digest) as files:
            words = ["-sign", "-inkey", files["key"], "-passin", "pass:", "-in", files["digest"]]
            done = self._pkeyutl(words)
        if done.returncode:
            text = done.stderr.decode("utf-8", "replace")
            raise ExternalError([self._program, "pkeyutl"], done.returncode, text)
        return done.stdout

    def _pkeyutl(self, words: list[str]) -> subprocess.CompletedProcess[bytes]:
        options = ["-pkeyopt", "rsa_padding_mode:pkcs1", "-pkeyopt", "digest:sha256"]
        return self._run(["pkeyutl", *words, *options])

    def _run(self, words: list[str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self._program, *words],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
        )


class _Files:
    """Private files for a program that takes no pipes."""

    def __init__(self, **contents: bytes) -> None:
        self._contents = contents

    def __enter__(self) -> dict[str, str]:
        self._directory = tempfile.mkdtemp(prefix="coreos-key.")
        paths = {}
        for name, data in self._contents.items():
            paths[name] = os.path.join(self._directory, name)
            fd = os.open(paths[name], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(data)
        return paths

    def __exit__(self, *_exc: object) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)


def _tool() -> Libcrypto | Command:
    for name in _NAMES:
        try:
            return Libcrypto(ctypes.CDLL(name))
        except (OSError, AttributeError):
            continue
    program = shutil.which("openssl")
    if program is None:
        raise Unavailable(
            "signatures need OpenSSL: neither its library nor its command is here",
            hint="install openssl",
        )
    return Command(program)
