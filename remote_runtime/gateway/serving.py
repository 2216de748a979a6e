"""One gateway from its start to its end: faces up, announced, ready, until a signal, Stop, or an idle end."""

from __future__ import annotations

import asyncio
import logging
import signal

from remote_runtime.engines.base import Engine
from remote_runtime.gateway import legacy
from remote_runtime.gateway.config import Config
from remote_runtime.gateway.gateway import Gateway
from remote_runtime.gateway.grpc_face import GrpcFace
from remote_runtime.gateway.http_face import HttpFace
from remote_runtime.gateway.records import StateDirectory, tell_ready
from remote_runtime.gateway.relay import Keepers
from remote_runtime.gateway.store import Store
from remote_runtime.gateway.users import Users, os_user

GRACE_S = 1.0
"""How long open calls may go on when the gateway ends."""


async def serve(config: Config, state: StateDirectory, store: Store, engine: Engine) -> None:
    """Run a gateway until it is finished.

    Args:
        config: How.
        state: Its files, locked already.
        store: Open already.
        engine: Prepared already.

    Raises:
        Failed: An address is taken, or the state directory is full.
    """
    token = state.token()
    gateway = Gateway(config, store, engine, Keepers())
    users = Users({token: os_user()})
    grpc_face, http_face = GrpcFace(gateway, users), HttpFace(gateway, users)
    _end_on_signals(gateway)
    try:
        await legacy.move(config.state, store, os_user())
        await gateway.adopt()
        gateway.where = _addresses(config, await grpc_face.start(config), await http_face.start(config))
        gateway.start()
        state.announce(gateway.where)
        tell_ready(config.ready_fd, {"grpc": gateway.where["grpc"], "http": gateway.where["http"], "token": token})
        await gateway.finished.wait()
    finally:
        logging.getLogger(__name__).info("the gateway ends")
        state.withdraw()
        await asyncio.gather(grpc_face.stop(GRACE_S), http_face.stop())
        await gateway.close()
        config.unix.unlink(missing_ok=True)


def _addresses(config: Config, grpc_port: int, http_port: int) -> dict[str, str]:
    host = f"[{config.host}]" if ":" in config.host and not config.host.startswith("[") else config.host
    scheme = "https" if config.tls else "http"
    return {"http": f"{scheme}://{host}:{http_port}", "grpc": f"{host}:{grpc_port}", "unix": str(config.unix)}


def _end_on_signals(gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.finished.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # the terminal that started it may close
