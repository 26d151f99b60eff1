"""TLS contexts: what is verified, and what is said about bad files."""

from __future__ import annotations

import datetime
import ssl

import pytest

from coreos_py.base import tls
from coreos_py.base.errors import ConfigError

pytest.importorskip("cryptography")


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
        (lambda: tls.server_context(cert, str(text)), f"cannot use {cert} with {text}"),
        (lambda: tls.client_context(ca_file=str(text)), f"no certificates in {text}"),
        (lambda: tls.client_context(ca_file="/nonexistent"), "/nonexistent: No such file"),
    ):
        with pytest.raises(ConfigError) as caught:
            action()
        assert message in str(caught.value)
