"""Pipeline and ClusterPipeline: one version of a pipeline in the registry.

Who may write these may run code: image, command, resources, identity and volumes live here and
nowhere in a BatchJob (design section 1).
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from batch_operator.api.v1alpha1.schema_types import (
    COMPONENT_PATTERN,
    KEY_PATTERN,
    SEMVER_PATTERN,
    ApiModel,
    FreeForm,
    Policy,
    Quantity,
    cel,
    immutable,
    validations,
)

Text = Annotated[str, Field(max_length=4096)]


class InputPort(ApiModel):
    """An input port: a named list of files that one component reads."""

    name: str = Field(max_length=84, description="<component>.<port>, e.g. worker.inference.")
    distribute: Literal["scatter", "replicate"] = Field(
        description="scatter: each file goes to one pod; replicate: every pod gets all of them."
    )
    tracked: bool = Field(
        description="Whether the files count in input_progress; true for scatter, false for replicate."
    )
    required: bool = Field(False, description="Whether a job must give at least one file.")
    required_metadata: list[Annotated[str, Field(max_length=63)]] | None = Field(
        None, max_length=16, description="Keys that each file's metadata must have, e.g. class."
    )
    description: str | None = Field(None, max_length=1024, description="What the files are, for people.")


class OutputPort(ApiModel):
    """An output port: a folder of results."""

    name: str = Field(max_length=84, description="<component>.<port>, e.g. worker.results.")
    description: str | None = Field(None, max_length=1024, description="What the results are, for people.")


class Gpu(ApiModel):
    """The GPUs that one pod gets."""

    count: int = Field(ge=1, le=64, description="Number of GPUs (nvidia.com/gpu).")
    product: str | None = Field(
        None, max_length=63, description="The product, as in the node label nvidia.com/gpu.product."
    )
    memory_gb: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="At least this much memory a GPU, in GB of 10^9 bytes (nvidia.com/gpu.memory).",
    )


class Resources(ApiModel):
    """What one pod gets; requests and limits are the same."""

    cpu: Quantity | None = Field(None, description="CPU, e.g. 2 or 500m.")
    memory: Quantity | None = Field(None, description="Memory, e.g. 4Gi.")
    ephemeral_storage: Quantity | None = Field(None, description="Scratch space on the node, e.g. 10Gi.")
    shm: Quantity | None = Field(None, description="Size of /dev/shm, e.g. 1Gi.")
    gpu: Gpu | None = Field(None, description="GPUs; absent: none.")


class Toleration(ApiModel):
    """A taint that the component's pods tolerate."""

    key: str | None = Field(None, max_length=317, description="The taint's key; absent with Exists: every key.")
    operator: Literal["Exists", "Equal"] | None = Field(None, description="Exists or Equal (default).")
    value: str | None = Field(None, max_length=63, description="The taint's value, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="The taint's effect; absent: every effect."
    )
    toleration_seconds: int | None = Field(None, ge=0, description="How long a NoExecute taint is tolerated.")


class SecretKey(ApiModel):
    """A key of a Secret in the job's namespace."""

    name: str = Field(max_length=253, description="The Secret's name.")
    key: str = Field(max_length=253, description="The key in it.")


