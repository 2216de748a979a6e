"""Trees of local modules in the user process: kept, put on the path, taken back."""

from __future__ import annotations

import pytest

from remote_runtime.wire import messages_pb2 as pb
from remote_runtime.wire.sources import digest_of, tree_of
from tests.worker.user.harness import Done, User


def tree(root: str = "/home/u", **files: str) -> pb.Sources:
    """A tree with its contents; `a__b` stands for the path a/b."""
    contents = {f"{name.replace('__', '/')}.py": text.encode() for name, text in files.items()}
    rows = [pb.SourceFile(path=path, digest=digest_of(content)) for path, content in sorted(contents.items())]
    roots = [pb.SourceRoot(path=root, files=rows)]
    parts = [pb.SourceContent(digest=digest_of(content), content=content) for content in contents.values()]
    return pb.Sources(tree=tree_of(roots), roots=roots, contents=parts)


def run(user: User, sources: pb.Sources, cell: str) -> Done:
    assert user.ask(sources=sources)[0].WhichOneof("body") == "done"
    return user.run(cell, sources=sources.tree)


def test_two_trees_take_turns_without_being_sent_again(user: User) -> None:
    one, two = tree("/one", turn="w = 'one'"), tree("/two", turn="w = 'two'", more="x = 1")
    assert run(user, one, "#\nimport turn\nprint(turn.w)").out == "one\n"
    assert run(user, two, "print(turn.w)\nimport more").out == "two\n"
    done = user.run("print(turn.w, turn.__spec__.origin.endswith('turn.py'))\nimport more", sources=one.tree)
    assert done.out == "one True\n" and done.end.problem.type_name == "ModuleNotFoundError"
    assert user.run("print(turn.w)").out == "one\n"


def test_only_what_is_lacking_is_asked_for(user: User) -> None:
    known = tree(lacking_a="a = 1")
    user.ask(sources=known)
    asked = tree(lacking_a="a = 1", lacking_b="b = 2")
    del asked.contents[:]
    asked.ask = True
    asked.modules.extend(["json", "no_such_module", "no.such.module"])
    reply = user.ask(sources=asked)[0].sources
    assert list(reply.lacking) == [digest_of(b"b = 2")] and list(reply.modules) == ["no_such_module", "no.such.module"]


def test_a_run_whose_tree_never_came_says_so_and_the_next_one_runs(user: User) -> None:
    done = user.run("print('ran')", sources="0" * 64)
    assert done.end.problem.code == "not-found" and "run the cell again" in done.end.problem.hint and not done.out
    assert user.run("print('ran')").out == "ran\n"


DAMAGED = {
    "a content": lambda s: setattr(s.contents[0], "content", b"other"),
    "the list": lambda s: s.roots[0].files.add(path="z.py", digest=b"1"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_is_refused(user: User, what: str) -> None:
    sources = tree(damaged="x = 1")
    DAMAGED[what](sources)
    failure = user.ask(sources=sources)[0].failure
    assert failure.code == "protocol" and "damaged" in failure.message
    assert user.run("1", sources=sources.tree).end.problem.code == "protocol"


@pytest.mark.parametrize("path", ["../x.py", "/tmp/x.py", "a/../../x.py"])
def test_a_path_outside_of_its_root_is_refused(user: User, path: str) -> None:
    sources = tree(x="x = 1")
    sources.roots[0].files[0].path = path
    sources.tree = tree_of(sources.roots)
    assert repr(path) in user.ask(sources=sources)[0].failure.message


def test_a_module_becomes_a_package_and_a_module_again(user: User) -> None:
    module, package = tree(shape="kind = 'module'"), tree(shape____init__="from .a import kind", shape__a="kind = 'package'")
    package.roots[0].files[0].path = "shape/__init__.py"
    package.roots[0].files.sort(key=lambda file: file.path)
    package.tree = tree_of(package.roots)
    cell = "#\nimport shape\nprint(shape.kind)"
    assert [run(user, sources, cell).out for sources in (module, package, module)] == ["module\n", "package\n", "module\n"]


def test_an_edit_of_the_same_size_at_once_is_seen(user: User) -> None:
    printed = [run(user, tree(rapid=f"n = {n}"), "#\nimport rapid\nprint(rapid.n)").out for n in range(10, 20)]
    assert printed == [f"{n}\n" for n in range(10, 20)]


def test_submodules_that_were_imported_are_there_after_an_edit(user: User) -> None:
    before = tree(held__a="v = 1", held__b="w = 1")
    run(user, before, "import held.a, held.b")
    after = tree(held__a="v = 2", held__b="w = 1")
    assert run(user, after, "print(held.a.v, held.b.w)").out == "2 1\n"


def test_an_import_that_asks_to_exit_does_not_end_the_session(user: User) -> None:
    run(user, tree(leaves="x = 1"), "import leaves")
    done = run(user, tree(leaves="raise SystemExit(3)"), "print('still here', leaves.x)")
    assert done.out == "still here 1\n" and any("SystemExit: 3" in shown["text/plain"] for shown in done.shown)


def test_a_process_that_takes_its_place_finds_what_was_kept(tmp_path) -> None:
    first = User(str(tmp_path))
    sources = tree(kept="x = 'kept'")
    assert run(first, sources, "import kept").end.status == "ok"
    first.close()
    second = User(str(tmp_path))
    assert second.run("#\nimport kept\nprint(kept.x)", sources=sources.tree).out == "kept\n"
    second.close()


def test_old_trees_are_forgotten(fresh: User, tmp_path) -> None:
    for n in range(30):
        assert run(fresh, tree(old=f"n = {n}"), "import old").end.status == "ok"
    kept = tmp_path / ".warmcell/sources"
    assert len(list((kept / "trees").iterdir())) == 16 and len(list((kept / "blobs").iterdir())) == 16
