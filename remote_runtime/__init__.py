"""The runtime: gateway, pool, engines and workers, and the wire they share with the kernel."""