class EnvironmentVariable(ApiModel):
    """An environment variable: a value, or a key of a Secret."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            cel("has(self.value) != has(self.secret)", "give either value or secret"),
            cel("!self.name.startsWith('BATCH_')", "names that begin with BATCH_ are the operator's"),
        )
    )

    name: str = Field(max_length=128, pattern="^[A-Za-z_][A-Za-z0-9_]*$", description="The variable's name.")
    value: Text | None = Field(None, description="Its value.")
    secret: SecretKey | None = Field(None, description="The Secret's key that holds its value.")


class EmptyDirectory(ApiModel):
    """Scratch space that ends with the pod."""

    medium: Literal["Memory"] | None = Field(None, description="Memory: a tmpfs.")
    size_limit: Quantity | None = Field(None, description="The most it may hold.")


class VolumeSource(ApiModel):
    """Where a volume comes from: exactly one of the four."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            cel(
                "[has(self.persistent_volume_claim), has(self.config_map), has(self.secret), has(self.empty_dir)]"
                ".filter(x, x).size() == 1",
                "give exactly one of persistent_volume_claim, config_map, secret, empty_dir",
            )
        )
    )

    mount_path: str = Field(
        max_length=1024, pattern="^/[^:]*$", description="Where it is mounted in the worker's container."
    )
    read_only: bool | None = Field(None, description="Mount it read-only.")
    persistent_volume_claim: str | None = Field(
        None, max_length=253, description="Name of a PersistentVolumeClaim in the job's namespace."
    )
    config_map: str | None = Field(None, max_length=253, description="Name of a ConfigMap in the job's namespace.")
    secret: str | None = Field(None, max_length=253, description="Name of a Secret in the job's namespace.")
    empty_dir: EmptyDirectory | None = Field(None, description="Scratch space that ends with the pod.")


class Volume(VolumeSource):
    """A volume of the component's pods."""

    name: str = Field(max_length=50, pattern=KEY_PATTERN, description="The volume's name.")


class Component(ApiModel):
    """One container that the pipeline runs, as one or more pods."""

    image: str = Field(min_length=1, max_length=1024, description="The container image.")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        None, description="As in a Pod. Default: Kubernetes' own."
    )
    command: list[Text] | None = Field(None, max_length=64, description="The entry point. Default: the image's.")
    args: list[Text] | None = Field(None, max_length=64, description="Its arguments. Default: the image's.")
    resources: Resources | None = Field(None, description="What one pod gets.")
    max_parallelism: int | None = Field(None, ge=1, le=1000, description="The most pods that a job may ask for.")
    restart_scope: Literal["Index", "Job"] | None = Field(
        None,
        description="What starts again after a pod is lost: Index, that pod alone; Job, all of the job's pods as one "
        "round (they depend on each other). Default: Job for type training, else Index.",
    )
    force_delete_after_seconds: int | None = Field(
        None,
        ge=-1,
        le=86_400,
        description="Delete a pod by force that is still terminating this long after its grace period, on a node that "
        "is not Ready. Only for workers that bear a twin which still runs there unseen. Default: -1, never.",
    )
    tolerations: list[Toleration] | None = Field(None, max_length=32, description="Taints that the pods tolerate.")
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] | None = Field(
        None, description="Labels that a node must have.", json_schema_extra={"maxProperties": 32}
    )
    runtime_class_name: str | None = Field(None, max_length=253, description="As in a Pod.")
    service_account_name: str | None = Field(
        None,
        max_length=253,
        description="The pods' ServiceAccount, in the job's namespace. Default: default.",
    )
    image_pull_secrets: list[Annotated[str, Field(max_length=253)]] | None = Field(
        None, max_length=8, description="Names of Secrets in the job's namespace."
    )
    env: list[EnvironmentVariable] | None = Field(None, max_length=64, description="Environment variables.")
    volumes: list[Volume] | None = Field(None, max_length=16, description="Volumes and where they are mounted.")


class Storage(ApiModel):
    """Where input files are read and results are written."""

    inputs_url: str = Field(
        max_length=1024,
        pattern="^(file|s3|gs)://",
        description="file_ids are paths below it: file://, s3:// or gs://.",
    )
    outputs_url: str = Field(
        max_length=1024,
        pattern="^(file|s3|gs)://",
        description="Results go below it, under <namespace>/<job id>/<output port>/<input number>/.",
    )
    volume: VolumeSource | None = Field(None, description="The volume that a file:// store lies on.")
    credentials_secret: str | None = Field(
        None,
        max_length=253,
        description="A Secret in the job's namespace whose keys become environment variables, e.g. AWS_ACCESS_KEY_ID.",
    )


