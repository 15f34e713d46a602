"""The operator's settings, read once from the environment (prefix BATCH_OPERATOR_) by main and passed in as values."""

from datetime import timedelta
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from batch_operator.snapshot import RuleSettings


class Settings(BaseSettings):
    """docs/installation.md lists them for people; the chart sets them from its values."""

    model_config = SettingsConfigDict(env_prefix="BATCH_OPERATOR_", frozen=True)

    namespace: str = Field("batch-operator-system", description="Where the operator's own Secret lies.")
    pod_name: str = Field("batch-operator", description="Names this process in Events.")
    progress_url: str = Field(
        "", description="Base URL under which worker pods reach this process; empty: no progress reports are taken."
    )
    progress_port: int = Field(8443, ge=0, le=65535, description="TLS port of the progress endpoint.")
    http_port: int = Field(8080, ge=0, le=65535, description="Plain port of /metrics, /healthz and /readyz.")
    bind_address: str = Field("0.0.0.0", description="Address that both ports are bound to.")
    tls_secret: str = Field("batch-operator-tls", description="Secret that keeps the endpoint's certificates.")
    workers: int = Field(16, ge=1, le=256, description="Jobs reconciled at the same time.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["json", "console"] = Field("json", description="json, or console for people.")
    org_labels: bool = Field(False, description="Read org_id from the namespaces' labels.")
    progress_interval_seconds: float = Field(5, gt=0, description="Progress is written at most this often.")
    image_pull_timeout_seconds: float = Field(300, gt=0, description="How long a pod may fail to pull its image.")
    start_retry_delay_seconds: float = Field(
        60, gt=0, description="Wait of a job that did not start in time; doubles each time."
    )
    audit_interval_seconds: float = Field(600, gt=0, description="How often lost watch events are looked for.")

    def rules(self, ca_certificate: str) -> RuleSettings:
        return RuleSettings(
            progress_interval=timedelta(seconds=self.progress_interval_seconds),
            image_pull_timeout=timedelta(seconds=self.image_pull_timeout_seconds),
            start_retry_delay=timedelta(seconds=self.start_retry_delay_seconds),
            progress_url=self.progress_url,
            ca_certificate=ca_certificate if self.progress_url else "",
        )
