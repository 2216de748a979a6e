"""The container images: one table of versions and one Dockerfile."""
