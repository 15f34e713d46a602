"""The operator's settings, read once from the environment (prefix BATCH_OPERATOR_) by main and passed in as values."""

from datetime import timedelta
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from batch_operator.snapshot import RuleSettings


class Settings(BaseSettings):
    """docs/installation.md lists them for people; the chart sets them from its values."""

    model_config = SettingsConfigDict(env_prefix="BATCH_OPERATOR_", frozen=True)

    namespace: str = Field(
        "batch-operator-system", description="Where the operator's own Secret, Lease and EndpointSlice lie."
    )
    pod_name: str = Field("batch-operator", description="Names this process in Events and in the Lease.")
    pod_uid: str = Field("", description="Its pod's uid: a restarted container need not wait for its own Lease.")
    pod_ip: str = Field("", description="Its pod's address, for the EndpointSlice; empty: none is written.")
    progress_url: str = Field(
        "", description="Base URL under which worker pods reach this process; empty: no progress reports are taken."
    )
    progress_service: str = Field(
        "", description="Service (without selector) that is led to the leader; empty: no EndpointSlice is written."
    )
    progress_port: int = Field(8443, ge=0, le=65535, description="TLS port of the progress endpoint.")
    http_port: int = Field(8080, ge=0, le=65535, description="Plain port of /metrics, /healthz and /readyz.")
    bind_address: str = Field("0.0.0.0", description="Address that both ports are bound to.")
    tls_secret: str = Field("batch-operator-tls", description="Secret that keeps the endpoint's certificates.")
    lease: str = Field("batch-operator", description="Name of the Lease that the leader holds.")
    lease_seconds: float = Field(15, ge=1, le=3600, description="A Lease that is not renewed for so long is free.")
    lease_deadline_seconds: float = Field(
        10, gt=0, description="A leader that could not renew its Lease for so long ends; less than LEASE_SECONDS."
    )
    lease_retry_seconds: float = Field(
        2, gt=0, description="How often the Lease is renewed or looked at; less than half of LEASE_DEADLINE_SECONDS."
    )
    workers: int = Field(16, ge=1, le=256, description="Jobs reconciled at the same time.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["json", "console"] = Field("json", description="json, or console for people.")
    org_labels: bool = Field(False, description="Read org_id from the namespaces' labels.")
    namespace_labels: bool = Field(
        False, description="Read the namespaces' labels: Kueue's on a namespace then count for all its jobs."
    )
    progress_interval_seconds: float = Field(5, gt=0, description="Progress is written at most this often.")
    image_pull_timeout_seconds: float = Field(300, gt=0, description="How long a pod may fail to pull its image.")
    start_retry_delay_seconds: float = Field(
        60, gt=0, description="Wait of a job that did not start in time; doubles each time."
    )
    displace_after_seconds: float = Field(
        120, ge=0, description="A job waits so long before others of lower priority have to give way to it."
    )
    audit_interval_seconds: float = Field(600, gt=0, description="How often lost watch events are looked for.")

    @field_validator("lease_deadline_seconds")
    @classmethod
    def _before_others_take_it(cls, value: float, info: ValidationInfo) -> float:
        if value >= info.data.get("lease_seconds", value + 1):
            raise ValueError("must be less than LEASE_SECONDS, so that the leader ends before another one begins")
        return value

    @field_validator("lease_retry_seconds")
    @classmethod
    def _with_tries_to_spare(cls, value: float, info: ValidationInfo) -> float:
        if 2 * value >= info.data.get("lease_deadline_seconds", 2 * value + 1):
            raise ValueError("must be less than half of LEASE_DEADLINE_SECONDS, so that one lost renewal costs nothing")
        return value

    def rules(self, ca_certificate: str) -> RuleSettings:
        return RuleSettings(
            progress_interval=timedelta(seconds=self.progress_interval_seconds),
            image_pull_timeout=timedelta(seconds=self.image_pull_timeout_seconds),
            start_retry_delay=timedelta(seconds=self.start_retry_delay_seconds),
            progress_url=self.progress_url,
            ca_certificate=ca_certificate if self.progress_url else "",
        )
