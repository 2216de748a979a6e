"""Variables and secrets: there for a session or a run, and their values in nothing that we write or show."""

from __future__ import annotations

import io
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from jupyter_ext.cells import read_cell
from jupyter_ext.grammar import parse_cell_line, parse_line
from jupyter_ext.worlds import redacted, warnings
from kernel_proxy import dotenv
from kernel_proxy.errors import NotFound, SettingsError, WarmcellError
from kernel_proxy.runtime import Runtime
from kernel_proxy.secret import Secret
from kernel_proxy.wishes import Wishes
from remote_runtime.gateway.secrets import KEY, Secrets
from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.failures import Failed
from tests.kernels import LiveKernel, environment, kernel_of
from tests.notebook.conftest import notices, value
from tests.worlds.conftest import QUICK

VALUE = f"v-{uuid.uuid4().hex}"
READ = "import os\nfound = [os.environ.get(n) for n in ('PLAIN', 'HIDDEN_TOKEN', 'OF_SECRET')]"


@pytest.fixture(autouse=True)
def plain(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "kernel" in request.fixturenames:
        request.getfixturevalue("kernel").run("%gpu use --reset")


def traces(home: Path) -> list[str]:
    """Where the value stands: files of the runtime, command lines, and what programs were started with."""
    found = [str(p) for p in home.rglob("*") if p.is_file() and not p.is_symlink() and VALUE.encode() in p.read_bytes()]
    for process in Path("/proc").iterdir():
        for name in ("cmdline", "environ") if process.name.isdigit() else ():
            try:
                content = (process / name).read_bytes()
            except OSError:
                continue
            found += [f"{process.name} {name}"] if VALUE.encode() in content else []
    return found


def keep(kernel: LiveKernel, name: str = "hub", variable: str = "OF_SECRET") -> str:
    """Keep a secret from the notebook, which asks for the value."""
    request = kernel.start(f"%gpu secret {name} {variable} --overwrite")
    asked = kernel.asked()
    assert asked["password"] and variable in asked["prompt"]
    kernel.answer(VALUE)
    shown = kernel.finish(request)
    assert shown.status == "ok", shown.traceback
    return shown.result


def test_a_variable_of_a_run_is_gone_after_it(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\nimport os\nos.environ['PLAIN'] = 'before'")
    shown = kernel.run(f"%%gpu --env PLAIN={VALUE} --env HIDDEN_TOKEN='with blank'\n{READ}")
    assert shown.status == "ok", shown.traceback
    assert value(kernel, "found") == [VALUE, "with blank", None]
    kernel.run(f"%%gpu\n{READ}")
    assert value(kernel, "found") == ["before", None, None]
    kernel.run("%%gpu\ndel os.environ['PLAIN']")


def test_a_variable_is_restored_when_the_cell_fails_and_in_a_directive(kernel: LiveKernel) -> None:
    assert kernel.run(f"#| gpu: --env PLAIN={VALUE}\n{READ}\n1 / 0").error["ename"] == "ZeroDivisionError"
    assert value(kernel, "found")[0] == VALUE
    kernel.run(f"%%gpu\n{READ}")
    assert value(kernel, "found")[0] is None


def test_use_sets_variables_in_a_session_that_is_open_already(kernel: LiveKernel) -> None:
    kernel.run("%%gpu\nkept = 1")
    shown = kernel.run(f"%gpu use --env PLAIN={VALUE}")
    assert "PLAIN" in shown.result and VALUE not in shown.result
    kernel.run(f"%%gpu\n{READ}\nstill = kept")
    assert value(kernel, "found[0], still") == (VALUE, 1)
    kernel.run("%gpu use --reset")
    kernel.run(f"%%gpu\n{READ}")
    assert value(kernel, "found[0]") is None


def test_a_name_alone_takes_the_kernels_own_value(kernel: LiveKernel) -> None:
    kernel.run(f"import os; os.environ['HIDDEN_TOKEN'] = '{VALUE}'")
    shown = kernel.run(f"%%gpu --env HIDDEN_TOKEN\n{READ}")
    assert value(kernel, "found")[1] == VALUE and not notices(shown)
    kernel.run("del os.environ['HIDDEN_TOKEN']")


def test_a_typed_secret_gets_a_notice_once(kernel: LiveKernel) -> None:
    first, again = (kernel.run("%%gpu --env MY_API_KEY=abc\n1") for _ in range(2))
    assert ["`MY_API_KEY` is named like a secret" in text for text in notices(first)] == [True]
    assert notices(again) == []
    assert "`OTHER_TOKEN` is named like a secret" in kernel.run("%gpu use --env OTHER_TOKEN=abc").result


def test_a_secret_is_there_for_a_run_and_for_a_session(kernel: LiveKernel) -> None:
    told = keep(kernel)
    assert "hub" in told and "OF_SECRET" in told and VALUE not in told
    kernel.run(f"%%gpu --secret hub\n{READ}")
    assert value(kernel, "found")[2] == VALUE
    kernel.run(f"%%gpu\n{READ}")
    assert value(kernel, "found")[2] is None
    assert kernel.run("%gpu use --session with-secret --secret hub").status == "ok"
    kernel.run(f"%%gpu\n{READ}")
    assert value(kernel, "found")[2] == VALUE
    kernel.run("%%gpu\nimport os; os._exit(1)")
    kernel.run(f"%%gpu\n{READ}")
    assert value(kernel, "found")[2] == VALUE  # the next user process has it too
    kernel.run("%gpu stop")


def test_what_a_run_says_itself_goes_before_a_secret(kernel: LiveKernel) -> None:
    keep(kernel)
    kernel.run(f"%%gpu --secret hub --env OF_SECRET=mine\n{READ}")
    assert value(kernel, "found")[2] == "mine"


def test_a_secret_that_is_not_there_is_an_error_before_anything_runs(kernel: LiveKernel) -> None:
    for line in ("%%gpu --secret absent\nran = True", "%gpu use --secret absent"):
        shown = kernel.run(line)
        assert shown.error["ename"] == "NotFound" and "no secret absent" in shown.error["evalue"]
    assert value(kernel, "'ran' in globals()") is False


def test_no_value_stands_anywhere(kernel: LiveKernel, home: Path) -> None:
    keep(kernel)
    kernel.run(f"%gpu use --session traced --env PLAIN={VALUE} --secret hub")
    outputs = [
        kernel.run(line).outputs
        for line in (
            "%%gpu --secret hub\n1", f"%%gpu --env HIDDEN_TOKEN={VALUE}\n1 / 0", "%gpu tb --full", "%gpu ps", "%gpu env",
            "%gpu use", "%gpu secret", f"%%gpu --env A=1 --env 2={VALUE}\n1", f"#| gpu: --env B='{VALUE}'\n1 / 0",
            f"%%gpu --bg=job --env B={VALUE}\n2", "%gpu wait job", "%gpu ps", "job", "%gpu",
        )
    ]  # fmt: skip
    shown = [output for group in outputs for output in group if output["type"] != "execute_input"]
    assert VALUE not in str(shown)
    assert traces(home) == [str(p) for p in home.rglob("history.sqlite")]
    kernel.run("%gpu stop")


def test_a_value_is_in_no_repr_and_no_label() -> None:
    line = f"A100 --env HF_TOKEN={VALUE} --env \"B={VALUE} x\" --env=C='{VALUE}' --secret hub"
    request = parse_cell_line(line)
    assert dict(request.env) == {"HF_TOKEN": VALUE, "B": f"{VALUE} x", "C": VALUE}
    assert VALUE not in repr(request) and VALUE not in repr(request.env)
    assert VALUE not in repr(parse_line(f"use --env A={VALUE}"))
    assert VALUE not in repr(Wishes(env=dict(request.env)))
    for cell in (read_cell(line, "x = 1"), read_cell(f"#|{line}", f"#| gpu: {line}\nx = 1")):
        assert VALUE not in cell.source and "--secret hub" in cell.source and "x = 1" in cell.source
    assert VALUE not in repr(Secret.from_dict({"A": VALUE}))


@pytest.mark.parametrize("line", [f"--env A='{VALUE}", f"uze --env A={VALUE}", f"use --env 1={VALUE}", f"use --env 'A={VALUE}"])
def test_a_line_that_cannot_be_read_does_not_repeat_a_value(line: str) -> None:
    with pytest.raises(WarmcellError) as refused:
        parse_line(line) if line.startswith("u") else parse_cell_line(line)
    assert VALUE not in str(refused.value)


def test_redacting_changes_nothing_else() -> None:
    assert redacted("A100 -i env=env --only  --env A=1 -q") == "A100 -i env=env --only  --env A=… -q"
    assert redacted("--env A") == "--env A"
    assert warnings(parse_cell_line("--env MONKEY=1").env) == []


# ---- where they are kept ---------------------------------------------------------------------------------


def test_a_secret_is_encrypted_and_its_users_own(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    secrets.put("ann", "hub", {"A": VALUE, "B": "2"})
    assert secrets.variables("ann", ["hub"]) == {"A": VALUE, "B": "2"}
    assert [(i.name, list(i.variables)) for i in secrets.list("ann")] == [("hub", ["A", "B"])]
    assert secrets.list("bob") == [] and secrets.list("ann/../ann") == []
    with pytest.raises(Failed, match="there is no secret hub"):
        secrets.variables("bob", ["hub"])
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert all(p.stat().st_mode & 0o077 == 0 and VALUE.encode() not in p.read_bytes() for p in files) and len(files) == 2


def test_a_secret_is_replaced_only_on_purpose_and_can_be_removed(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    secrets.put("ann", "hub", {"A": "1"})
    with pytest.raises(Failed, match="there is a secret hub already"):
        secrets.put("ann", "hub", {"A": "2"})
    secrets.put("ann", "hub", {"A": "3"}, overwrite=True)
    assert Secrets(tmp_path).variables("ann", ["hub"]) == {"A": "3"}
    secrets.remove("ann", "hub")
    with pytest.raises(Failed, match="no secret hub"):
        secrets.remove("ann", "hub")


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    Secrets(tmp_path).put("ann", "hub", {"A": "1"})
    (tmp_path / KEY).unlink()
    with pytest.raises(Failed, match="cannot be decrypted"):
        Secrets(tmp_path).variables("ann", ["hub"])


@pytest.mark.parametrize(("name", "variables"), [("../x", {"A": "1"}), ("", {"A": "1"}), ("x", {"1A": "1"}), ("x", {})])
def test_names_that_cannot_be_are_refused(tmp_path: Path, name: str, variables: dict[str, str]) -> None:
    with pytest.raises(Failed):
        Secrets(tmp_path).put("ann", name, variables)
    assert not list(tmp_path.rglob("x"))


def test_secrets_are_made_of_what_is_at_hand(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AT_HAND", VALUE)
    (tmp_path / ".env").write_text(f"# mine\nexport A={VALUE}\n")
    for made in (Secret.from_local_environ(["AT_HAND"]), Secret.from_dotenv(tmp_path), Secret.from_dict({"A": "1", "B": None})):
        assert made.create("made", overwrite=True, runtime=runtime) == Secret.from_name("made")
    (info,) = runtime.secrets(pb.SecretsRequest(list=pb.Empty()))
    assert (info.name, list(info.variables)) == ("made", ["A"])
    assert VALUE not in str(runtime.describe())
    with pytest.raises(NotFound, match="NOT_AT_HAND is not set"):
        Secret.from_local_environ(["NOT_AT_HAND"])


DOTENV = [
    ("A=1", {"A": "1"}),
    ("export A = b c  # comment", {"A": "b c"}),
    ("A=\nB='x # y'", {"A": "", "B": "x # y"}),
    ('A="two\\nlines \\"q\\""', {"A": 'two\nlines "q"'}),
    ('A="first\nsecond"\nB=2', {"A": "first\nsecond", "B": "2"}),
    ("A=a#b", {"A": "a#b"}),
]


@pytest.mark.parametrize(("text", "expected"), DOTENV)
def test_a_dotenv_file_is_read(text: str, expected: dict[str, str]) -> None:
    assert dotenv.variables(text, ".env") == expected


@pytest.mark.parametrize("text", ["A", f"A='{VALUE}", f'A="{VALUE}', f"A b={VALUE}"])
def test_a_dotenv_file_that_cannot_be_read_is_named_without_its_value(text: str) -> None:
    with pytest.raises(SettingsError, match=r"line 2 of \.env is not NAME=VALUE") as refused:
        dotenv.variables(f"X=1\n{text}", ".env")
    assert VALUE not in str(refused.value)


def test_the_command_line_takes_no_value_as_a_word(home: Path, kernel: LiveKernel) -> None:
    def warmcell(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "warmcell", "secret", *words]
        return subprocess.run(command, input=given, capture_output=True, text=True, env=environment(home), timeout=60)

    refused = warmcell("create", "typed", f"A={VALUE}")
    assert refused.returncode == 1 and "hint: " in refused.stderr and VALUE not in refused.stderr
    kept = warmcell("create", "typed", "OF_SECRET", "--stdin", given=f"{VALUE}\n")
    assert kept.returncode == 0, kept.stderr
    assert "OF_SECRET" in warmcell("list").stdout and VALUE not in warmcell("list", "--json").stdout
    with kernel_of(home, **QUICK) as other:
        other.run(f"%%gpu --secret typed\n{READ}")
        assert value(other, "found")[2] == VALUE
        other.run("%gpu stop")
    assert warmcell("rm", "typed").returncode == 0
    assert "no secret typed" in warmcell("rm", "typed").stderr


def test_printing_a_secret_object_prints_no_value() -> None:
    with redirect_stdout(io.StringIO()) as printed:
        print(Secret.from_dict({"A": VALUE}), Secret.from_dict({"A": VALUE}).variables)
    assert VALUE not in printed.getvalue()
