"""The progress endpoint's own certificate authority and serving certificates, as PEM. Pure but for the keys'
randomness: `now` comes in.

Called by tls_secret. The authority lives ten years, because its certificate is copied into every job's
ConfigMap; a serving certificate lives ninety days and is replaced when a third of that is left. Keys are EC
P-256.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = timedelta(days=3650)
SERVING_LIFETIME = timedelta(days=90)
_BACKDATED = timedelta(hours=1)  # clocks of nodes differ
_AUTHORITY_NAME = "batch-operator progress CA"
_SERVING_NAME = "batch-operator progress"


class CertificateError(ValueError):
    """The PEM cannot be used; says why, and never quotes a key."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM; the key stays out of repr and so out of every log."""

    certificate: bytes
    private_key: bytes = field(repr=False)


def new_authority(now: datetime) -> KeyPair:
    """A fresh self-signed CA. `now` is aware (UTC)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(_AUTHORITY_NAME)
    builder = (
        _builder(name, name, key.public_key(), now, now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def new_serving_certificate(authority: KeyPair, hosts: Sequence[str], now: datetime) -> KeyPair:
    """A server certificate for these host names and IP addresses, signed by the authority, which it never
    outlives.
    """
    issuer, issuer_key = _load(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + SERVING_LIFETIME, issuer.not_valid_after_utc)
    builder = (
        _builder(_name(_SERVING_NAME), issuer.subject, key.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
        .add_extension(_issuer_key_id(issuer), critical=False)
    )
    return _pair(builder.sign(issuer_key, hashes.SHA256()), key)


def authority_trouble(authority: KeyPair, now: datetime) -> str | None:
    """Why a new authority is needed; None if this one will do. One that ends within a serving certificate's
    life will not.
    """
    try:
        certificate, key = _load(authority)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (CertificateError, x509.ExtensionNotFound) as error:
        return f"the CA cannot be used: {error}"
    if not constraints.ca:
        return "the certificate is not a CA's"
    if certificate.public_key() != key.public_key():
        return "the CA's key does not belong to its certificate"
    if certificate.not_valid_after_utc - now < SERVING_LIFETIME:
        return f"the CA ends at {certificate.not_valid_after_utc:%Y-%m-%d}"
    return None


def serving_trouble(serving: KeyPair, authority: KeyPair, hosts: Sequence[str], now: datetime) -> str | None:
    """Why a new serving certificate is needed: unusable, of another CA, for other hosts, or due; None if this
    one will do.
    """
    try:
        certificate, key = _load(serving)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate.verify_directly_issued_by(_load(authority)[0])
    except (CertificateError, x509.ExtensionNotFound) as error:
        return f"the certificate cannot be used: {error}"
    except (InvalidSignature, ValueError, TypeError):
        return "the certificate is not signed by the CA"
    if certificate.public_key() != key.public_key():
        return "the key does not belong to the certificate"
    if not set(names) >= {_alternative(host) for host in hosts}:
        return f"the certificate is not for {', '.join(hosts)}"
    if now >= renewal_time(serving):
        return f"the certificate ends at {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        return f"the certificate begins at {certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
    return None


def renewal_time(serving: KeyPair) -> datetime:
    """When a third of the certificate's life is left (UTC)."""
    certificate, _ = _load(serving)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - life / 3


def _load(pair: KeyPair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.private_key, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError("not a certificate and key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the key is not an elliptic curve's")
    return certificate, key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


def _issuer_key_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
