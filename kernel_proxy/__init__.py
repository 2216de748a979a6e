"""The remote runtime as Python objects in the user's process; usable without a notebook."""
