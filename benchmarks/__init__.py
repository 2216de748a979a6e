"""Our figures beside the peers', measured in one run on one machine. Never part of the tests."""

import os

# The floors import gRPC before our own door does, which is where it is otherwise kept quiet.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
