"""The gRPC methods as a table: name -> request, reply, and which side streams. Servers and clients read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from remote_runtime.wire import messages_pb2 as pb


@dataclass(frozen=True)
class Method:
    """One gRPC method.

    Args:
        request: Message class of the request; None for raw frames.
        reply: Message class of the reply; None for raw frames.
        streams: "none", "reply" or "both".
    """

    request: type[Message] | None
    reply: type[Message] | None
    streams: str = "none"


GATEWAY_SERVICE = "warmcell.v1.Gateway"
GATEWAY: Mapping[str, Method] = {
    "Describe": Method(pb.DescribeRequest, pb.RuntimeInfo),
    "Open": Method(pb.OpenRequest, pb.OpenUpdate, "reply"),
    "Warm": Method(pb.WarmRequest, pb.WarmReply),
    "Release": Method(pb.ReleaseRequest, pb.ReleaseReply),
    "Stop": Method(pb.StopRequest, pb.StopReply),
    "Exit": Method(pb.ExitRequest, pb.ExitReply),
    "Consider": Method(pb.OpenRequest, pb.ConsiderReply),
    "Lend": Method(pb.LendRequest, pb.Empty),
    "Secrets": Method(pb.SecretsRequest, pb.SecretsReply),
    "Volumes": Method(pb.VolumesRequest, pb.VolumesReply),
    "Build": Method(pb.BuildRequest, pb.BuildUpdate, "reply"),
    "Supply": Method(pb.SupplyRequest, pb.SupplyReply),
    "Relay": Method(None, None, "both"),
    "AddToken": Method(pb.AddTokenRequest, pb.AddTokenReply),
    "ListTokens": Method(pb.ListTokensRequest, pb.TokenTable),
    "Revoke": Method(pb.RevokeRequest, pb.RevokeReply),
    "Doctor": Method(pb.DoctorRequest, pb.DoctorReply),
}

WORKER_SERVICE = "warmcell.v1.Worker"
WORKER: Mapping[str, Method] = {
    "Claim": Method(pb.ClaimRequest, pb.ClaimReply),
    "Renew": Method(pb.RenewRequest, pb.SessionInfo),
    "Notice": Method(pb.NoticeRequest, pb.Empty),
    "Stop": Method(pb.KeeperStopRequest, pb.Empty),
    "Lend": Method(pb.LendRequest, pb.Empty),
    "Attach": Method(None, None, "both"),
}

AUTHORIZATION = "authorization"
"""Metadata key of the bearer token: the user's at a gateway, the keeper's secret or the session's at a worker."""

SESSION = "warmcell-session"
"""Metadata key of `Relay`: which session's worker the frames are for."""

SESSION_TOKEN = "warmcell-session-token"
"""Metadata key of `Relay`: the token that `Granted` gave."""

FAILURE = "warmcell-failure-bin"
"""Trailing metadata key under which a server puts a serialized `pb.Failure`, beside a status that fits it."""

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
"""Shared by every channel and server. Proxies are off because loopback and Unix sockets never go through one."""
