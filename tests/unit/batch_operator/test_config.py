import pytest
from pydantic import ValidationError

from batch_operator.config import Settings
from batch_operator.main import main


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_OPERATOR_IMAGE_PULL_TIMEOUT_SECONDS", "12")
    rules = Settings().rules("PEM")
    assert rules.image_pull_timeout.total_seconds() == 12
    assert rules.ca_certificate == "", "no endpoint: no authority either"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("HTTP_PORT", "99999"),
        ("LEASE_DEADLINE_SECONDS", "15"),
        ("LEASE_RETRY_SECONDS", "5"),
    ],
    ids=["workers", "level", "port", "a-leader-that-outlives-its-lease", "no-second-try-to-renew"],
)
def test_a_wrong_setting_is_named_and_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(f"BATCH_OPERATOR_{name}", value)
    with pytest.raises(ValidationError):
        Settings()
    assert main() == 1
    assert f"BATCH_OPERATOR_{name}" in capsys.readouterr().err
