"""Which names look like secrets, and how large values are before they are pickled."""

from __future__ import annotations

import pytest

from kernel_proxy.errors import SecretGate
from kernel_proxy.gates import Gates, estimate_bytes

SECRETS = "key api_key API_KEY apiKey APIKey key2 my_key_3 OPENAI_API_KEY hfToken HF_TOKEN token secret clientSecret PASSWORD dbPassword _key".split()
HARMLESS = (
    "monkey keyboard tokenizer tokens turkey Keynote secretary keys tokenized hotkeys KEYS passwords x donkey_1 mykey".split()
)


@pytest.mark.parametrize("name", SECRETS)
def test_a_name_with_the_whole_word_is_a_secret(name: str) -> None:
    assert isinstance(Gates().stopped(name, "value"), SecretGate)


@pytest.mark.parametrize("name", HARMLESS)
def test_a_name_with_the_word_inside_another_is_none(name: str) -> None:
    assert Gates().stopped(name, "value") is None


@pytest.mark.parametrize("value", [3, ["a"], {"a": "b"}, None, b"bytes"])
def test_only_strings_are_secrets(value: object) -> None:
    assert Gates().stopped("api_key", value) is None


def test_sizes_are_known_without_pickling() -> None:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    assert estimate_bytes(np.zeros((10, 10))) == 800
    assert estimate_bytes(pd.DataFrame({"a": np.zeros(100)})) == 800 + pd.RangeIndex(100).memory_usage()
    assert estimate_bytes(pd.Series(np.zeros(100))) > 800
    assert estimate_bytes([np.zeros(10), {"a": np.zeros(10)}]) == 160
    assert estimate_bytes(b"12345") == 5


def test_sizes_of_tensors_are_known() -> None:
    torch = pytest.importorskip("torch")
    assert estimate_bytes(torch.zeros(10, 10)) == 400


class Odd:
    __module__ = "numpy"

    @property
    def nbytes(self) -> int:
        raise AttributeError("none")


@pytest.mark.parametrize("value", [object(), Odd(), 3, len, []], ids=["object", "odd", "int", "builtin", "empty list"])
def test_an_unknown_size_is_none(value: object) -> None:
    assert estimate_bytes(value) is None


def test_an_estimate_of_many_items_is_bounded() -> None:
    assert estimate_bytes(["ab"] * 10**6) == 2000
