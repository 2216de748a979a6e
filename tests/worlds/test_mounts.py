"""Directories that the admin lists, and no other: by path, by link, by climbing."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_proxy.errors import NotFound, Unsupported, WarmcellError
from kernel_proxy.runtime import Runtime
from kernel_proxy.wishes import Wishes
from remote_runtime.gateway.mounts import allowed
from remote_runtime.gateway.policy import read_policy
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment, Mount
from tests.kernels import LiveKernel
from tests.notebook.conftest import value
from tests.worker.keeper.link import until


def test_a_listed_directory_is_seen_under_another_name(kernel: LiveKernel, data: Path) -> None:
    shown = kernel.run(f"%gpu use --reset --mount {data}:inputs")
    assert shown.status == "ok", shown.traceback
    assert "cannot hold that" in shown.result and "inputs" in shown.result
    kernel.run("%%gpu\nimport os\nrows = open('inputs/deep/rows.csv').read()\nreal = os.path.realpath('inputs')")
    assert value(kernel, "rows, real") == ("1,2,3", str(data))
    assert "deep/" in kernel.run("%gpu ls inputs").result
    (data / "local.txt").write_text("x")
    refused = kernel.run(f"%gpu upload {data}/local.txt inputs/new.txt")
    assert "may only read" in refused.error["evalue"] and not (data / "new.txt").exists()


def test_what_is_not_listed_is_refused_with_what_is(kernel: LiveKernel, data: Path) -> None:
    shown = kernel.run("%gpu use --reset --mount /etc")
    assert shown.error["ename"] == "Unsupported"
    assert "does not offer the directory /etc" in shown.error["evalue"] and f"it offers {data} (ro)" in shown.error["evalue"]


LISTED = {"/srv": True, "/srv/held": False}


@pytest.mark.parametrize("source", ["/srv/../etc", "srv", "/etc", "/srvx", "/"])
def test_no_path_leads_out(source: str) -> None:
    with pytest.raises(Failed) as refused:
        allowed(Mount(source, ""), LISTED)
    assert refused.value.code == "unsupported"


def test_a_link_counts_as_what_it_leads_to(data: Path) -> None:
    offered = {str(data): True}
    with pytest.raises(Failed, match="does not offer"):
        allowed(Mount(f"{data}/way-out", "x"), offered)
    assert allowed(Mount(f"{data}/deep/", "/mnt/x", True), offered) == Mount(f"{data}/deep", "/mnt/x", True)
    with pytest.raises(Failed, match="there is no directory"):
        allowed(Mount(f"{data}/nothing", ""), offered)


@pytest.mark.parametrize(("mode", "asked", "writable"), [("rw", True, True), ("rw", False, False), ("ro", True, False)])
def test_writing_needs_both_the_list_and_the_wish(data: Path, mode: str, asked: bool, writable: bool) -> None:
    assert allowed(Mount(str(data), "", asked), {str(data): mode == "rw"}).writable is writable


@pytest.mark.parametrize("target", ["/", "..", "a/../../b", "."])
def test_a_target_cannot_climb(data: Path, target: str) -> None:
    with pytest.raises(Failed, match="is no place for"):
        allowed(Mount(str(data), target), {str(data): True})


def test_an_absolute_target_is_a_link_while_a_session_needs_it(runtime: Runtime, data: Path, tmp_path: Path) -> None:
    target = tmp_path / "seen-here"
    made = Environment(mounts=(Mount(str(data), str(target), True),))
    session = runtime.open("cpu", "absolute", "", {}, wishes=Wishes(made))
    assert target.is_symlink() and (target / "deep").is_dir()
    session.close()
    runtime.stop(force=True)  # a spare worker that is made so needs it too
    until(lambda: not target.is_symlink(), "the link to go")


def test_a_target_that_is_taken_becomes_a_link_inside(runtime: Runtime, data: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    made = Environment(mounts=(Mount(str(data), f"{tmp_path}/taken", True),))
    assert "is there already" in " ".join(runtime.consider("cpu", Wishes(made)).remarks)
    session = runtime.open("cpu", "inside", "", {}, wishes=Wishes(made))
    directory = Path(session.environment().directory)
    assert (directory / f"{tmp_path}/taken".lstrip("/")).resolve() == data
    session.close()
    runtime.release("inside", force=True)
    assert not directory.exists()  # it holds nothing but links, which go with the session


def test_a_name_that_is_taken_in_the_working_directory_is_an_error(runtime: Runtime, data: Path) -> None:
    session = runtime.open("cpu", "occupied", "", {})
    directory = Path(session.environment().directory)
    (directory / "data").write_text("mine")
    session.close()
    runtime.release("occupied", force=True)
    made = Environment(mounts=(Mount(str(data), "data", True),))
    with pytest.raises(WarmcellError, match="that is taken"):
        runtime.open("cpu", "occupied", "", {}, wishes=Wishes(made))
    assert (directory / "data").read_text() == "mine"


def test_a_session_does_not_change_what_it_is_made_with(runtime: Runtime, data: Path) -> None:
    session = runtime.open("cpu", "fixed", "", {})
    with pytest.raises(WarmcellError, match="another environment"):
        runtime.open("cpu", "fixed", "", {}, wishes=Wishes(Environment(mounts=(Mount(str(data), "d"),))))
    session.close()


def test_errors_have_their_classes(runtime: Runtime, data: Path) -> None:
    for source, kind in (("/etc", Unsupported), (f"{data}/nothing", NotFound)):
        with pytest.raises(kind):
            runtime.open("cpu", "x", "", {}, wishes=Wishes(Environment(mounts=(Mount(source, "x"),))))
    assert [(m.source, m.writable) for m in runtime.describe().mounts] == [(str(data), True)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[mounts]\ndata = 'ro'", "lists the mount 'data'"),
        ("[mounts]\n'/a/../b' = 'ro'", "lists the mount"),
        ("[mounts]\n'/a' = 'yes'", "lists '/a' as 'yes'"),
        ("mounts = 3", "which is no table"),
        ("[mount]\n'/a' = 'ro'", r"has a table \[mount\]"),
        ("[cache]\nmodels = 'no'", r"a table \[cache\] that is not understood"),
        ("[devices]\nlease_memory = '20'", "sets lease_memory to '20'"),
        ("[devices]\nlease_memory = 20", "sets lease_memory to 20"),
        ("[devices]\nshare = '20GB'", r"sets share in \[devices\]"),
        ("[mounts", "cannot be read"),
    ],
)
def test_a_configuration_that_says_something_else_is_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "gateway.toml").write_text(text)
    with pytest.raises(Failed, match=what):
        read_policy(tmp_path)


def test_a_configuration_is_read_where_it_is_named(tmp_path: Path) -> None:
    assert read_policy(tmp_path).mounts == {} and read_policy(tmp_path).has_model_cache
    (tmp_path / "other.toml").write_text("[mounts]\n'/a/' = 'rw'\n[cache]\nmodels = false\n")
    policy = read_policy(tmp_path, str(tmp_path / "other.toml"))
    assert (dict(policy.mounts), policy.has_model_cache) == ({"/a": True}, False)
    with pytest.raises(Failed, match="cannot be read"):
        read_policy(tmp_path, str(tmp_path / "absent.toml"))
