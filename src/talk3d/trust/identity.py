"""Who signs: a key and certificates that belong to this installation.

At first use a certificate authority is made, it certifies one signing key, and its own
key is thrown away. Nothing is sent anywhere. The folder (``TALK3D_IDENTITY``, else
``~/.local/share/talk3d/identity``) holds

    key.pem     the signing key, ECDSA on P-256, readable by its owner only
    chain.pem   its certificate, then those that certified it
    ca.pem      the authority; who trusts it sees the marks as trusted

Put your own ``key.pem`` and ``chain.pem`` there to sign with a certificate that others
know.
"""

import base64
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from talk3d.checkpoint import write_atomically

__all__ = [
    "Identity",
    "data_folder",
    "identity_folder",
    "is_signed_by",
    "load_identity",
]

_YEARS = 10
_HASH = hashes.SHA256()


@dataclass(frozen=True)
class Identity:
    """A key and its certificates."""

    key: str = field(repr=False)
    """PEM."""
    chain: str
    """PEM, the signing certificate first."""
    authority: str
    """PEM of the authority, empty if it is not known."""

    def sign(self, data: bytes) -> str:
        """Return the ECDSA signature of data in base64."""
        key = serialization.load_pem_private_key(self.key.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return base64.b64encode(key.sign(data, ec.ECDSA(_HASH))).decode()


def data_folder() -> Path:
    """Return where talk3d keeps what belongs to this installation.

    ``TALK3D_DATA``, else ``talk3d`` below ``XDG_DATA_HOME`` or ``~/.local/share``.
    """
    if "TALK3D_DATA" in os.environ:
        return Path(os.environ["TALK3D_DATA"])
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "talk3d"


def identity_folder() -> Path:
    """Return where key and certificates lie, whether they have been made or not."""
    named = os.environ.get("TALK3D_IDENTITY")
    return Path(named) if named else data_folder() / "identity"


def load_identity() -> Identity:
    """Return the identity of this installation; make it at first use.

    Raises:
        ValueError: if the folder holds only one of key and chain, or another kind of
            key.
        OSError: if it cannot be written.
    """
    folder = identity_folder()
    key, chain, authority = (folder / f"{n}.pem" for n in ("key", "chain", "ca"))
    if not key.is_file() and not chain.is_file():
        _make(folder)
    if not (key.is_file() and chain.is_file()):
        message = (
            f"{folder} must hold both key.pem and chain.pem: add what is missing, or"
            " remove the folder and a new identity is made"
        )
        raise ValueError(message)
    known = authority.read_text() if authority.is_file() else ""
    identity = Identity(key.read_text(), chain.read_text(), known)
    _check(identity, folder)
    return identity


def is_signed_by(certificate: str, signature: str, data: bytes) -> bool:
    """Return whether a base64 signature of data belongs to a PEM certificate."""
    try:
        public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey):
            return False
        public.verify(base64.b64decode(signature), data, ec.ECDSA(_HASH))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _check(identity: Identity, folder: Path) -> None:
    try:
        key = serialization.load_pem_private_key(identity.key.encode(), None)
        certificate = x509.load_pem_x509_certificate(identity.chain.encode())
    except (ValueError, TypeError) as error:
        message = f"key.pem or chain.pem in {folder} cannot be read: give PEM files"
        raise ValueError(message) from error
    fits = certificate.public_key() == key.public_key()
    curve = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name
    if not fits or curve != "secp256r1":
        message = (
            f"key.pem in {folder} must be an ECDSA key on P-256 that belongs to the"
            " first certificate of chain.pem"
        )
        raise ValueError(message)


def _make(folder: Path) -> None:
    root_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    suffix = os.urandom(4).hex()
    root_name = _name(f"talk3d authority {suffix}")
    root = (
        _begun(root_name, root_name, root_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certify=True), critical=True)
        .sign(root_key, _HASH)
    )
    leaf = (
        _begun(_name(f"talk3d installation {suffix}"), root_name,
               leaf_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certify=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .sign(root_key, _HASH)
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    pem = serialization.Encoding.PEM
    secret = leaf_key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificates = [c.public_bytes(pem).decode() for c in (leaf, root)]
    _write(folder / "ca.pem", certificates[1])
    _write(folder / "chain.pem", "".join(certificates))
    _write(folder / "key.pem", secret.decode())
    (folder / "key.pem").chmod(0o600)


def _write(path: Path, text: str) -> None:
    with write_atomically(path) as temporary:
        temporary.write_text(text)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "talk3d installation"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(*, certify: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certify,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certify,
        crl_sign=certify,
        encipher_only=False,
        decipher_only=False,
    )
