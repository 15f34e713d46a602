from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from batch_operator.cluster.certificates import (
    KeyPair,
    authority_trouble,
    new_authority,
    new_serving_certificate,
    renewal_time,
    serving_trouble,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTS = ["batch-operator-progress.batch-operator-system.svc", "10.96.0.17", "[fd00::1]"]
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return new_authority(NOW)


@pytest.fixture(scope="module")
def serving(authority: KeyPair) -> KeyPair:
    return new_serving_certificate(authority, HOSTS, NOW)


def parsed(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


@pytest.mark.parametrize("host", ["batch-operator-progress.batch-operator-system.svc", "10.96.0.17", "fd00::1"])
def test_a_strict_verifier_accepts_it_for_each_host(authority: KeyPair, serving: KeyPair, host: str) -> None:
    import ipaddress

    subject: x509.DNSName | x509.IPAddress
    try:
        subject = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)
    store = Store([parsed(authority)])
    chain = PolicyBuilder().store(store).time(NOW).build_server_verifier(subject).verify(parsed(serving), [])
    assert [certificate.subject.rfc4514_string() for certificate in chain] == [
        "CN=batch-operator progress",
        "CN=batch-operator progress CA",
    ]


def test_lifetimes(authority: KeyPair, serving: KeyPair) -> None:
    assert parsed(authority).not_valid_after_utc == NOW + 3650 * DAY
    assert parsed(serving).not_valid_after_utc == NOW + 90 * DAY
    assert parsed(serving).not_valid_before_utc == NOW - timedelta(hours=1)
    assert timedelta(days=59) < renewal_time(serving) - NOW < timedelta(days=61)


def test_keys_are_p256_and_never_the_same_twice(authority: KeyPair, serving: KeyPair) -> None:
    key = parsed(serving).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert new_serving_certificate(authority, HOSTS, NOW).private_key != serving.private_key
    assert parsed(new_authority(NOW)).serial_number != parsed(authority).serial_number


def test_a_key_is_in_no_repr(serving: KeyPair) -> None:
    assert b"PRIVATE KEY" in serving.private_key
    assert "PRIVATE" not in repr(serving)


def test_a_fresh_pair_has_no_trouble(authority: KeyPair, serving: KeyPair) -> None:
    assert authority_trouble(authority, NOW) is None
    assert serving_trouble(serving, authority, HOSTS, NOW) is None
    assert serving_trouble(serving, authority, HOSTS[:1], NOW) is None


@pytest.mark.parametrize(
    ("day", "words"),
    [
        pytest.param(0, None, id="fresh"),
        pytest.param(59, None, id="two-thirds-not-yet-gone"),
        pytest.param(61, "ends at 2026-05-30", id="a-third-is-left"),
        pytest.param(100, "ends at 2026-05-30", id="over"),
        pytest.param(-1, "begins at", id="from-the-future"),
    ],
)
def test_a_serving_certificate_is_due_when_a_third_is_left(
    authority: KeyPair, serving: KeyPair, day: int, words: str | None
) -> None:
    trouble = serving_trouble(serving, authority, HOSTS, NOW + day * DAY)
    assert (words in trouble) if words and trouble else trouble is words


@pytest.mark.parametrize(("days_left", "due"), [(91, False), (89, True), (-1, True)])
def test_an_authority_is_due_before_a_serving_certificate_would_outlive_it(
    authority: KeyPair, days_left: int, due: bool
) -> None:
    trouble = authority_trouble(authority, NOW + (3650 - days_left) * DAY)
    assert (trouble is not None) is due


def test_what_is_wrong_with_a_serving_certificate_is_named(authority: KeyPair, serving: KeyPair) -> None:
    other = new_authority(NOW)
    swapped = KeyPair(serving.certificate, new_serving_certificate(authority, HOSTS, NOW).private_key)
    assert serving_trouble(serving, other, HOSTS, NOW) == "the certificate is not signed by the CA"
    assert serving_trouble(swapped, authority, HOSTS, NOW) == "the key does not belong to the certificate"
    assert "not for b.svc" in str(serving_trouble(serving, authority, ["b.svc"], NOW))
    assert "not a certificate and key in PEM" in str(serving_trouble(KeyPair(b"", b""), authority, HOSTS, NOW))
    assert serving_trouble(authority, authority, HOSTS, NOW) is not None


def test_what_is_wrong_with_an_authority_is_named(authority: KeyPair, serving: KeyPair) -> None:
    swapped = KeyPair(authority.certificate, serving.private_key)
    assert authority_trouble(swapped, NOW) == "the CA's key does not belong to its certificate"
    assert authority_trouble(serving, NOW) == "the certificate is not a CA's"
    assert "cannot be used" in str(authority_trouble(KeyPair(b"", b""), NOW))
