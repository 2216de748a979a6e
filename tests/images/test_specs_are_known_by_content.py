"""Equal content is one image: the digest says so in every process, and every change shows in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_runtime.wire.failures import Failed
from remote_runtime.wire.images import KINDS, Base, Content, ImageSpec, Step, is_inside, spec_from

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)
paths = texts.filter(lambda text: is_inside(text))
contents = st.builds(Content, paths, st.from_regex(r"[0-9a-f]{64}", fullmatch=True), st.integers(0, 2**40), st.booleans())
steps = st.builds(
    Step, st.sampled_from(sorted(KINDS)), st.lists(texts, max_size=3).map(tuple), st.lists(texts, max_size=2).map(tuple),
    st.lists(st.tuples(names, texts), max_size=2).map(tuple), st.lists(contents, max_size=2).map(tuple),
    st.lists(names, max_size=2).map(tuple),
)  # fmt: skip
specs = st.builds(
    ImageSpec, st.builds(Base, st.sampled_from(["slim", "local"]), st.just(""), st.just("3.11")),
    st.lists(steps, max_size=4).map(tuple),
)  # fmt: skip


@given(specs)
def test_a_spec_that_has_travelled_is_the_same_image(spec: ImageSpec) -> None:
    assert spec_from(spec.json) == spec
    assert spec_from(spec.json).digest == spec.digest


@given(specs, steps)
def test_what_goes_on_shares_the_layers_below(spec: ImageSpec, step: Step) -> None:
    more = ImageSpec(spec.base, (*spec.steps, step))
    assert more.layers[:-1] == spec.layers
    assert more.digest not in spec.layers


@given(st.lists(specs, min_size=2, max_size=2))
def test_two_images_have_one_digest_only_if_they_are_one(pair: list[ImageSpec]) -> None:
    def known_by(spec: ImageSpec) -> ImageSpec:
        plain = (Step(s.kind, s.words, s.options, s.pairs, () if s.kind == "function" else s.files, s.secrets) for s in spec.steps)
        return ImageSpec(spec.base, tuple(plain))

    first, second = pair
    assert (first.digest == second.digest) == (known_by(first) == known_by(second))


def test_the_digest_is_the_same_in_every_process() -> None:
    script = (
        "from remote_runtime.wire.images import *;"
        "print(ImageSpec(Base(python='3.11'), (Step('pip', ('a', 'b')), Step('env', pairs=(('A', '1'),)))).digest)"
    )
    seen = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
        seen.add(done.stdout)
    assert len(seen) == 1


def test_a_function_is_known_by_what_it_does_and_not_by_its_bytes() -> None:
    one, other = (Step("function", ("f",), ("same",), files=(Content("f", digit * 64, 1),)) for digit in "ab")
    changed = Step("function", ("f",), ("another",), files=one.files)
    digests = [ImageSpec(Base(), (step,)).digest for step in (one, other, changed)]
    assert digests[0] == digests[1] != digests[2]


def test_the_same_image_of_two_owners_is_two() -> None:
    spec = ImageSpec(Base())
    assert len({spec.digest, spec.owned("ann").digest, spec.owned("bob").digest}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"base": {"kind": "vm", "name": "", "python": "", "files": []}},
        {"base": {"kind": "slim", "name": "", "python": "3.11; rm", "files": []}},
        {"steps": [{"kind": "fly"}]},
        {"steps": 3},
        {"steps": [{"pairs": [["A B", "1"]]}]},
        {"steps": [{"secrets": ["A=B"]}]},
        {"steps": [{"kind": "files", "files": [{"path": "../x", "digest": "a" * 64, "size_bytes": 1, "executable": False}]}]},
        {"steps": [{"kind": "modules", "files": [{"path": "/x", "digest": "a" * 64, "size_bytes": 1, "executable": False}]}]},
        {"steps": [{"kind": "files", "files": [{"path": "x", "digest": "../../x", "size_bytes": 1, "executable": False}]}]},
    ],
)
def test_what_no_builder_sends_is_refused(change: dict) -> None:
    facts = json.loads(ImageSpec(Base(python="3.11")).json)
    empty = json.loads(ImageSpec(Base(), (Step("run"),)).json)["steps"][0]
    facts.update(change)
    if isinstance(facts["steps"], list):
        facts["steps"] = [{**empty, **step} for step in facts["steps"]]
    with pytest.raises(Failed) as refused:
        spec_from(json.dumps(facts))
    assert refused.value.code == "protocol"
