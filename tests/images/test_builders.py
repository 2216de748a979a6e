"""`Image` as a notebook writes it: what each method says of the spec, and what it keeps out of it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from kernel_proxy.errors import ImageError
from kernel_proxy.image import Image
from remote_runtime.wire.images import ImageSpec

SLIM = Image.debian_slim("3.11")


def spec(image: Image) -> ImageSpec:
    return image.plan().spec


def test_an_image_never_changes() -> None:
    before = spec(SLIM)
    more = SLIM.pip_install("a").env({"A": "1"})
    assert spec(SLIM) == before and len(spec(more).steps) == 2
    assert spec(more).layers[0] == before.digest


def test_the_python_of_the_kernel_is_chosen_by_itself() -> None:
    import sys

    assert spec(Image.debian_slim()).base.python == ".".join(map(str, sys.version_info[:2]))
    assert spec(Image.debian_slim("3.12.4")).base.python == "3.12"


def test_packages_and_options_are_words() -> None:
    image = SLIM.pip_install("a>=1", ["b", "c"], find_links="/w", index_url="https://i/simple", pre=True, extra_options="--no-deps")
    step = spec(image).steps[0]
    assert step.words == ("a>=1", "b", "c")
    assert step.options == ("--find-links", "/w", "--index-url", "https://i/simple", "--pre", "--no-deps")


def test_a_password_in_an_address_travels_beside_the_spec() -> None:
    image = SLIM.pip_install("a", "b @ https://u2:p2@files.org/b.whl", extra_index_url="https://us%40er:p%2Fw@pkgs.org/simple")
    plan = image.plan()
    for shown in (plan.spec.json, repr(image), repr(plan), str(plan.spec)):
        assert not any(hidden in shown for hidden in ("p%2Fw", "p/w", "us@er", "us%40er", ":p2@", "'p2'"))
    assert {(login.host, login.user, login.password) for login in plan.logins} == {
        ("pkgs.org", "us@er", "p/w"), ("files.org", "u2", "p2"),
    }  # fmt: skip


def test_a_netrc_file_has_the_password_of_a_host_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine named.org login me password pw\nmachine other.org login me password no\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    plan = SLIM.pip_install("a", index_url="https://named.org/simple").plan()
    assert [(login.host, login.password) for login in plan.logins] == [("named.org", "pw")]


def test_secrets_are_in_the_spec_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "s3cret-2")
    image = SLIM.run_commands("x", secrets=[{"MINE": "s3cret-1"}, "FROM_HERE"])
    plan = image.plan()
    assert plan.spec.steps[0].secrets == ("FROM_HERE", "MINE")
    assert plan.secrets == {"MINE": "s3cret-1", "FROM_HERE": "s3cret-2"}
    assert not any("s3cret" in text for text in (plan.spec.json, repr(image), repr(plan)))
    assert b"s3cret" not in pickle.dumps(image)


def test_a_variable_named_like_a_secret_is_no_part_of_an_image() -> None:
    with pytest.raises(ImageError, match="API_KEY is named like a secret"):
        SLIM.env({"API_KEY": "x"})


def test_files_are_read_when_the_image_is_built(tmp_path: Path) -> None:
    file = tmp_path / "data.txt"
    image = SLIM.add_local_file(file, "in/")
    with pytest.raises(ImageError, match=r"data\.txt does not exist"):
        image.plan()
    digests = []
    for text in ("one", "two"):
        file.write_text(text)
        digests.append(spec(image).digest)
        assert [found.path for found in spec(image).files] == ["in/data.txt"]
    assert digests[0] != digests[1]


def test_a_folder_leaves_out_what_patterns_say(tmp_path: Path) -> None:
    for name in ("a.py", "b.csv", "sub/c.csv", "sub/d.py", "__pycache__/x.pyc", "data/big.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    image = SLIM.add_local_dir(tmp_path, "there", ignore=["*.csv", "data/**", "!c.csv"])
    assert [file.path for file in spec(image).files] == ["there/a.py", "there/sub/c.csv", "there/sub/d.py"]
    image = SLIM.add_local_dir(tmp_path, "there", ignore=lambda path: path.suffix == ".py")
    assert "there/a.py" not in [file.path for file in spec(image).files]


def test_local_modules_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packed_here").mkdir()
    for name in ("packed_here/__init__.py", "packed_here/data.json", "single_here.py"):
        (tmp_path / name).write_text("{}")
    monkeypatch.syspath_prepend(str(tmp_path))
    image = SLIM.add_local_python_source("packed_here", "single_here")
    assert [file.path for file in spec(image).files] == ["packed_here/__init__.py", "single_here.py"]
    with pytest.raises(ImageError, match="no local module `absent_here`"):
        SLIM.add_local_python_source("absent_here")


def test_a_requirements_file_is_read_with_those_it_includes(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("b==2  # pinned\n")
    (tmp_path / "requirements.txt").write_text("# all\na>=1 \\\n  ; python_version > '3'\n-r more.txt\n--extra-index-url=https://u:pw@i.org/s\n")
    plan = SLIM.pip_install_from_requirements(tmp_path / "requirements.txt").plan()
    step = plan.spec.steps[0]
    assert [" ".join(word.split()) for word in step.words] == ["a>=1 ; python_version > '3'", "b==2"]
    assert step.options == ("--extra-index-url", "https://i.org/s") and plan.logins[0].password == "pw"


@pytest.mark.parametrize("line", ["-e .", "./project", "--editable=../x", "file:///x"])
def test_a_requirements_file_that_names_a_project_of_this_machine_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "r.txt").write_text(line)
    with pytest.raises(ImageError, match="names a project of this machine"):
        SLIM.pip_install_from_requirements(tmp_path / "r.txt")


def a_helper() -> int:
    return 1


def test_a_function_is_the_same_image_until_its_code_changes() -> None:
    def made(text: str) -> str:
        space: dict = {"__name__": "__main__"}
        exec(compile(text, f"cell-{len(text)}", "exec"), space)
        return spec(SLIM.run_function(space["f"], args=(1,))).digest

    one = made("def g(): return 1\ndef f(n): return g()")
    assert one == made("\n\n# moved\ndef g(): return 1\ndef f(n): return g()")
    assert one != made("def g(): return 2\ndef f(n): return g()")
    assert one != made("def g(): return 1\ndef f(n): return g() + n")


def test_a_forced_layer_is_another_one_each_time() -> None:
    one, other = (spec(SLIM.pip_install("a", force_build=True)).digest for _ in range(2))
    assert one != other


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: SLIM.pip_install(), "no package is given"),
        (lambda: SLIM.pip_install("a", 3), "3"),
        (lambda: SLIM.env({"A B": "1"}), "no variable's name"),
        (lambda: Image.debian_slim("three"), "no version of Python"),
        (lambda: Image.from_registry("a b"), "no image's tag"),
        (lambda: SLIM.run_function(3), "no function"),
        (lambda: SLIM.run_commands("x", secrets=["NOT_SET_ANYWHERE"]), "is not set here"),
        (lambda: SLIM.run_commands("x", secrets=[3]), "no secret of a build"),
    ],
)
def test_what_cannot_be_is_said_at_once(make: object, what: str) -> None:
    with pytest.raises(ImageError, match=what) as refused:
        make()
    assert refused.value.hint
