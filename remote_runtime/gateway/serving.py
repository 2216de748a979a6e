"""One gateway from its start to its end: faces up, announced, ready, until a signal, Stop, or an idle end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from remote_runtime.engines.base import Engine
from remote_runtime.gateway import legacy, tokens
from remote_runtime.gateway.config import Config
from remote_runtime.gateway.gateway import Gateway
from remote_runtime.gateway.grpc_face import GrpcFace
from remote_runtime.gateway.http_face import HttpFace
from remote_runtime.gateway.records import StateDirectory, tell_ready
from remote_runtime.gateway.relay import Keepers
from remote_runtime.gateway.store import Store
from remote_runtime.gateway.users import Users, os_user
from remote_runtime.wire.failures import Failed

GRACE_S = 1.0
"""How long open calls may go on when the gateway ends."""

LOOK_S = 3600.0
"""Between two looks at the certificate; SIGHUP asks for one now."""

_log = logging.getLogger(__name__)


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
    users = Users(tokens.own(token, os_user()), store)
    grpc_face, http_face = GrpcFace(gateway, users), HttpFace(gateway, users)
    _end_on_signals(gateway)
    try:
        await users.load()
        await legacy.move(config.state, store, os_user())
        await gateway.adopt()
        gateway.where = _addresses(config, await grpc_face.start(config), await http_face.start(config))
        gateway.start()
        gateway.care.spawn(_keep_certificates(config, http_face))
        state.announce(gateway.where)
        tell_ready(config.ready_fd, {**_without_unix(gateway.where), "token": token})
        await gateway.finished.wait()
    finally:
        _log.info("the gateway ends")
        state.withdraw()
        await asyncio.gather(grpc_face.stop(GRACE_S), http_face.stop())
        await gateway.close()
        config.unix.unlink(missing_ok=True)


def _addresses(config: Config, grpc_port: int, http_port: int) -> dict[str, str]:
    host = f"[{config.host}]" if ":" in config.host and not config.host.startswith("[") else config.host
    scheme = "https" if config.tls else "http"
    where = {"http": f"{scheme}://{host}:{http_port}", "grpc": f"{host}:{grpc_port}", "unix": str(config.unix)}
    if config.tls:
        name = config.tls_names[0] if config.tls_names else socket.gethostname()
        where["https"] = f"https://{name if config.host in ('0.0.0.0', '::') else host}:{http_port}"
    return {**where, "ca": str(config.own_ca)} if config.own_tls else where


def _without_unix(where: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in where.items() if name != "unix"}


async def _keep_certificates(config: Config, face: HttpFace) -> None:
    """Renew the runtime's own certificate in time, and show the one that its files hold."""
    if not config.tls:
        return
    again = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again.set)
    while True:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(again.wait(), LOOK_S)
        again.clear()
        try:
            await asyncio.to_thread(_renew, config)
            face.reload(config)
        except (Failed, OSError) as error:  # the one that is shown may be good for weeks
            _log.warning("the certificate was not looked after: %s", error)


def _renew(config: Config) -> None:
    if config.own_tls:
        from remote_runtime.gateway.certificates import furnished  # loads a library that others do without

        furnished(config, time.time())


def _end_on_signals(gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.finished.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # the terminal that started it may close
