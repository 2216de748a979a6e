"""One model cache for each user: what one session fetched the next finds, and no other user's."""

from __future__ import annotations

from pathlib import Path

from remote_runtime.gateway import caches
from tests.kernels import LiveKernel
from tests.notebook.conftest import value


def test_two_users_share_none(tmp_path: Path) -> None:
    ann, again, bob = (caches.variables(tmp_path, user, "owner", {}) for user in ("ann", "ann", "bob"))
    assert ann == again and not set(ann.values()) & set(bob.values())
    assert set(ann) >= {"HF_HOME", "TORCH_HOME"}
    folder = Path(ann["HF_HOME"]).parent
    assert folder.is_dir() and folder.stat().st_mode & 0o077 == 0 and folder.is_relative_to(tmp_path / "cache")


def test_the_runtimes_own_user_keeps_the_caches_that_are_there(tmp_path: Path) -> None:
    found = caches.variables(tmp_path, "me", "me", {"HOME": "/h", "TORCH_HOME": "/t"})
    assert found == {"HF_HOME": "/h/.cache/huggingface", "TORCH_HOME": "/t"}
    assert caches.variables(tmp_path, "me", "me", {"XDG_CACHE_HOME": "/c"})["HF_HOME"] == "/c/huggingface"
    assert not list(tmp_path.iterdir())


def test_a_session_has_it_unless_it_says_otherwise(kernel: LiveKernel) -> None:
    kernel.run("%gpu use --reset --session cached\n")
    kernel.run("%%gpu\nimport os\nfirst = os.environ['HF_HOME']")
    assert value(kernel, "first").endswith("huggingface")
    kernel.run("%gpu use --session elsewhere --env HF_HOME=/tmp/models")
    kernel.run("%%gpu\nimport os\nfirst = os.environ['HF_HOME']")
    assert value(kernel, "first") == "/tmp/models"
    kernel.run("%gpu stop\n")
    kernel.run("%gpu use --reset")
