"""Fixtures for every test, and the guard that no test leaves a process or a socket behind."""
