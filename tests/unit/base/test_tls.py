"""TLS contexts: what is verified, and what is said about bad files."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

from coreos_py.base import tls
from coreos_py.base.errors import ConfigError

pytest.importorskip("cryptography")

# A leaf for localhost, signed with SHA-1 by an authority that nobody has kept; until 2126.
SHA1 = Path(__file__).parents[2] / "data" / "tls" / "sha1"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A self-signed certificate and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("tls")
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (directory / "key.pem").write_bytes(private)
    return str(directory / "cert.pem"), str(directory / "key.pem")


def handshake(server, client, hostname="localhost"):
    """Run a handshake in memory; the exception of whoever refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=hostname)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    done = [False, False]
    for _ in range(10):
        for at, side in enumerate((ours, theirs)):
            try:
                side.do_handshake()
                done[at] = True
            except ssl.SSLWantReadError:
                pass
    assert done == [True, True]
    return ours.version(), theirs.getpeercert(binary_form=True)


def test_verified_by_default(pair):
    cert, key = pair
    server = tls.server_context(cert, key)
    assert handshake(server, tls.client_context(ca_file=cert))[0] in ("TLSv1.2", "TLSv1.3")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, tls.client_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, tls.client_context(ca_file=cert), hostname="elsewhere")
    assert handshake(server, tls.client_context(verify=False))[0]


def test_client_certificates(pair):
    cert, key = pair
    server = tls.server_context(cert, key, ca_file=cert, require_client_cert=True)
    server.maximum_version = ssl.TLSVersion.TLSv1_2  # in 1.3 the client finishes before the refusal
    client = tls.client_context(ca_file=cert, cert_file=cert, key_file=key)
    assert handshake(server, client)[1]
    with pytest.raises(ssl.SSLError):
        handshake(server, tls.client_context(ca_file=cert))


def test_old_protocols_are_refused(pair):
    cert, key = pair
    assert tls.server_context(cert, key).minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.client_context().minimum_version == ssl.TLSVersion.TLSv1_2


def test_bad_files(pair, tmp_path):
    cert, key = pair
    text = tmp_path / "text"
    text.write_text("not a certificate")
    for action, message in (
        (lambda: tls.server_context("", key), "needs its certificate file"),
        (lambda: tls.server_context(cert, ""), "needs its key file"),
        (lambda: tls.server_context("/nonexistent", key), "/nonexistent: No such file"),
        (lambda: tls.server_context(cert, str(text)), f"no key that can be used in {text}"),
        (lambda: tls.server_context(str(text), key), f"no certificate in {text}"),
        (
            lambda: tls.server_context(cert, f"{SHA1}-key.pem"),
            f"the key in {SHA1}-key.pem does not belong to the certificate in {cert}",
        ),
        (lambda: tls.server_context(str(tmp_path), key), f"no certificate in {tmp_path}"),
        (lambda: tls.client_context(ca_file=str(tmp_path)), f"no certificates in {tmp_path}"),
        (lambda: tls.client_context(ca_file=str(text)), f"no certificates in {text}"),
        (lambda: tls.client_context(ca_file="/nonexistent"), "/nonexistent: No such file"),
    ):
        with pytest.raises(ConfigError) as caught:
            action()
        assert message in str(caught.value)


def test_own_certificate_may_be_signed_with_sha1():
    server = tls.server_context(f"{SHA1}.pem", f"{SHA1}-key.pem")
    usual = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert server.minimum_version == ssl.TLSVersion.TLSv1_2
    assert server.security_level == 0
    assert server.get_ciphers() == usual.get_ciphers()
    assert handshake(server, tls.client_context(verify=False))[0] in ("TLSv1.2", "TLSv1.3")
    with pytest.raises(ssl.SSLCertVerificationError):  # to others it proves nothing
        handshake(server, tls.client_context(ca_file=f"{SHA1}.pem"))


def test_the_security_level_stays_for_other_certificates(pair):
    usual = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert tls.server_context(*pair).security_level == usual.security_level > 0


def test_encrypted_key_is_refused_without_asking(pair, tmp_path):
    from cryptography.hazmat.primitives import serialization

    cert, key = pair
    plain = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError, match=f"no key that can be used in {locked}"):
        tls.server_context(cert, str(locked))


def test_files_that_change_are_read_again(pair, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(Path(pair[0]).read_bytes())
    key.write_bytes(Path(pair[1]).read_bytes())
    said: list[str] = []
    current = tls.ReloadingContext(
        lambda: tls.server_context(str(cert), str(key)),
        (str(cert), str(key), ""),
        complain=lambda text: said.append(f"E {text}"),
        notice=lambda text: said.append(f"I {text}"),
    )
    first = current()
    assert current() is first
    cert.write_bytes(Path(f"{SHA1}.pem").read_bytes())
    assert current() is first  # the key of the new certificate has not come yet
    assert current() is first
    assert said == [
        "E keeping the TLS files of before: "
        f"the key in {key} does not belong to the certificate in {cert}"
    ]
    key.write_bytes(Path(f"{SHA1}-key.pem").read_bytes())
    second = current()
    assert second is not first
    assert said[1:] == [f"I TLS files have changed, using {cert}, {key}"]
    key.unlink()
    assert current() is second
    assert "No such file" in said[2]


def test_files_are_checked_at_the_start(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        tls.ReloadingContext(
            lambda: tls.server_context(str(tmp_path / "c"), str(tmp_path / "k")),
            (),
            complain=print,
            notice=print,
        )