class PipelineDefaults(ApiModel):
    """What a component runs with where the job says nothing."""

    parallelism: int | None = Field(None, ge=1, le=1000, description="Number of pods. Default: 1.")
    config: FreeForm | None = Field(None, description="Configuration of the container.")


_PORT_PATTERN = f"{COMPONENT_PATTERN[:-1]}[.][a-z0-9_]+$"
_COMPONENT_NAMES = cel(
    f"self.all(k, k.matches('{COMPONENT_PATTERN}'))",
    "a component's name is a DNS label of at most 20 characters",
)


_BY_NAME = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


def _ports(kind: str) -> tuple[dict[str, str], ...]:
    return (cel(f"self.all(p, p.name.matches('{_PORT_PATTERN}'))", f"{kind} port is named <component>.<port>"),)


_REMEDY = "a published version is frozen, publish another one"
_PUBLISHED = (
    "key", "version", "type", "input_ports", "output_ports", "components", "default_config",
    "user_config_schema", "retry_policy", "storage",
)  # fmt: skip


class PipelineSpec(ApiModel):
    """One version of a pipeline. Once it is published, only its status may change."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            *(
                immutable(
                    field, "a published version is frozen, publish another one", unless="oldSelf.status == 'draft'"
                )
                for field in _PUBLISHED
            ),
            cel(
                "oldSelf.status == 'draft' || self.status != 'draft'",
                "a published version never becomes a draft again",
            ),
            cel(
                "!has(self.input_ports) || self.input_ports.all(p, p.name.split('.')[0] in self.components)",
                "input_ports must name a component of spec.components",
            ),
            cel(
                "!has(self.output_ports) || self.output_ports.all(p, p.name.split('.')[0] in self.components)",
                "output_ports must name a component of spec.components",
            ),
            cel(
                "!has(self.default_config) || self.default_config.all(k, k in self.components)",
                "default_config must name components of spec.components",
            ),
        )
    )

    key: str = Field(max_length=63, pattern=KEY_PATTERN, description="What jobs name in pipeline_key.")
    version: str = Field(max_length=64, pattern=SEMVER_PATTERN, description="The version, by Semantic Versioning 2.0.")
    type: Literal["batch", "training"] = Field(description="What jobs name in pipeline_type.")
    status: Literal["draft", "published", "deactivated"] = Field(
        description="draft: may be edited, jobs cannot use it; published: frozen, jobs may use it; "
        "deactivated: frozen, new jobs cannot use it."
    )
    input_ports: list[InputPort] | None = Field(
        None,
        max_length=32,
        description="What the pipeline reads.",
        json_schema_extra=_BY_NAME
        | validations(
            *_ports("an input"),
            cel(
                "self.all(p, p.tracked == (p.distribute == 'scatter'))",
                "a port is tracked exactly if it scatters",
            ),
        ),
    )
    output_ports: list[OutputPort] | None = Field(
        None,
        max_length=32,
        description="What the pipeline writes.",
        json_schema_extra=_BY_NAME | validations(*_ports("an output")),
    )
    components: dict[str, Component] = Field(
        min_length=1,
        description="The containers that run, by name.",
        json_schema_extra=validations(_COMPONENT_NAMES, maxProperties=16),
    )
    default_config: dict[str, PipelineDefaults] | None = Field(
        None,
        description="By component: what runs where the job says nothing.",
        json_schema_extra={"maxProperties": 16},
    )
    user_config_schema: dict[str, FreeForm] | None = Field(
        None,
        description="By component: a JSON Schema of what a job may set in config. Everything else is locked to the "
        "default; a component without a schema is locked whole.",
        json_schema_extra={"maxProperties": 16},
    )
    retry_policy: Policy | None = Field(
        None,
        description="The policy of jobs that do not set their own. What is absent here too has the default.",
    )
    storage: Storage = Field(description="Where files are read and results are written.")


class PipelineObject(ApiModel):
    """One version of a pipeline in the registry: what a BatchJob's pipeline_key and pipeline_version name."""

    spec: PipelineSpec
