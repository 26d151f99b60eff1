"""Signatures: OpenSSL's library and its command agree, with each other and with `cryptography`."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from coreos_py.base.errors import ConfigError, Unavailable
from coreos_py.update import rsa as ours
from tests.support import payloads

DATA = b"what was signed"
DIGEST = hashlib.sha256(DATA).digest()


def _tools():
    found = [ours._tool()]
    assert isinstance(found[0], ours.Libcrypto)
    if program := shutil.which("openssl"):
        found.append(ours.Command(program))
    return found


@pytest.fixture(params=_tools(), ids=lambda tool: type(tool).__name__)
def tool(request, monkeypatch):
    monkeypatch.setattr(ours, "_tool", lambda: request.param)
    return request.param


def _write(path, key, *, public=False, passphrase=b""):
    if public:
        layout = serialization.PublicFormat.SubjectPublicKeyInfo
        path.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, layout))
        return str(path)
    hidden = serialization.NoEncryption()
    if passphrase:
        hidden = serialization.BestAvailableEncryption(passphrase)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(*pem, hidden))
    return str(path)


def test_signatures_are_what_cryptography_makes(tool):
    private = ours.PrivateKey(payloads.KEY)
    theirs = serialization.load_pem_private_key(Path(payloads.KEY).read_bytes(), None)
    assert private.size == 256
    signature = private.sign(DIGEST)
    assert signature == theirs.sign(DATA, padding.PKCS1v15(), hashes.SHA256())
    public = ours.PublicKey(payloads.PUBLIC_KEY)
    assert public.size == 256
    assert public.verify(DIGEST, signature)


def test_what_is_no_signature(tool):
    public = ours.PublicKey(payloads.PUBLIC_KEY)
    signature = ours.PrivateKey(payloads.KEY).sign(DIGEST)
    assert not public.verify(bytes(32), signature)
    for wrong in (b"", b"x", bytes(256), signature[:-1], signature + b"\0", b"\xff" * 256):
        assert not public.verify(DIGEST, wrong)
    changed = bytes((signature[0] ^ 1,)) + signature[1:]
    assert not public.verify(DIGEST, changed)


def test_other_paddings_are_no_signature(tool):
    theirs = serialization.load_pem_private_key(Path(payloads.KEY).read_bytes(), None)
    public = ours.PublicKey(payloads.PUBLIC_KEY)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    assert not public.verify(DIGEST, theirs.sign(DATA, pss, hashes.SHA256()))
    assert not public.verify(DIGEST, theirs.sign(DATA, padding.PKCS1v15(), hashes.SHA1()))


def test_other_sizes(tool, tmp_path):
    key = rsa.generate_private_key(65537, 3072)
    private = ours.PrivateKey(_write(tmp_path / "key", key))
    public = ours.PublicKey(_write(tmp_path / "pub", key, public=True))
    assert (private.size, public.size) == (384, 384)
    assert public.verify(DIGEST, private.sign(DIGEST))


def test_files_that_are_no_keys(tool, tmp_path):
    curve = ec.generate_private_key(ec.SECP256R1())
    secret = rsa.generate_private_key(65537, 2048)
    (tmp_path / "text").write_text("no key\n")
    cases = [
        (ours.PrivateKey, str(tmp_path / "text"), "no private key"),
        (ours.PublicKey, str(tmp_path / "text"), "no public key"),
        (ours.PublicKey, payloads.KEY, "no public key"),
        (ours.PrivateKey, payloads.PUBLIC_KEY, "no private key"),
        (ours.PrivateKey, _write(tmp_path / "ec", curve), "not an RSA key"),
        (ours.PublicKey, _write(tmp_path / "ec.pub", curve, public=True), "not an RSA key"),
        (ours.PrivateKey, _write(tmp_path / "hidden", secret, passphrase=b"p"), "no private key"),
        (ours.PublicKey, str(tmp_path / "none"), "No such file"),
    ]
    for make, path, problem in cases:
        with pytest.raises(ConfigError, match=problem):
            make(path)


def test_without_openssl(monkeypatch):
    monkeypatch.setattr(ours, "_NAMES", ())
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(Unavailable, match="signatures need OpenSSL"):
        ours.PublicKey(payloads.PUBLIC_KEY)
