"""Arrays, tensors and frames arrive whole, writeable, and with what they share."""

from __future__ import annotations

import pytest

from remote_runtime.wire.payload import pack, unpack
from tests.payload.far import Notebook, arrived, flat

np = pytest.importorskip("numpy")

_MASKED = "np.ma.masked_array(np.arange(600.), mask=np.arange(600) % 2)"
ARRAYS = {
    "large": "np.arange(5000.)",
    "small": "np.arange(3)",
    "scalar array": "np.array(5)",
    "zero size": "np.zeros((0, 3))",
    "strided view": "np.arange(5000)[::2]",
    "negative stride": "np.arange(5000)[::-1]",
    "fortran": "np.asfortranarray(np.arange(6000.).reshape(60, 100))",
    "transposed": "np.arange(6000.).reshape(60, 100).T",
    "broadcast": "np.broadcast_to(np.arange(100), (50, 100)).copy()",
    "structured": "np.zeros(500, dtype=[('a', 'i4'), ('b', 'f8')])",
    "datetime": "np.arange('2020-01', '2023-01', dtype='M8[D]')",
    "text": "np.array(['a', 'long text'] * 100)",
    "object": "np.array([{1: 2}, None, 'x'], dtype=object)",
    "big-endian": "np.arange(600, dtype='>i4')",
    "bool": "np.ones(5000, dtype=bool)",
    "matrix": "np.asmatrix(np.ones((40, 40)))",
    "masked": _MASKED,
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("expression", ARRAYS.values(), ids=ARRAYS)
def test_arrays_arrive_equal_and_writeable(notebook: Notebook, expression: str) -> None:
    notebook.cell(f"import numpy as np\nx = {expression}")
    notebook.send("x", "np")
    notebook.far.run(f"want = {expression}")
    same = "type(x) is type(want) and x.dtype == want.dtype and x.shape == want.shape and bool(np.all(x == want))"
    assert notebook.far.ask(same)
    assert notebook.far.ask("x.flags.writeable")


def test_large_arrays_travel_out_of_band_and_small_ones_inside(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\nbig = np.arange(5000.)\nsmall = np.arange(10.)")
    bundle = notebook.pack("big", "small").bundle
    assert [buffer.nbytes for buffer in bundle.buffers] == [40_000]
    assert len(bundle.pickle) < 1000


def test_nothing_is_copied_to_pack_an_array() -> None:
    array = np.arange(5000.0)
    bundle = pack({"x": array}, namespace={}).bundle
    array[7] = -1.0
    assert memoryview(bundle.buffers[0]).cast("d")[7] == -1.0


def test_an_array_uses_the_memory_it_arrived_in() -> None:
    bundle = arrived(*flat(pack({"x": np.arange(5000.0)}, namespace={}).bundle))
    array = unpack(bundle, namespace={})["x"]
    bundle.buffers[0].cast("d")[3] = 9.0
    assert array[3] == 9.0


def test_one_array_under_two_names_is_one(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\na = np.arange(5000.); b = [a]")
    notebook.send("a", "b")
    assert notebook.far.ask("a is b[0]")


def test_a_read_only_array_stays_read_only(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\nx = np.arange(5000.); x.flags.writeable = False")
    notebook.send("x")
    assert notebook.far.ask("x.flags.writeable") is False


def test_a_memory_mapped_array_becomes_a_plain_one(notebook: Notebook, tmp_path) -> None:
    notebook.cell(f"import numpy as np\nx = np.memmap({str(tmp_path / 'm')!r}, 'f8', 'w+', shape=(900,)); x[:] = 2")
    bundle = notebook.send("x").bundle
    assert notebook.far.ask("(type(x).__name__, float(x.sum()), x.flags.writeable)") == ("ndarray", 1800.0, True)
    assert len(bundle.buffers) == 1


def test_generator_state_travels(notebook: Notebook) -> None:
    notebook.cell("import numpy as np\nx = np.random.default_rng(4); y = np.random.default_rng(4).random()")
    notebook.send("x", "y")
    assert notebook.far.ask("x.random() == y")


FRAMES = {
    "numbers": "pd.DataFrame({'a': np.arange(500), 'b': np.arange(500.)})",
    "text": "pd.DataFrame({'a': ['x', None, 'yy'] * 100})",
    "string dtype": "pd.DataFrame({'a': pd.array(['x', None, 'yy'], dtype='string')})",
    "categories": "pd.DataFrame({'a': pd.Categorical(['x', 'y', 'x'], ordered=True)})",
    "dates": "pd.DataFrame({'t': pd.date_range('2020', periods=300, freq='h', tz='UTC')}).set_index('t')",
    "multi-index": "pd.DataFrame({'a': [1, 2]}, index=pd.MultiIndex.from_tuples([('x', 1), ('y', 2)]))",
    "nullable": "pd.DataFrame({'a': pd.array([1, None], dtype='Int64')})",
    "empty": "pd.DataFrame()",
    "series": "pd.Series(np.arange(500.), name='s')",
}


@pytest.mark.parametrize("expression", FRAMES.values(), ids=FRAMES)
def test_frames_arrive_equal(notebook: Notebook, expression: str) -> None:
    pytest.importorskip("pandas")
    notebook.cell(f"import numpy as np, pandas as pd\nx = {expression}")
    notebook.send("x", "np", "pd")
    notebook.far.run(
        f"want = {expression}\ncheck = pd.testing.assert_frame_equal if x.ndim == 2 else pd.testing.assert_series_equal"
    )
    assert notebook.far.ask("check(x, want)") is None


def test_a_frame_can_be_changed(notebook: Notebook) -> None:
    pytest.importorskip("pandas")
    notebook.cell("import numpy as np, pandas as pd\nx = pd.DataFrame(np.arange(6000.).reshape(1000, 6))")
    notebook.send("x")
    notebook.far.run("x.loc[0, 0] = 5.0; x[1] += 1; x.iloc[:, 2].to_numpy().sum()")
    assert notebook.far.ask("(float(x.iloc[0, 0]), float(x.iloc[0, 1]))") == (5.0, 2.0)


TENSORS = {
    "large": "torch.arange(5000.)",
    "scalar": "torch.tensor(3)",
    "empty": "torch.zeros(0, 4)",
    "strided": "torch.arange(5000.).reshape(50, 100).t()[3:, ::2]",
    "expanded": "torch.arange(3.).expand(1000, 3)",
    "half": "torch.ones(4000, dtype=torch.bfloat16)",
    "complex": "torch.ones(400, dtype=torch.complex64)",
    "conjugate": "torch.full((4,), 1 + 2j).conj()",
    "bool": "torch.ones(2000, dtype=torch.bool)",
    "sparse": "torch.eye(30).to_sparse()",
    "quantized": "torch.quantize_per_tensor(torch.ones(50), 0.1, 0, torch.quint8)",
    "grad wanted": "torch.ones(400, requires_grad=True)",
    "not a leaf": "torch.ones(400, requires_grad=True) * 1",
}


@pytest.mark.filterwarnings("ignore:.*quantiz.*")
@pytest.mark.parametrize("expression", TENSORS.values(), ids=TENSORS)
def test_tensors_arrive_equal(notebook: Notebook, expression: str) -> None:
    pytest.importorskip("torch")
    notebook.cell(f"import torch\nx = {expression}")
    notebook.send("x", "torch")
    notebook.far.run(f"want = {expression}")
    dense = "torch.equal(x.detach().to_dense(), want.detach().to_dense())" if "sparse" in expression else "torch.equal(x, want)"
    layout = "x.dtype == want.dtype and x.requires_grad == want.requires_grad and (x.is_sparse or x.stride() == want.stride())"
    assert notebook.far.ask(f"{dense} and {layout}")


def test_tensors_travel_out_of_band(notebook: Notebook) -> None:
    pytest.importorskip("torch")
    notebook.cell("import torch\nx = torch.nn.Linear(100, 100)")
    bundle = notebook.pack("x").bundle
    assert [buffer.nbytes for buffer in bundle.buffers] == [40_000]


def test_views_of_one_storage_stay_views(notebook: Notebook) -> None:
    pytest.importorskip("torch")
    notebook.cell("import torch\na = torch.zeros(4000); b = a[10:20]; c = a.view(40, 100).t()")
    assert len(notebook.send("a", "b", "c").bundle.buffers) == 1
    notebook.far.run("a[10] = 7; c[50, 0] = 3")
    assert notebook.far.ask("(float(b[0]), float(a[50]))") == (7.0, 3.0)


def test_tied_parameters_gradients_and_optimizer_go_on(notebook: Notebook) -> None:
    pytest.importorskip("torch")
    notebook.cell(
        "import torch\nm = torch.nn.Sequential(torch.nn.Linear(40, 40), torch.nn.Linear(40, 40))\n"
        "m[1].weight = m[0].weight\no = torch.optim.SGD(m.parameters(), lr=1.0)\nm(torch.ones(1, 40)).sum().backward()"
    )
    notebook.send("m", "o")
    assert notebook.far.ask("m[0].weight is m[1].weight is o.param_groups[0]['params'][0]")
    notebook.far.run("w = m[0].weight.detach().clone(); o.step()")
    assert notebook.far.ask("bool((m[0].weight != w).any()) and type(m[0].weight).__name__ == 'Parameter'")


def test_a_model_trained_there_comes_back(notebook: Notebook) -> None:
    pytest.importorskip("torch")
    notebook.cell(
        "import torch\nclass Net(torch.nn.Module):\n def __init__(s):\n  super().__init__(); s.l = torch.nn.Linear(300, 2)\n def forward(s, x): return s.l(x)\nnet = Net()"
    )
    notebook.send("net", "torch")
    notebook.far.run("with torch.no_grad(): net.l.weight.fill_(2.0)")
    notebook.fetch("net")
    net, torch = notebook.names["net"], notebook.names["torch"]
    assert type(net) is notebook.names["Net"] and float(net.l.weight.detach().sum()) == 1200.0
    net(torch.ones(1, 300)).sum().backward()
    assert net.l.weight.grad is not None


@pytest.mark.gpu
def test_a_tensor_of_a_gpu_arrives_on_the_cpu(notebook: Notebook) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    notebook.cell("import torch\nx = torch.arange(4000., device='cuda'); y = x[5:]")
    assert len(notebook.send("x", "y").bundle.buffers) == 1
    assert notebook.far.ask("(x.device.type, float(y[0]))") == ("cpu", 5.0)
