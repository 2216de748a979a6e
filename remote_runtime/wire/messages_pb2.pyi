from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Versions(_message.Message):
    __slots__ = ("protocol", "warmcell", "python", "packages", "host")
    class PackagesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    WARMCELL_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    PACKAGES_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    warmcell: str
    python: str
    packages: _containers.ScalarMap[str, str]
    host: str
    def __init__(self, protocol: _Optional[int] = ..., warmcell: _Optional[str] = ..., python: _Optional[str] = ..., packages: _Optional[_Mapping[str, str]] = ..., host: _Optional[str] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("id", "model", "memory_bytes", "simulated", "index", "state", "holder", "price_per_hour")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIMULATED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    PRICE_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: str
    memory_bytes: int
    simulated: bool
    index: int
    state: str
    holder: str
    price_per_hour: float
    def __init__(self, id: _Optional[str] = ..., model: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., simulated: bool = ..., index: _Optional[int] = ..., state: _Optional[str] = ..., holder: _Optional[str] = ..., price_per_hour: _Optional[float] = ...) -> None: ...

class Caller(_message.Message):
    __slots__ = ("user", "scopes", "token_id", "expires_at")
    USER_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    user: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    token_id: str
    expires_at: float
    def __init__(self, user: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., token_id: _Optional[str] = ..., expires_at: _Optional[float] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("versions", "caller")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    versions: Versions
    caller: Caller
    def __init__(self, versions: _Optional[_Union[Versions, _Mapping]] = ..., caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class RuntimeInfo(_message.Message):
    __slots__ = ("versions", "engine", "devices", "http", "grpc", "unix", "pid", "idle_exit_s", "sessions", "start", "start_why", "caller", "now_at", "mounts", "config", "lease_memory_bytes")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    GRPC_FIELD_NUMBER: _ClassVar[int]
    UNIX_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    IDLE_EXIT_S_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    START_WHY_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    NOW_AT_FIELD_NUMBER: _ClassVar[int]
    MOUNTS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    LEASE_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    versions: Versions
    engine: str
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    http: str
    grpc: str
    unix: str
    pid: int
    idle_exit_s: float
    sessions: _containers.RepeatedCompositeFieldContainer[SessionInfo]
    start: str
    start_why: str
    caller: Caller
    now_at: float
    mounts: _containers.RepeatedCompositeFieldContainer[Mount]
    config: str
    lease_memory_bytes: int
    def __init__(self, versions: _Optional[_Union[Versions, _Mapping]] = ..., engine: _Optional[str] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., http: _Optional[str] = ..., grpc: _Optional[str] = ..., unix: _Optional[str] = ..., pid: _Optional[int] = ..., idle_exit_s: _Optional[float] = ..., sessions: _Optional[_Iterable[_Union[SessionInfo, _Mapping]]] = ..., start: _Optional[str] = ..., start_why: _Optional[str] = ..., caller: _Optional[_Union[Caller, _Mapping]] = ..., now_at: _Optional[float] = ..., mounts: _Optional[_Iterable[_Union[Mount, _Mapping]]] = ..., config: _Optional[str] = ..., lease_memory_bytes: _Optional[int] = ...) -> None: ...

class SessionInfo(_message.Message):
    __slots__ = ("session_id", "name", "target", "notebook", "state", "age_s", "idle_s", "device_ids", "pid", "runs", "name_count", "memory_bytes", "attached_count", "incarnation", "names", "held_s", "busy_s", "run_left_s", "user", "environment", "device_memory_bytes", "device_used_bytes")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    NOTEBOOK_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    IDLE_S_FIELD_NUMBER: _ClassVar[int]
    DEVICE_IDS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NAME_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    HELD_S_FIELD_NUMBER: _ClassVar[int]
    BUSY_S_FIELD_NUMBER: _ClassVar[int]
    RUN_LEFT_S_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    name: str
    target: str
    notebook: str
    state: str
    age_s: float
    idle_s: float
    device_ids: _containers.RepeatedScalarFieldContainer[str]
    pid: int
    runs: _containers.RepeatedCompositeFieldContainer[RunInfo]
    name_count: int
    memory_bytes: int
    attached_count: int
    incarnation: int
    names: _containers.RepeatedScalarFieldContainer[str]
    held_s: float
    busy_s: float
    run_left_s: float
    user: str
    environment: WorkerEnvironment
    device_memory_bytes: int
    device_used_bytes: int
    def __init__(self, session_id: _Optional[str] = ..., name: _Optional[str] = ..., target: _Optional[str] = ..., notebook: _Optional[str] = ..., state: _Optional[str] = ..., age_s: _Optional[float] = ..., idle_s: _Optional[float] = ..., device_ids: _Optional[_Iterable[str]] = ..., pid: _Optional[int] = ..., runs: _Optional[_Iterable[_Union[RunInfo, _Mapping]]] = ..., name_count: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., attached_count: _Optional[int] = ..., incarnation: _Optional[int] = ..., names: _Optional[_Iterable[str]] = ..., held_s: _Optional[float] = ..., busy_s: _Optional[float] = ..., run_left_s: _Optional[float] = ..., user: _Optional[str] = ..., environment: _Optional[_Union[WorkerEnvironment, _Mapping]] = ..., device_memory_bytes: _Optional[int] = ..., device_used_bytes: _Optional[int] = ...) -> None: ...

class RunInfo(_message.Message):
    __slots__ = ("run_id", "state", "label", "started_at", "elapsed_s", "event_count", "background", "session_id", "age_s")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_S_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    state: str
    label: str
    started_at: float
    elapsed_s: float
    event_count: int
    background: bool
    session_id: str
    age_s: float
    def __init__(self, run_id: _Optional[str] = ..., state: _Optional[str] = ..., label: _Optional[str] = ..., started_at: _Optional[float] = ..., elapsed_s: _Optional[float] = ..., event_count: _Optional[int] = ..., background: bool = ..., session_id: _Optional[str] = ..., age_s: _Optional[float] = ...) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ("versions", "target", "session", "notebook", "idle_s", "no_wait", "must_exist", "user", "ticket", "environment", "env", "secrets", "device_memory_bytes", "exclusive", "caller")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NOTEBOOK_FIELD_NUMBER: _ClassVar[int]
    IDLE_S_FIELD_NUMBER: _ClassVar[int]
    NO_WAIT_FIELD_NUMBER: _ClassVar[int]
    MUST_EXIST_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    versions: Versions
    target: str
    session: str
    notebook: str
    idle_s: float
    no_wait: bool
    must_exist: bool
    user: str
    ticket: str
    environment: WorkerEnvironment
    env: _containers.ScalarMap[str, str]
    secrets: _containers.RepeatedScalarFieldContainer[str]
    device_memory_bytes: int
    exclusive: bool
    caller: Caller
    def __init__(self, versions: _Optional[_Union[Versions, _Mapping]] = ..., target: _Optional[str] = ..., session: _Optional[str] = ..., notebook: _Optional[str] = ..., idle_s: _Optional[float] = ..., no_wait: bool = ..., must_exist: bool = ..., user: _Optional[str] = ..., ticket: _Optional[str] = ..., environment: _Optional[_Union[WorkerEnvironment, _Mapping]] = ..., env: _Optional[_Mapping[str, str]] = ..., secrets: _Optional[_Iterable[str]] = ..., device_memory_bytes: _Optional[int] = ..., exclusive: bool = ..., caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class WorkerEnvironment(_message.Message):
    __slots__ = ("image", "python", "mounts", "volumes", "block_network")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    MOUNTS_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    BLOCK_NETWORK_FIELD_NUMBER: _ClassVar[int]
    image: str
    python: str
    mounts: _containers.RepeatedCompositeFieldContainer[Mount]
    volumes: _containers.RepeatedCompositeFieldContainer[VolumeMount]
    block_network: bool
    def __init__(self, image: _Optional[str] = ..., python: _Optional[str] = ..., mounts: _Optional[_Iterable[_Union[Mount, _Mapping]]] = ..., volumes: _Optional[_Iterable[_Union[VolumeMount, _Mapping]]] = ..., block_network: bool = ...) -> None: ...

class Mount(_message.Message):
    __slots__ = ("source", "target", "writable")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    WRITABLE_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    writable: bool
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., writable: bool = ...) -> None: ...

class VolumeMount(_message.Message):
    __slots__ = ("name", "target", "read_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    target: str
    read_only: bool
    def __init__(self, name: _Optional[str] = ..., target: _Optional[str] = ..., read_only: bool = ...) -> None: ...

class ConsiderReply(_message.Message):
    __slots__ = ("environment", "versions", "remarks", "variables")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    REMARKS_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    environment: WorkerEnvironment
    versions: Versions
    remarks: _containers.RepeatedScalarFieldContainer[str]
    variables: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, environment: _Optional[_Union[WorkerEnvironment, _Mapping]] = ..., versions: _Optional[_Union[Versions, _Mapping]] = ..., remarks: _Optional[_Iterable[str]] = ..., variables: _Optional[_Iterable[str]] = ...) -> None: ...

class LendRequest(_message.Message):
    __slots__ = ("session_id", "run_id", "secrets", "env", "user")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    run_id: str
    secrets: _containers.RepeatedScalarFieldContainer[str]
    env: _containers.ScalarMap[str, str]
    user: str
    def __init__(self, session_id: _Optional[str] = ..., run_id: _Optional[str] = ..., secrets: _Optional[_Iterable[str]] = ..., env: _Optional[_Mapping[str, str]] = ..., user: _Optional[str] = ...) -> None: ...

class SecretsRequest(_message.Message):
    __slots__ = ("put", "remove", "list", "user")
    PUT_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    put: SecretPut
    remove: str
    list: Empty
    user: str
    def __init__(self, put: _Optional[_Union[SecretPut, _Mapping]] = ..., remove: _Optional[str] = ..., list: _Optional[_Union[Empty, _Mapping]] = ..., user: _Optional[str] = ...) -> None: ...

class SecretPut(_message.Message):
    __slots__ = ("name", "variables", "overwrite")
    class VariablesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    name: str
    variables: _containers.ScalarMap[str, str]
    overwrite: bool
    def __init__(self, name: _Optional[str] = ..., variables: _Optional[_Mapping[str, str]] = ..., overwrite: bool = ...) -> None: ...

class SecretInfo(_message.Message):
    __slots__ = ("name", "variables", "created_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    variables: _containers.RepeatedScalarFieldContainer[str]
    created_at: float
    def __init__(self, name: _Optional[str] = ..., variables: _Optional[_Iterable[str]] = ..., created_at: _Optional[float] = ...) -> None: ...

class SecretsReply(_message.Message):
    __slots__ = ("secrets",)
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    secrets: _containers.RepeatedCompositeFieldContainer[SecretInfo]
    def __init__(self, secrets: _Optional[_Iterable[_Union[SecretInfo, _Mapping]]] = ...) -> None: ...

class VolumesRequest(_message.Message):
    __slots__ = ("make", "remove", "list", "commit", "user")
    MAKE_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    make: VolumeMake
    remove: str
    list: Empty
    commit: str
    user: str
    def __init__(self, make: _Optional[_Union[VolumeMake, _Mapping]] = ..., remove: _Optional[str] = ..., list: _Optional[_Union[Empty, _Mapping]] = ..., commit: _Optional[str] = ..., user: _Optional[str] = ...) -> None: ...

class VolumeMake(_message.Message):
    __slots__ = ("name", "create_if_missing", "must_be_new")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_IF_MISSING_FIELD_NUMBER: _ClassVar[int]
    MUST_BE_NEW_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_if_missing: bool
    must_be_new: bool
    def __init__(self, name: _Optional[str] = ..., create_if_missing: bool = ..., must_be_new: bool = ...) -> None: ...

class VolumeInfo(_message.Message):
    __slots__ = ("name", "created_at", "size_bytes", "file_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    created_at: float
    size_bytes: int
    file_count: int
    def __init__(self, name: _Optional[str] = ..., created_at: _Optional[float] = ..., size_bytes: _Optional[int] = ..., file_count: _Optional[int] = ...) -> None: ...

class VolumesReply(_message.Message):
    __slots__ = ("volumes",)
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    volumes: _containers.RepeatedCompositeFieldContainer[VolumeInfo]
    def __init__(self, volumes: _Optional[_Iterable[_Union[VolumeInfo, _Mapping]]] = ...) -> None: ...

class OpenUpdate(_message.Message):
    __slots__ = ("waiting", "granted")
    WAITING_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    waiting: Waiting
    granted: Granted
    def __init__(self, waiting: _Optional[_Union[Waiting, _Mapping]] = ..., granted: _Optional[_Union[Granted, _Mapping]] = ...) -> None: ...

class Waiting(_message.Message):
    __slots__ = ("place", "holder", "reason", "release_in_s", "ticket", "estimate_s", "rests_on", "note")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RELEASE_IN_S_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_S_FIELD_NUMBER: _ClassVar[int]
    RESTS_ON_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    place: int
    holder: str
    reason: str
    release_in_s: float
    ticket: str
    estimate_s: float
    rests_on: str
    note: str
    def __init__(self, place: _Optional[int] = ..., holder: _Optional[str] = ..., reason: _Optional[str] = ..., release_in_s: _Optional[float] = ..., ticket: _Optional[str] = ..., estimate_s: _Optional[float] = ..., rests_on: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class Granted(_message.Message):
    __slots__ = ("session_id", "unix", "token", "incarnation", "devices", "fresh", "versions", "wait_s")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    UNIX_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    unix: str
    token: str
    incarnation: int
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    fresh: bool
    versions: Versions
    wait_s: float
    def __init__(self, session_id: _Optional[str] = ..., unix: _Optional[str] = ..., token: _Optional[str] = ..., incarnation: _Optional[int] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., fresh: bool = ..., versions: _Optional[_Union[Versions, _Mapping]] = ..., wait_s: _Optional[float] = ...) -> None: ...

class WarmRequest(_message.Message):
    __slots__ = ("target", "environment", "caller")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    target: str
    environment: WorkerEnvironment
    caller: Caller
    def __init__(self, target: _Optional[str] = ..., environment: _Optional[_Union[WorkerEnvironment, _Mapping]] = ..., caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class WarmReply(_message.Message):
    __slots__ = ("warming", "reason")
    WARMING_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    warming: bool
    reason: str
    def __init__(self, warming: bool = ..., reason: _Optional[str] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("session", "force", "caller")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    session: str
    force: bool
    caller: Caller
    def __init__(self, session: _Optional[str] = ..., force: bool = ..., caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class ReleaseReply(_message.Message):
    __slots__ = ("lost_names", "stopped_runs")
    LOST_NAMES_FIELD_NUMBER: _ClassVar[int]
    STOPPED_RUNS_FIELD_NUMBER: _ClassVar[int]
    lost_names: _containers.RepeatedScalarFieldContainer[str]
    stopped_runs: _containers.RepeatedCompositeFieldContainer[RunInfo]
    def __init__(self, lost_names: _Optional[_Iterable[str]] = ..., stopped_runs: _Optional[_Iterable[_Union[RunInfo, _Mapping]]] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StopRequest(_message.Message):
    __slots__ = ("force", "caller")
    FORCE_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    force: bool
    caller: Caller
    def __init__(self, force: bool = ..., caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class StopReply(_message.Message):
    __slots__ = ("stopped",)
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    stopped: _containers.RepeatedCompositeFieldContainer[SessionInfo]
    def __init__(self, stopped: _Optional[_Iterable[_Union[SessionInfo, _Mapping]]] = ...) -> None: ...

class ExitRequest(_message.Message):
    __slots__ = ("session_id", "incarnation", "caller")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    incarnation: int
    caller: Caller
    def __init__(self, session_id: _Optional[str] = ..., incarnation: _Optional[int] = ..., caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class ExitReply(_message.Message):
    __slots__ = ("gone", "reason", "detail")
    GONE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    gone: bool
    reason: str
    detail: str
    def __init__(self, gone: bool = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class TokenInfo(_message.Message):
    __slots__ = ("token_id", "user", "scopes", "created_at", "expires_at", "revoked_at", "used_at", "own")
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_FIELD_NUMBER: _ClassVar[int]
    USED_AT_FIELD_NUMBER: _ClassVar[int]
    OWN_FIELD_NUMBER: _ClassVar[int]
    token_id: str
    user: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    created_at: float
    expires_at: float
    revoked_at: float
    used_at: float
    own: bool
    def __init__(self, token_id: _Optional[str] = ..., user: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., created_at: _Optional[float] = ..., expires_at: _Optional[float] = ..., revoked_at: _Optional[float] = ..., used_at: _Optional[float] = ..., own: bool = ...) -> None: ...

class AddTokenRequest(_message.Message):
    __slots__ = ("user", "scopes", "expires_s", "new_user", "caller")
    USER_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_S_FIELD_NUMBER: _ClassVar[int]
    NEW_USER_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    user: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    expires_s: float
    new_user: bool
    caller: Caller
    def __init__(self, user: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., expires_s: _Optional[float] = ..., new_user: bool = ..., caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class AddTokenReply(_message.Message):
    __slots__ = ("info", "token")
    INFO_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    info: TokenInfo
    token: str
    def __init__(self, info: _Optional[_Union[TokenInfo, _Mapping]] = ..., token: _Optional[str] = ...) -> None: ...

class ListTokensRequest(_message.Message):
    __slots__ = ("caller",)
    CALLER_FIELD_NUMBER: _ClassVar[int]
    caller: Caller
    def __init__(self, caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class TokenTable(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[TokenInfo]
    def __init__(self, tokens: _Optional[_Iterable[_Union[TokenInfo, _Mapping]]] = ...) -> None: ...

class RevokeRequest(_message.Message):
    __slots__ = ("what", "stop", "caller")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    what: str
    stop: bool
    caller: Caller
    def __init__(self, what: _Optional[str] = ..., stop: bool = ..., caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class RevokeReply(_message.Message):
    __slots__ = ("revoked", "stopped", "living")
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    LIVING_FIELD_NUMBER: _ClassVar[int]
    revoked: _containers.RepeatedCompositeFieldContainer[TokenInfo]
    stopped: _containers.RepeatedScalarFieldContainer[str]
    living: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, revoked: _Optional[_Iterable[_Union[TokenInfo, _Mapping]]] = ..., stopped: _Optional[_Iterable[str]] = ..., living: _Optional[_Iterable[str]] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("name", "state", "sentence", "fix")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    FIX_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    sentence: str
    fix: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., sentence: _Optional[str] = ..., fix: _Optional[str] = ...) -> None: ...

class DoctorRequest(_message.Message):
    __slots__ = ("caller",)
    CALLER_FIELD_NUMBER: _ClassVar[int]
    caller: Caller
    def __init__(self, caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class DoctorReply(_message.Message):
    __slots__ = ("findings",)
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    def __init__(self, findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ...) -> None: ...

class BuildRequest(_message.Message):
    __slots__ = ("spec", "secrets", "logins", "parent", "user")
    class SecretsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    LOGINS_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    spec: str
    secrets: _containers.ScalarMap[str, str]
    logins: _containers.RepeatedCompositeFieldContainer[Login]
    parent: str
    user: str
    def __init__(self, spec: _Optional[str] = ..., secrets: _Optional[_Mapping[str, str]] = ..., logins: _Optional[_Iterable[_Union[Login, _Mapping]]] = ..., parent: _Optional[str] = ..., user: _Optional[str] = ...) -> None: ...

class Login(_message.Message):
    __slots__ = ("host", "user", "password")
    HOST_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    host: str
    user: str
    password: str
    def __init__(self, host: _Optional[str] = ..., user: _Optional[str] = ..., password: _Optional[str] = ...) -> None: ...

class BuildUpdate(_message.Message):
    __slots__ = ("lacking", "step", "line", "built")
    LACKING_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    BUILT_FIELD_NUMBER: _ClassVar[int]
    lacking: Lacking
    step: BuildStep
    line: str
    built: Built
    def __init__(self, lacking: _Optional[_Union[Lacking, _Mapping]] = ..., step: _Optional[_Union[BuildStep, _Mapping]] = ..., line: _Optional[str] = ..., built: _Optional[_Union[Built, _Mapping]] = ...) -> None: ...

class Lacking(_message.Message):
    __slots__ = ("digests",)
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    digests: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, digests: _Optional[_Iterable[str]] = ...) -> None: ...

class BuildStep(_message.Message):
    __slots__ = ("number", "count", "title", "reused")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    REUSED_FIELD_NUMBER: _ClassVar[int]
    number: int
    count: int
    title: str
    reused: bool
    def __init__(self, number: _Optional[int] = ..., count: _Optional[int] = ..., title: _Optional[str] = ..., reused: bool = ...) -> None: ...

class Built(_message.Message):
    __slots__ = ("digest", "reused", "took_s", "added", "changed", "live", "python")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REUSED_FIELD_NUMBER: _ClassVar[int]
    TOOK_S_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    digest: str
    reused: bool
    took_s: float
    added: _containers.RepeatedScalarFieldContainer[str]
    changed: _containers.RepeatedScalarFieldContainer[str]
    live: _containers.RepeatedScalarFieldContainer[str]
    python: str
    def __init__(self, digest: _Optional[str] = ..., reused: bool = ..., took_s: _Optional[float] = ..., added: _Optional[_Iterable[str]] = ..., changed: _Optional[_Iterable[str]] = ..., live: _Optional[_Iterable[str]] = ..., python: _Optional[str] = ...) -> None: ...

class SupplyRequest(_message.Message):
    __slots__ = ("digest", "offset", "content", "last")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    digest: str
    offset: int
    content: bytes
    last: bool
    def __init__(self, digest: _Optional[str] = ..., offset: _Optional[int] = ..., content: _Optional[bytes] = ..., last: bool = ...) -> None: ...

class SupplyReply(_message.Message):
    __slots__ = ("size_bytes",)
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    def __init__(self, size_bytes: _Optional[int] = ...) -> None: ...

class ClaimRequest(_message.Message):
    __slots__ = ("session_id", "session", "notebook", "token", "devices", "directory", "target", "incarnation", "memory_limit_bytes", "env", "shared_devices", "cache_bytes", "places", "device_memory_bytes")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NOTEBOOK_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    SHARED_DEVICES_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    session: str
    notebook: str
    token: str
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    directory: str
    target: str
    incarnation: int
    memory_limit_bytes: int
    env: _containers.ScalarMap[str, str]
    shared_devices: bool
    cache_bytes: int
    places: _containers.RepeatedCompositeFieldContainer[Mount]
    device_memory_bytes: int
    def __init__(self, session_id: _Optional[str] = ..., session: _Optional[str] = ..., notebook: _Optional[str] = ..., token: _Optional[str] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., directory: _Optional[str] = ..., target: _Optional[str] = ..., incarnation: _Optional[int] = ..., memory_limit_bytes: _Optional[int] = ..., env: _Optional[_Mapping[str, str]] = ..., shared_devices: bool = ..., cache_bytes: _Optional[int] = ..., places: _Optional[_Iterable[_Union[Mount, _Mapping]]] = ..., device_memory_bytes: _Optional[int] = ...) -> None: ...

class ClaimReply(_message.Message):
    __slots__ = ("claimed", "reason", "pid")
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    claimed: bool
    reason: str
    pid: int
    def __init__(self, claimed: bool = ..., reason: _Optional[str] = ..., pid: _Optional[int] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("ttl_s",)
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    ttl_s: float
    def __init__(self, ttl_s: _Optional[float] = ...) -> None: ...

class NoticeRequest(_message.Message):
    __slots__ = ("text", "release_in_s")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_IN_S_FIELD_NUMBER: _ClassVar[int]
    text: str
    release_in_s: float
    def __init__(self, text: _Optional[str] = ..., release_in_s: _Optional[float] = ...) -> None: ...

class KeeperStopRequest(_message.Message):
    __slots__ = ("grace_s", "reason")
    GRACE_S_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    grace_s: float
    reason: str
    def __init__(self, grace_s: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class Empty(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BundleHeader(_message.Message):
    __slots__ = ("bundle_id", "inline_pickle", "pickle_bytes", "buffer_bytes", "blocks", "contents")
    BUNDLE_ID_FIELD_NUMBER: _ClassVar[int]
    INLINE_PICKLE_FIELD_NUMBER: _ClassVar[int]
    PICKLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BUFFER_BYTES_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    bundle_id: int
    inline_pickle: bytes
    pickle_bytes: int
    buffer_bytes: _containers.RepeatedScalarFieldContainer[int]
    blocks: _containers.RepeatedCompositeFieldContainer[Block]
    contents: _containers.RepeatedCompositeFieldContainer[Content]
    def __init__(self, bundle_id: _Optional[int] = ..., inline_pickle: _Optional[bytes] = ..., pickle_bytes: _Optional[int] = ..., buffer_bytes: _Optional[_Iterable[int]] = ..., blocks: _Optional[_Iterable[_Union[Block, _Mapping]]] = ..., contents: _Optional[_Iterable[_Union[Content, _Mapping]]] = ...) -> None: ...

class Content(_message.Message):
    __slots__ = ("digest", "size_bytes", "buffer", "offset", "held")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    size_bytes: int
    buffer: int
    offset: int
    held: bool
    def __init__(self, digest: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., buffer: _Optional[int] = ..., offset: _Optional[int] = ..., held: bool = ...) -> None: ...

class Stock(_message.Message):
    __slots__ = ("added", "gone")
    ADDED_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    added: _containers.RepeatedCompositeFieldContainer[Content]
    gone: _containers.RepeatedCompositeFieldContainer[Content]
    def __init__(self, added: _Optional[_Iterable[_Union[Content, _Mapping]]] = ..., gone: _Optional[_Iterable[_Union[Content, _Mapping]]] = ...) -> None: ...

class Block(_message.Message):
    __slots__ = ("segment", "offset", "size_bytes", "digest")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    segment: int
    offset: int
    size_bytes: int
    digest: bytes
    def __init__(self, segment: _Optional[int] = ..., offset: _Optional[int] = ..., size_bytes: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("segment", "size_bytes")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    segment: int
    size_bytes: int
    def __init__(self, segment: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Freed(_message.Message):
    __slots__ = ("blocks", "abandoned")
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    ABANDONED_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[Block]
    abandoned: bool
    def __init__(self, blocks: _Optional[_Iterable[_Union[Block, _Mapping]]] = ..., abandoned: bool = ...) -> None: ...

class ToWorker(_message.Message):
    __slots__ = ("request_id", "hello", "run", "interrupt", "ack", "follow", "fetch", "put", "remove", "list_vars", "free", "list_runs", "environment", "drop", "input", "segment", "freed", "comm", "files", "sources", "share_bytes")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    INTERRUPT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    PUT_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    LIST_VARS_FIELD_NUMBER: _ClassVar[int]
    FREE_FIELD_NUMBER: _ClassVar[int]
    LIST_RUNS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    DROP_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    FREED_FIELD_NUMBER: _ClassVar[int]
    COMM_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    SHARE_BYTES_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    hello: Hello
    run: Run
    interrupt: Interrupt
    ack: Ack
    follow: Follow
    fetch: Fetch
    put: Put
    remove: Remove
    list_vars: ListVars
    free: Free
    list_runs: ListRuns
    environment: Environment
    drop: Drop
    input: Input
    segment: Segment
    freed: Freed
    comm: Comm
    files: FileRequest
    sources: Sources
    share_bytes: int
    def __init__(self, request_id: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., run: _Optional[_Union[Run, _Mapping]] = ..., interrupt: _Optional[_Union[Interrupt, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., follow: _Optional[_Union[Follow, _Mapping]] = ..., fetch: _Optional[_Union[Fetch, _Mapping]] = ..., put: _Optional[_Union[Put, _Mapping]] = ..., remove: _Optional[_Union[Remove, _Mapping]] = ..., list_vars: _Optional[_Union[ListVars, _Mapping]] = ..., free: _Optional[_Union[Free, _Mapping]] = ..., list_runs: _Optional[_Union[ListRuns, _Mapping]] = ..., environment: _Optional[_Union[Environment, _Mapping]] = ..., drop: _Optional[_Union[Drop, _Mapping]] = ..., input: _Optional[_Union[Input, _Mapping]] = ..., segment: _Optional[_Union[Segment, _Mapping]] = ..., freed: _Optional[_Union[Freed, _Mapping]] = ..., comm: _Optional[_Union[Comm, _Mapping]] = ..., files: _Optional[_Union[FileRequest, _Mapping]] = ..., sources: _Optional[_Union[Sources, _Mapping]] = ..., share_bytes: _Optional[int] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("versions", "token", "session_id", "incarnation", "client", "groups", "arena_bytes")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    ARENA_BYTES_FIELD_NUMBER: _ClassVar[int]
    versions: Versions
    token: str
    session_id: str
    incarnation: int
    client: str
    groups: bool
    arena_bytes: int
    def __init__(self, versions: _Optional[_Union[Versions, _Mapping]] = ..., token: _Optional[str] = ..., session_id: _Optional[str] = ..., incarnation: _Optional[int] = ..., client: _Optional[str] = ..., groups: bool = ..., arena_bytes: _Optional[int] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "source", "count", "bundle", "stash", "returns", "timeout_s", "background", "keep_s", "expression", "renames", "fresh", "sync", "sources", "env")
    class RenamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    STASH_FIELD_NUMBER: _ClassVar[int]
    RETURNS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    KEEP_S_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    RENAMES_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    source: str
    count: int
    bundle: BundleHeader
    stash: _containers.RepeatedScalarFieldContainer[str]
    returns: Returns
    timeout_s: float
    background: bool
    keep_s: float
    expression: bool
    renames: _containers.ScalarMap[str, str]
    fresh: bool
    sync: Sync
    sources: str
    env: _containers.ScalarMap[str, str]
    def __init__(self, run_id: _Optional[str] = ..., source: _Optional[str] = ..., count: _Optional[int] = ..., bundle: _Optional[_Union[BundleHeader, _Mapping]] = ..., stash: _Optional[_Iterable[str]] = ..., returns: _Optional[_Union[Returns, _Mapping]] = ..., timeout_s: _Optional[float] = ..., background: bool = ..., keep_s: _Optional[float] = ..., expression: bool = ..., renames: _Optional[_Mapping[str, str]] = ..., fresh: bool = ..., sync: _Optional[_Union[Sync, _Mapping]] = ..., sources: _Optional[str] = ..., env: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Sync(_message.Message):
    __slots__ = ("mirror", "turn", "notebook", "stamp", "names", "versions", "sent", "forced", "gone", "gone_versions", "aliased")
    MIRROR_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    NOTEBOOK_FIELD_NUMBER: _ClassVar[int]
    STAMP_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    GONE_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ALIASED_FIELD_NUMBER: _ClassVar[int]
    mirror: str
    turn: int
    notebook: str
    stamp: int
    names: _containers.RepeatedScalarFieldContainer[str]
    versions: _containers.RepeatedScalarFieldContainer[int]
    sent: _containers.RepeatedScalarFieldContainer[str]
    forced: _containers.RepeatedScalarFieldContainer[str]
    gone: _containers.RepeatedScalarFieldContainer[str]
    gone_versions: _containers.RepeatedScalarFieldContainer[int]
    aliased: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, mirror: _Optional[str] = ..., turn: _Optional[int] = ..., notebook: _Optional[str] = ..., stamp: _Optional[int] = ..., names: _Optional[_Iterable[str]] = ..., versions: _Optional[_Iterable[int]] = ..., sent: _Optional[_Iterable[str]] = ..., forced: _Optional[_Iterable[str]] = ..., gone: _Optional[_Iterable[str]] = ..., gone_versions: _Optional[_Iterable[int]] = ..., aliased: _Optional[_Iterable[str]] = ...) -> None: ...

class Returns(_message.Message):
    __slots__ = ("none", "force", "keep", "name_limit_bytes", "total_limit_bytes", "data_only")
    NONE_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    NAME_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_ONLY_FIELD_NUMBER: _ClassVar[int]
    none: bool
    force: _containers.RepeatedScalarFieldContainer[str]
    keep: _containers.RepeatedScalarFieldContainer[str]
    name_limit_bytes: int
    total_limit_bytes: int
    data_only: bool
    def __init__(self, none: bool = ..., force: _Optional[_Iterable[str]] = ..., keep: _Optional[_Iterable[str]] = ..., name_limit_bytes: _Optional[int] = ..., total_limit_bytes: _Optional[int] = ..., data_only: bool = ...) -> None: ...

class Interrupt(_message.Message):
    __slots__ = ("run_id", "kill", "why")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    kill: bool
    why: str
    def __init__(self, run_id: _Optional[str] = ..., kill: bool = ..., why: _Optional[str] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("run_id", "seq")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    seq: int
    def __init__(self, run_id: _Optional[str] = ..., seq: _Optional[int] = ...) -> None: ...

class Follow(_message.Message):
    __slots__ = ("run_id", "after_seq")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    after_seq: int
    def __init__(self, run_id: _Optional[str] = ..., after_seq: _Optional[int] = ...) -> None: ...

class Fetch(_message.Message):
    __slots__ = ("name", "token", "sync", "data_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    DATA_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    token: str
    sync: Sync
    data_only: bool
    def __init__(self, name: _Optional[str] = ..., token: _Optional[str] = ..., sync: _Optional[_Union[Sync, _Mapping]] = ..., data_only: bool = ...) -> None: ...

class Put(_message.Message):
    __slots__ = ("bundle", "sync", "sources")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    bundle: BundleHeader
    sync: Sync
    sources: str
    def __init__(self, bundle: _Optional[_Union[BundleHeader, _Mapping]] = ..., sync: _Optional[_Union[Sync, _Mapping]] = ..., sources: _Optional[str] = ...) -> None: ...

class Remove(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class ListVars(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Free(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRuns(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Environment(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Drop(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("run_id", "text", "eof", "ask_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EOF_FIELD_NUMBER: _ClassVar[int]
    ASK_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    text: str
    eof: bool
    ask_id: int
    def __init__(self, run_id: _Optional[str] = ..., text: _Optional[str] = ..., eof: bool = ..., ask_id: _Optional[int] = ...) -> None: ...

class FromWorker(_message.Message):
    __slots__ = ("request_id", "welcome", "event", "failure", "values", "vars", "runs", "environment", "removed", "notice", "done", "segment", "freed", "files", "sources", "stock")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    VARS_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    FREED_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    STOCK_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    welcome: Welcome
    event: Event
    failure: Failure
    values: Values
    vars: VarTable
    runs: RunTable
    environment: EnvironmentInfo
    removed: Removed
    notice: Notice
    done: Done
    segment: Segment
    freed: Freed
    files: FileReply
    sources: Sources
    stock: Stock
    def __init__(self, request_id: _Optional[int] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., values: _Optional[_Union[Values, _Mapping]] = ..., vars: _Optional[_Union[VarTable, _Mapping]] = ..., runs: _Optional[_Union[RunTable, _Mapping]] = ..., environment: _Optional[_Union[EnvironmentInfo, _Mapping]] = ..., removed: _Optional[_Union[Removed, _Mapping]] = ..., notice: _Optional[_Union[Notice, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., segment: _Optional[_Union[Segment, _Mapping]] = ..., freed: _Optional[_Union[Freed, _Mapping]] = ..., files: _Optional[_Union[FileReply, _Mapping]] = ..., sources: _Optional[_Union[Sources, _Mapping]] = ..., stock: _Optional[_Union[Stock, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("versions", "incarnation", "names", "devices", "pid", "runs", "stock")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    STOCK_FIELD_NUMBER: _ClassVar[int]
    versions: Versions
    incarnation: int
    names: _containers.RepeatedScalarFieldContainer[str]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    pid: int
    runs: _containers.RepeatedCompositeFieldContainer[RunInfo]
    stock: Stock
    def __init__(self, versions: _Optional[_Union[Versions, _Mapping]] = ..., incarnation: _Optional[int] = ..., names: _Optional[_Iterable[str]] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., pid: _Optional[int] = ..., runs: _Optional[_Iterable[_Union[RunInfo, _Mapping]]] = ..., stock: _Optional[_Union[Stock, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message", "hint", "detail")
    class DetailEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    hint: str
    detail: _containers.ScalarMap[str, str]
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., detail: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("bundle", "held", "turn", "version")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    bundle: BundleHeader
    held: _containers.RepeatedCompositeFieldContainer[Held]
    turn: int
    version: int
    def __init__(self, bundle: _Optional[_Union[BundleHeader, _Mapping]] = ..., held: _Optional[_Iterable[_Union[Held, _Mapping]]] = ..., turn: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class VarTable(_message.Message):
    __slots__ = ("vars", "devices")
    VARS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    vars: _containers.RepeatedCompositeFieldContainer[Held]
    devices: _containers.RepeatedCompositeFieldContainer[DeviceMemory]
    def __init__(self, vars: _Optional[_Iterable[_Union[Held, _Mapping]]] = ..., devices: _Optional[_Iterable[_Union[DeviceMemory, _Mapping]]] = ...) -> None: ...

class RunTable(_message.Message):
    __slots__ = ("runs",)
    RUNS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[RunInfo]
    def __init__(self, runs: _Optional[_Iterable[_Union[RunInfo, _Mapping]]] = ...) -> None: ...

class Removed(_message.Message):
    __slots__ = ("names", "freed_bytes", "detail", "devices")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    FREED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    freed_bytes: int
    detail: str
    devices: _containers.RepeatedCompositeFieldContainer[DeviceMemory]
    def __init__(self, names: _Optional[_Iterable[str]] = ..., freed_bytes: _Optional[int] = ..., detail: _Optional[str] = ..., devices: _Optional[_Iterable[_Union[DeviceMemory, _Mapping]]] = ...) -> None: ...

class DeviceMemory(_message.Message):
    __slots__ = ("device_id", "model", "total_bytes", "used_bytes", "own_bytes", "allocated_bytes", "reserved_bytes", "share_bytes", "others")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    OWN_BYTES_FIELD_NUMBER: _ClassVar[int]
    ALLOCATED_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHARE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    model: str
    total_bytes: int
    used_bytes: int
    own_bytes: int
    allocated_bytes: int
    reserved_bytes: int
    share_bytes: int
    others: _containers.RepeatedCompositeFieldContainer[DeviceUser]
    def __init__(self, device_id: _Optional[str] = ..., model: _Optional[str] = ..., total_bytes: _Optional[int] = ..., used_bytes: _Optional[int] = ..., own_bytes: _Optional[int] = ..., allocated_bytes: _Optional[int] = ..., reserved_bytes: _Optional[int] = ..., share_bytes: _Optional[int] = ..., others: _Optional[_Iterable[_Union[DeviceUser, _Mapping]]] = ...) -> None: ...

class DeviceUser(_message.Message):
    __slots__ = ("pid", "name", "memory_bytes")
    PID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    pid: int
    name: str
    memory_bytes: int
    def __init__(self, pid: _Optional[int] = ..., name: _Optional[str] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class Shortage(_message.Message):
    __slots__ = ("devices", "largest")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    LARGEST_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[DeviceMemory]
    largest: _containers.RepeatedCompositeFieldContainer[Held]
    def __init__(self, devices: _Optional[_Iterable[_Union[DeviceMemory, _Mapping]]] = ..., largest: _Optional[_Iterable[_Union[Held, _Mapping]]] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("text", "release_in_s")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_IN_S_FIELD_NUMBER: _ClassVar[int]
    text: str
    release_in_s: float
    def __init__(self, text: _Optional[str] = ..., release_in_s: _Optional[float] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FileRequest(_message.Message):
    __slots__ = ("list", "stat", "begin", "read", "write", "finish", "folder", "discard")
    LIST_FIELD_NUMBER: _ClassVar[int]
    STAT_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    DISCARD_FIELD_NUMBER: _ClassVar[int]
    list: FileList
    stat: FileStat
    begin: FileBegin
    read: FileRead
    write: FileWrite
    finish: FileFinish
    folder: FileFolder
    discard: FileDiscard
    def __init__(self, list: _Optional[_Union[FileList, _Mapping]] = ..., stat: _Optional[_Union[FileStat, _Mapping]] = ..., begin: _Optional[_Union[FileBegin, _Mapping]] = ..., read: _Optional[_Union[FileRead, _Mapping]] = ..., write: _Optional[_Union[FileWrite, _Mapping]] = ..., finish: _Optional[_Union[FileFinish, _Mapping]] = ..., folder: _Optional[_Union[FileFolder, _Mapping]] = ..., discard: _Optional[_Union[FileDiscard, _Mapping]] = ...) -> None: ...

class FileList(_message.Message):
    __slots__ = ("path", "after")
    PATH_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    after: bytes
    def __init__(self, path: _Optional[bytes] = ..., after: _Optional[bytes] = ...) -> None: ...

class FileStat(_message.Message):
    __slots__ = ("paths", "digest", "as_run")
    PATHS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    AS_RUN_FIELD_NUMBER: _ClassVar[int]
    paths: _containers.RepeatedScalarFieldContainer[bytes]
    digest: bool
    as_run: bool
    def __init__(self, paths: _Optional[_Iterable[bytes]] = ..., digest: bool = ..., as_run: bool = ...) -> None: ...

class FileBegin(_message.Message):
    __slots__ = ("path", "digest", "size_bytes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    digest: bytes
    size_bytes: int
    def __init__(self, path: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class FileRead(_message.Message):
    __slots__ = ("path", "offset", "size_bytes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    offset: int
    size_bytes: int
    def __init__(self, path: _Optional[bytes] = ..., offset: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class FileWrite(_message.Message):
    __slots__ = ("path", "digest", "offset", "content", "zeros_bytes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ZEROS_BYTES_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    digest: bytes
    offset: int
    content: bytes
    zeros_bytes: int
    def __init__(self, path: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., offset: _Optional[int] = ..., content: _Optional[bytes] = ..., zeros_bytes: _Optional[int] = ...) -> None: ...

class FileFinish(_message.Message):
    __slots__ = ("path", "digest", "executable", "whole", "content")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    digest: bytes
    executable: bool
    whole: bool
    content: bytes
    def __init__(self, path: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., executable: bool = ..., whole: bool = ..., content: _Optional[bytes] = ...) -> None: ...

class FileFolder(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    def __init__(self, path: _Optional[bytes] = ...) -> None: ...

class FileDiscard(_message.Message):
    __slots__ = ("path", "digest")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    digest: bytes
    def __init__(self, path: _Optional[bytes] = ..., digest: _Optional[bytes] = ...) -> None: ...

class FileReply(_message.Message):
    __slots__ = ("infos", "more", "size_bytes", "content", "zeros_bytes", "again")
    INFOS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ZEROS_BYTES_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    infos: _containers.RepeatedCompositeFieldContainer[FileInfo]
    more: bool
    size_bytes: int
    content: bytes
    zeros_bytes: int
    again: bool
    def __init__(self, infos: _Optional[_Iterable[_Union[FileInfo, _Mapping]]] = ..., more: bool = ..., size_bytes: _Optional[int] = ..., content: _Optional[bytes] = ..., zeros_bytes: _Optional[int] = ..., again: bool = ...) -> None: ...

class FileInfo(_message.Message):
    __slots__ = ("path", "kind", "size_bytes", "modified_at", "executable", "digest", "place", "problem")
    PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    kind: str
    size_bytes: int
    modified_at: float
    executable: bool
    digest: bytes
    place: bytes
    problem: str
    def __init__(self, path: _Optional[bytes] = ..., kind: _Optional[str] = ..., size_bytes: _Optional[int] = ..., modified_at: _Optional[float] = ..., executable: bool = ..., digest: _Optional[bytes] = ..., place: _Optional[bytes] = ..., problem: _Optional[str] = ...) -> None: ...

class Sources(_message.Message):
    __slots__ = ("tree", "roots", "contents", "ask", "lacking", "modules")
    TREE_FIELD_NUMBER: _ClassVar[int]
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    LACKING_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    tree: str
    roots: _containers.RepeatedCompositeFieldContainer[SourceRoot]
    contents: _containers.RepeatedCompositeFieldContainer[SourceContent]
    ask: bool
    lacking: _containers.RepeatedScalarFieldContainer[bytes]
    modules: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tree: _Optional[str] = ..., roots: _Optional[_Iterable[_Union[SourceRoot, _Mapping]]] = ..., contents: _Optional[_Iterable[_Union[SourceContent, _Mapping]]] = ..., ask: bool = ..., lacking: _Optional[_Iterable[bytes]] = ..., modules: _Optional[_Iterable[str]] = ...) -> None: ...

class SourceRoot(_message.Message):
    __slots__ = ("path", "files")
    PATH_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    path: str
    files: _containers.RepeatedCompositeFieldContainer[SourceFile]
    def __init__(self, path: _Optional[str] = ..., files: _Optional[_Iterable[_Union[SourceFile, _Mapping]]] = ...) -> None: ...

class SourceFile(_message.Message):
    __slots__ = ("path", "digest")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    path: str
    digest: bytes
    def __init__(self, path: _Optional[str] = ..., digest: _Optional[bytes] = ...) -> None: ...

class SourceContent(_message.Message):
    __slots__ = ("digest", "content")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    content: bytes
    def __init__(self, digest: _Optional[bytes] = ..., content: _Optional[bytes] = ...) -> None: ...

class EnvironmentInfo(_message.Message):
    __slots__ = ("versions", "executable", "directory", "packages", "devices", "sources", "cached_bytes", "cache_bytes", "memory")
    class PackagesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    PACKAGES_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    CACHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    versions: Versions
    executable: str
    directory: str
    packages: _containers.ScalarMap[str, str]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    sources: _containers.RepeatedScalarFieldContainer[str]
    cached_bytes: int
    cache_bytes: int
    memory: _containers.RepeatedCompositeFieldContainer[DeviceMemory]
    def __init__(self, versions: _Optional[_Union[Versions, _Mapping]] = ..., executable: _Optional[str] = ..., directory: _Optional[str] = ..., packages: _Optional[_Mapping[str, str]] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., sources: _Optional[_Iterable[str]] = ..., cached_bytes: _Optional[int] = ..., cache_bytes: _Optional[int] = ..., memory: _Optional[_Iterable[_Union[DeviceMemory, _Mapping]]] = ...) -> None: ...

class Held(_message.Message):
    __slots__ = ("name", "token", "type_name", "size_bytes", "shape", "has_shape", "dtype", "device", "preview", "version", "why")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TYPE_NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    HAS_SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    name: str
    token: str
    type_name: str
    size_bytes: int
    shape: _containers.RepeatedScalarFieldContainer[int]
    has_shape: bool
    dtype: str
    device: str
    preview: str
    version: int
    why: str
    def __init__(self, name: _Optional[str] = ..., token: _Optional[str] = ..., type_name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., shape: _Optional[_Iterable[int]] = ..., has_shape: bool = ..., dtype: _Optional[str] = ..., device: _Optional[str] = ..., preview: _Optional[str] = ..., version: _Optional[int] = ..., why: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("run_id", "seq", "at", "started", "stream", "display", "clear", "result", "reading", "ask", "cut", "comm", "end")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_FIELD_NUMBER: _ClassVar[int]
    CLEAR_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    READING_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    COMM_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    seq: int
    at: float
    started: Started
    stream: Stream
    display: Display
    clear: Clear
    result: Result
    reading: Reading
    ask: Ask
    cut: Cut
    comm: Comm
    end: End
    def __init__(self, run_id: _Optional[str] = ..., seq: _Optional[int] = ..., at: _Optional[float] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., stream: _Optional[_Union[Stream, _Mapping]] = ..., display: _Optional[_Union[Display, _Mapping]] = ..., clear: _Optional[_Union[Clear, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., reading: _Optional[_Union[Reading, _Mapping]] = ..., ask: _Optional[_Union[Ask, _Mapping]] = ..., cut: _Optional[_Union[Cut, _Mapping]] = ..., comm: _Optional[_Union[Comm, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("pid", "unpack_s")
    PID_FIELD_NUMBER: _ClassVar[int]
    UNPACK_S_FIELD_NUMBER: _ClassVar[int]
    pid: int
    unpack_s: float
    def __init__(self, pid: _Optional[int] = ..., unpack_s: _Optional[float] = ...) -> None: ...

class Stream(_message.Message):
    __slots__ = ("stderr", "text")
    STDERR_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    stderr: bool
    text: str
    def __init__(self, stderr: bool = ..., text: _Optional[str] = ...) -> None: ...

class Mime(_message.Message):
    __slots__ = ("data_json", "metadata_json")
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    data_json: str
    metadata_json: str
    def __init__(self, data_json: _Optional[str] = ..., metadata_json: _Optional[str] = ...) -> None: ...

class Comm(_message.Message):
    __slots__ = ("kind", "comm_id", "target_name", "content_json", "metadata_json", "buffers")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COMM_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_JSON_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    BUFFERS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    comm_id: str
    target_name: str
    content_json: str
    metadata_json: str
    buffers: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, kind: _Optional[str] = ..., comm_id: _Optional[str] = ..., target_name: _Optional[str] = ..., content_json: _Optional[str] = ..., metadata_json: _Optional[str] = ..., buffers: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Display(_message.Message):
    __slots__ = ("mime", "display_id", "update", "transient_json")
    MIME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_ID_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    TRANSIENT_JSON_FIELD_NUMBER: _ClassVar[int]
    mime: Mime
    display_id: str
    update: bool
    transient_json: str
    def __init__(self, mime: _Optional[_Union[Mime, _Mapping]] = ..., display_id: _Optional[str] = ..., update: bool = ..., transient_json: _Optional[str] = ...) -> None: ...

class Clear(_message.Message):
    __slots__ = ("wait",)
    WAIT_FIELD_NUMBER: _ClassVar[int]
    wait: bool
    def __init__(self, wait: bool = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("mime",)
    MIME_FIELD_NUMBER: _ClassVar[int]
    mime: Mime
    def __init__(self, mime: _Optional[_Union[Mime, _Mapping]] = ...) -> None: ...

class Reading(_message.Message):
    __slots__ = ("device_id", "utilization_pct", "memory_used_bytes", "memory_total_bytes", "own_memory_bytes")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_PCT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    OWN_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    utilization_pct: float
    memory_used_bytes: int
    memory_total_bytes: int
    own_memory_bytes: int
    def __init__(self, device_id: _Optional[str] = ..., utilization_pct: _Optional[float] = ..., memory_used_bytes: _Optional[int] = ..., memory_total_bytes: _Optional[int] = ..., own_memory_bytes: _Optional[int] = ...) -> None: ...

class Ask(_message.Message):
    __slots__ = ("prompt", "password", "ask_id")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    ASK_ID_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    password: bool
    ask_id: int
    def __init__(self, prompt: _Optional[str] = ..., password: bool = ..., ask_id: _Optional[int] = ...) -> None: ...

class Cut(_message.Message):
    __slots__ = ("stderr", "dropped_bytes", "dropped_lines", "shown_bytes")
    STDERR_FIELD_NUMBER: _ClassVar[int]
    DROPPED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_LINES_FIELD_NUMBER: _ClassVar[int]
    SHOWN_BYTES_FIELD_NUMBER: _ClassVar[int]
    stderr: bool
    dropped_bytes: int
    dropped_lines: int
    shown_bytes: int
    def __init__(self, stderr: bool = ..., dropped_bytes: _Optional[int] = ..., dropped_lines: _Optional[int] = ..., shown_bytes: _Optional[int] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("status", "problem", "bundle", "held", "deleted", "late", "run_s", "pack_s", "peak_memory_bytes", "result_name", "alive", "turn", "updated", "ahead", "versions", "slow", "landed", "notices", "memory_lost", "devices")
    class AheadEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class SlowEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    RUN_S_FIELD_NUMBER: _ClassVar[int]
    PACK_S_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESULT_NAME_FIELD_NUMBER: _ClassVar[int]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SLOW_FIELD_NUMBER: _ClassVar[int]
    LANDED_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LOST_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    status: str
    problem: Problem
    bundle: BundleHeader
    held: _containers.RepeatedCompositeFieldContainer[Held]
    deleted: _containers.RepeatedScalarFieldContainer[str]
    late: _containers.RepeatedScalarFieldContainer[str]
    run_s: float
    pack_s: float
    peak_memory_bytes: int
    result_name: str
    alive: _containers.RepeatedScalarFieldContainer[str]
    turn: int
    updated: _containers.RepeatedScalarFieldContainer[str]
    ahead: _containers.ScalarMap[str, str]
    versions: _containers.ScalarMap[str, int]
    slow: _containers.ScalarMap[str, float]
    landed: bool
    notices: _containers.RepeatedScalarFieldContainer[str]
    memory_lost: bool
    devices: _containers.RepeatedCompositeFieldContainer[DeviceMemory]
    def __init__(self, status: _Optional[str] = ..., problem: _Optional[_Union[Problem, _Mapping]] = ..., bundle: _Optional[_Union[BundleHeader, _Mapping]] = ..., held: _Optional[_Iterable[_Union[Held, _Mapping]]] = ..., deleted: _Optional[_Iterable[str]] = ..., late: _Optional[_Iterable[str]] = ..., run_s: _Optional[float] = ..., pack_s: _Optional[float] = ..., peak_memory_bytes: _Optional[int] = ..., result_name: _Optional[str] = ..., alive: _Optional[_Iterable[str]] = ..., turn: _Optional[int] = ..., updated: _Optional[_Iterable[str]] = ..., ahead: _Optional[_Mapping[str, str]] = ..., versions: _Optional[_Mapping[str, int]] = ..., slow: _Optional[_Mapping[str, float]] = ..., landed: bool = ..., notices: _Optional[_Iterable[str]] = ..., memory_lost: bool = ..., devices: _Optional[_Iterable[_Union[DeviceMemory, _Mapping]]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("code", "type_name", "module", "message", "hint", "traceback", "full_traceback", "has_exception", "shortage")
    CODE_FIELD_NUMBER: _ClassVar[int]
    TYPE_NAME_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    FULL_TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    HAS_EXCEPTION_FIELD_NUMBER: _ClassVar[int]
    SHORTAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    type_name: str
    module: str
    message: str
    hint: str
    traceback: _containers.RepeatedScalarFieldContainer[str]
    full_traceback: _containers.RepeatedScalarFieldContainer[str]
    has_exception: bool
    shortage: _containers.RepeatedCompositeFieldContainer[Shortage]
    def __init__(self, code: _Optional[str] = ..., type_name: _Optional[str] = ..., module: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., traceback: _Optional[_Iterable[str]] = ..., full_traceback: _Optional[_Iterable[str]] = ..., has_exception: bool = ..., shortage: _Optional[_Iterable[_Union[Shortage, _Mapping]]] = ...) -> None: ...
