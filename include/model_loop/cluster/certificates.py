"""Certificates of a Dask cluster: an authority of its own, and one key for all members."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: Files in the folder of certificates.
AUTHORITY, CERTIFICATE, PRIVATE_KEY = "ca.pem", "cluster.pem", "cluster.key"

_YEARS = dt.timedelta(days=3_650)


def write_certificates(folder: Path) -> bool:
    """Write an authority, a certificate and its key, unless they are there; return whether it did.

    The key of the authority is kept nowhere: whoever should be part of the cluster gets these
    files, and new ones for all are made by removing them.

    Parameters
    ----------
    folder
        Folder that only the services of the cluster, and those that send work to it, can read.
    """
    if all((folder / name).exists() for name in (AUTHORITY, CERTIFICATE, PRIVATE_KEY)):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name = _name("model-loop cluster authority")
    authority = _certificate(authority_name, authority_name, authority_key, authority_key, ca=True)
    certificate = _certificate(
        _name("model-loop cluster"), authority_name, key, authority_key, ca=False
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # The authority comes last: all three are there once it is.
    _write(folder / PRIVATE_KEY, private)
    _write(folder / CERTIFICATE, certificate.public_bytes(pem))
    _write(folder / AUTHORITY, authority.public_bytes(pem))
    return True


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signed_by: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _YEARS)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        .sign(signed_by, hashes.SHA256())
    )


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    partial.rename(path)
