"""What a session answers between runs."""

from __future__ import annotations


def test_fetch_gives_a_value_by_name_or_token(user):
    done = user.run("x = [1, 2]", returns={"keep": ["x"]})
    assert user.ask(fetch={"name": "x"})[1] == {"x": [1, 2]}
    assert user.ask(fetch={"token": done.held["x"].token})[1] == {"_": [1, 2]}


def test_fetch_sends_large_values_whole(user):
    user.run("x = bytes(range(256)) * 20_000", returns={"keep": ["x"]})
    assert user.ask(fetch={"name": "x"})[1]["x"] == bytes(range(256)) * 20_000


def test_fetch_says_what_cannot_be_given(user):
    assert user.ask(fetch={"name": "nope"})[0].failure.code == "not-found"
    assert user.ask(fetch={"token": "nope"})[0].failure.code == "not-found"
    user.run("#\nimport threading\nlock = threading.Lock()")
    failure = user.ask(fetch={"name": "lock"})[0].failure
    assert failure.code == "pack" and "thread lock" in failure.message and failure.hint


def test_put_binds_values(user):
    assert user.ask(put={}, values={"a": [1], "b": "x" * 200_000})[0].WhichOneof("body") == "done"
    done = user.run("n = (a, len(b))")
    assert done.values["n"] == ([1], 200_000) and set(done.end.alive) == {"a", "b", "n"}


def test_remove_takes_names_and_their_handles_away(user):
    user.run("#\nimport weakref\nclass M: pass\nm = M()\nw = weakref.ref(m)", returns={"keep": ["m", "w"]})
    reply = user.ask(remove={"names": ["m", "nope", "get_ipython", "m"]})[0].removed
    assert list(reply.names) == ["m"]
    done = user.run("alive = w() is not None\nshell = get_ipython()", returns={"keep": ["shell"]})
    assert done.values["alive"] is False and "m" not in done.end.alive


def test_vars_lists_the_users_names(user):
    user.run("#\nimport numpy as np\nx = np.ones((2, 2))\ny = 'text'")
    rows = {row.name: row for row in user.ask(list_vars={})[0].vars.vars}
    assert set(rows) == {"np", "x", "y"}
    assert list(rows["x"].shape) == [2, 2] and rows["x"].token == "" and rows["y"].preview == "'text'"


def test_free_gives_memory_back_and_tells_how_much(user):
    user.run("#\nb'x' * (64 << 20)")
    user.run("#\nb'y' * 10", returns={"none": True})
    user.ask(drop={"tokens": []})
    removed = user.ask(free={})[0].removed
    assert removed.HasField("freed_bytes") and removed.detail == "memory"
    assert user.run("#\nv = repr(_)").values["v"] == "''"


def test_environment_tells_what_is_installed_and_where(user):
    info = user.ask(environment={})[0].environment
    assert info.packages["numpy"] and info.executable and "session" in info.directory
    assert info.versions.python and [d.id for d in info.devices] == ["sim-A100-0"] and info.devices[0].simulated


def test_a_request_that_a_user_process_does_not_know_is_refused(user):
    assert user.ask(list_runs={})[0].failure.code == "protocol"
