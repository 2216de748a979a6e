"""The gateway as a process: `python -m remote_runtime.gateway --state DIR --runtime-dir DIR`.

The zygote is started first, so that its heavy imports run while this process does its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence

from remote_runtime import engines
from remote_runtime.engines.base import EngineSettings
from remote_runtime.engines.records import private_directory
from remote_runtime.gateway.config import Config, parse
from remote_runtime.gateway.records import ALREADY_SERVED, StateDirectory
from remote_runtime.gateway.rows import WorkerTable, workers_forgotten
from remote_runtime.gateway.store import Store
from remote_runtime.wire.failures import Failed


def main(arguments: Sequence[str]) -> int:
    """Run a gateway.

    Args:
        arguments: The command line's words.

    Returns:
        The exit code: 0 after an orderly end, 3 when another gateway serves the state directory, else 1.
    """
    logging.basicConfig(format="%(asctime)s %(levelname).1s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        config = parse(arguments)
        state = StateDirectory(config.state)
        state.lock()
    except Failed as failure:
        print(failure, file=sys.stderr)
        return ALREADY_SERVED if failure.code == "busy" else 1
    try:
        _run(config, state)
    except (Failed, OSError) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _run(config: Config, state: StateDirectory) -> None:
    private_directory(config.runtime)
    if config.own_tls:
        from remote_runtime.gateway.certificates import furnished  # loads a library that others do without

        config = furnished(config, time.time())
    store = Store(state.store)
    engine = engines.load(config.engine, _engine_settings(config, store))
    store.open()
    if state.is_copy():  # what runs is of the runtime that it was copied from, which may be alive
        store.note(workers_forgotten())
    engine.prepare()
    # Read once, when gRPC is loaded: its own lines are noise, and starting a zygote must not stop its world.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    # Imported now and not above: the zygote works meanwhile.
    from remote_runtime.gateway.serving import serve

    try:
        asyncio.run(serve(config, state, store, engine))
    finally:
        store.close()


def _engine_settings(config: Config, store: Store) -> EngineSettings:
    records = WorkerTable(store)
    return EngineSettings(
        config.state, config.runtime, config.imports, config.simulate, records=records, start=config.start,
        options=config.engine_options,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
