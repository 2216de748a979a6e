"""The gateway: the control plane, the one address that a client knows."""
