"""Volumes: directories that outlive sessions, seen at once by all that have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kernel_proxy.errors import NotFound, SettingsError, Unsupported, WarmcellError
from kernel_proxy.runtime import Runtime
from kernel_proxy.session import Session
from kernel_proxy.volume import Volume
from kernel_proxy.wishes import Wishes
from remote_runtime.gateway.volumes import Volumes
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from remote_runtime.wire.specs import Environment, VolumeMount
from tests.client.roads import texts
from tests.kernels import LiveKernel, environment
from tests.notebook.conftest import kernel_in, value
from tests.worker.keeper.link import until
from tests.worlds.conftest import QUICK


def opened(runtime: Runtime, name: str, *volumes: VolumeMount) -> Session:
    return runtime.open("cpu", name, "", {}, wishes=Wishes(Environment(volumes=volumes)))


def ran(session: Session, source: str) -> str:
    return "".join(texts(session.run(pb.Run(source=source))))


def test_two_notebooks_write_one_volume(kernel: LiveKernel, home: Path) -> None:
    assert kernel.run("%gpu use --volume models:models").error["ename"] == "NotFound"
    kernel.run("import warmcell; made = warmcell.Volume.from_name('models', create_if_missing=True)")
    shown = kernel.run("%gpu use --reset --volume models:models")
    assert shown.status == "ok" and "models" in shown.result, shown.traceback
    kernel.run("%%gpu\nopen('models/first', 'w').write('one')")
    with kernel_in(home, **QUICK) as other:
        other.run("%gpu use --volume models:weights")
        other.run("%%gpu\nseen = open('weights/first').read()\nopen('weights/second', 'w').write('two')")
        assert value(other, "seen") == "one"
    assert kernel.run("%%gpu\nimport os\nsorted(os.listdir('models'))").result == "['first', 'second']"
    assert "second" in kernel.run("%gpu ls models").result
    kernel.run("%gpu stop")
    assert kernel.run("%%gpu\nopen('models/second').read()").result == "'two'"
    assert value(kernel, "[i.path for i in made.listdir()], made.commit(), made.reload()") == ([b"first", b"second"], None, None)


def test_files_are_sent_into_a_volume_from_a_session(kernel: LiveKernel, tmp_path: Path) -> None:
    kernel.run("import warmcell; warmcell.Volume.from_name('sent', create_if_missing=True)")
    kernel.run("%gpu use --reset --volume sent")
    (tmp_path / "big.bin").write_bytes(bytes(range(256)) * 40_000)
    shown = kernel.run(f"%gpu upload {tmp_path}/big.bin sent/")
    assert shown.status == "ok", shown.traceback
    shown = kernel.run("%%gpu\nimport os\nsize, names = os.path.getsize('sent/big.bin'), os.listdir('sent')")
    assert shown.status == "ok", shown.traceback
    assert value(kernel, "size, names") == (256 * 40_000, ["big.bin"])
    assert kernel.run(f"%gpu download sent/big.bin {tmp_path}/back.bin").status == "ok"
    assert (tmp_path / "back.bin").read_bytes() == (tmp_path / "big.bin").read_bytes()


def test_files_come_and_go_without_a_notebook(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "deep").mkdir(parents=True)
    (tmp_path / "run" / "deep" / "a.txt").write_text("deep")
    volume = Volume.from_name("files", create_if_missing=True, runtime=runtime)
    assert volume.put("run").files_count == 1
    assert (volume.put("run").files_count, volume.put("run").same_count) == (0, 1)
    assert [(i.path, i.kind) for i in volume.listdir()] == [(b"run", "folder")]
    volume.put("run/deep/a.txt", "b.txt")
    assert volume.get("b.txt", "here.txt").files_count == 1 and (tmp_path / "here.txt").read_text() == "deep"
    volume.get("run", "copy")
    assert (tmp_path / "copy" / "deep" / "a.txt").read_text() == "deep"
    volume.commit()
    with pytest.raises(NotFound, match="there is no nothing in the volume files"):
        volume.get("nothing")
    assert not [s.name for s in runtime.describe().sessions if s.name.startswith("volume-")]
    (info,) = [v for v in runtime.volumes(pb.VolumesRequest(list=pb.Empty())) if v.name == "files"]
    assert (info.file_count, info.size_bytes) == (2, 8)
    volume.remove()
    with pytest.raises(NotFound, match="there is no volume files"):
        Volume.from_name("files", runtime=runtime)


def test_an_absolute_path_is_there_while_a_session_needs_it(runtime: Runtime, tmp_path: Path) -> None:
    Volume.from_name("placed", create_if_missing=True, runtime=runtime)
    first = opened(runtime, "first", VolumeMount("placed", f"{tmp_path}/weights"))
    second = opened(runtime, "second", VolumeMount("placed", f"{tmp_path}/weights"))
    assert ran(first, f"print(open('{tmp_path}/weights/x', 'w').write('abc'))") == "3\n"
    runtime.release("first", force=True)
    assert ran(second, f"print(open('{tmp_path}/weights/x').read())") == "abc\n"
    runtime.stop(force=True)  # a spare worker that is made so needs it too
    until(lambda: not (tmp_path / "weights").is_symlink(), "the link to go")


@pytest.mark.parametrize("taken", ["taken", "no/parent"])
def test_a_path_that_cannot_be_made_is_refused_with_one_that_can(runtime: Runtime, tmp_path: Path, taken: str) -> None:
    (tmp_path / "taken").write_text("mine")
    Volume.from_name("placed", create_if_missing=True, runtime=runtime)
    with pytest.raises(Unsupported, match="cannot be seen at") as refused:
        opened(runtime, "refused", VolumeMount("placed", f"{tmp_path}/{taken}"))
    assert f"`--volume placed:{taken.rpartition('/')[2]}`" in refused.value.hint
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_volume_that_may_only_be_read_takes_no_upload(runtime: Runtime, tmp_path: Path) -> None:
    from kernel_proxy import uploads
    from kernel_proxy.folder import Folder

    Volume.from_name("held", create_if_missing=True, runtime=runtime)
    session = opened(runtime, "reader", VolumeMount("held", "held", read_only=True))
    (tmp_path / "a").write_text("a")
    with pytest.raises(WarmcellError, match="may only read"):
        uploads.upload(Folder(session), str(tmp_path / "a"), "held/a")
    assert Volume.from_name("held", runtime=runtime).listdir() == []
    runtime.release("reader", force=True)


def test_a_volume_is_its_users_own(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path)
    volumes.make("ann", "models")
    with pytest.raises(Failed, match="there is no volume models"):
        volumes.mounted("bob", [VolumeMount("models", "m")])
    volumes.make("bob", "models")
    names = {volumes.mounted(user, [VolumeMount("models", "m")])[0].name for user in ("ann", "bob")}
    assert len(names) == 2  # so no worker of one serves the other
    with pytest.raises(Failed, match="there is a volume models already"):
        volumes.make("ann", "models", must_be_new=True)


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 64])
def test_names_that_cannot_be_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Failed, match="is no name"):
        Volumes(tmp_path).make("ann", name)
    with pytest.raises(SettingsError, match="is no name"):
        Volume.from_name(name)
    assert not list(tmp_path.iterdir())


def test_the_command_line_does_the_same(kernel: LiveKernel, home: Path, tmp_path: Path) -> None:
    def warmcell(*words: str) -> str:
        command = [sys.executable, "-m", "warmcell", "volume", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(home), cwd=tmp_path, timeout=60)
        return done.stdout + done.stderr

    (tmp_path / "w.bin").write_bytes(b"weights")
    assert "is there, and empty" in warmcell("create", "cli") and "there is a volume cli already" in warmcell("create", "cli")
    assert "1 files, 7 B sent to volume cli" in warmcell("put", "cli", "w.bin")
    assert "w.bin" in warmcell("ls", "cli") and "cli" in warmcell("ls")
    assert "1 files" in warmcell("get", "cli", "w.bin", "back.bin") and (tmp_path / "back.bin").read_bytes() == b"weights"
    assert "volume cli is removed" in warmcell("rm", "cli", "--yes") and "no volume cli" in warmcell("ls", "cli")
