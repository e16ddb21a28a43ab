# SPDX-License-Identifier: Apache-2.0
"""PyTorch's side: `lathe.compile(module, inputs)` and `torch.compile(backend="lathe")`."""

from __future__ import annotations

import subprocess
import sys

import lathe
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed here")
from torch import nn  # noqa: E402


class Small(nn.Module):
    """Arguments with defaults, results in a structure: tensors, an argument, None and a size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x, bias=None, *, factor=2):
        h = torch.relu(self.first(x)) * factor
        return {
            "out": self.second(h) if bias is None else self.second(h) + bias,
            "h": [h],
            "rest": (x, None, h.shape[0]),
        }


@pytest.fixture
def small() -> Small:
    return Small().eval()


@pytest.fixture
def x():
    return torch.randn(3, 8, generator=torch.Generator().manual_seed(1))


def close(a, b) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_results_have_the_modules_structure(small, x):
    with torch.no_grad():
        want = small(x)
    got = lathe.compile(small, (x,), threads=1)(x)
    assert got.keys() == want.keys() and got["rest"][1:] == (None, 3)
    close(got["out"], want["out"])
    close(got["h"][0], want["h"][0])
    close(got["rest"][0], x)


def test_keyword_arguments_in_any_order(small, x):
    bias = torch.ones(4)
    compiled = lathe.compile(small, (x,), example_kwargs={"factor": 3, "bias": bias}, threads=1)
    close(compiled(x, bias=bias, factor=3)["out"], small(x, bias, factor=3)["out"].detach())
    with pytest.raises(lathe.UsageError, match="constant 3, got 4"):
        compiled(x, factor=4, bias=bias)


def test_dynamic_shapes_keep_their_range(small, x):
    batch = torch.export.Dim("batch", min=3, max=32)
    compiled = lathe.compile(small, (x,), dynamic_shapes={"x": {0: batch}}, threads=1)
    for n in (3, 7, 32):
        many = torch.randn(n, 8)
        close(compiled(many)["out"], small(many)["out"].detach())
        assert compiled(many)["rest"][2] == n
    with pytest.raises(lathe.UsageError):
        compiled(torch.randn(33, 8))


def test_tensors_are_used_in_place(small, x):
    """Nothing is copied: what the engine is given are the addresses of the tensors themselves."""
    compiled = lathe.compile(small, (x,), threads=1)
    given = []
    session = compiled.model._session

    class Spy:
        def __getattr__(self, name):
            return getattr(session, name)

        def bind_input(self, i, array, shape):
            given.append(array.__array_interface__["data"][0])
            session.bind_input(i, array, shape)

        def bind_output(self, i, array):
            if array is not None:
                given.append(array.__array_interface__["data"][0])
            session.bind_output(i, array)

    compiled.model._session = Spy()
    got = compiled(x)
    assert given == [x.data_ptr(), got["out"].data_ptr(), got["h"][0].data_ptr(), got["rest"][0].data_ptr(), given[-1]]
    close(compiled(x.t().contiguous().t())["out"], got["out"])  # one that is not contiguous is copied


def test_results_are_new_tensors(small, x):
    compiled = lathe.compile(small, (x,), threads=1)
    first = compiled(x)["out"]
    kept = first.clone()
    compiled(x * 2)
    close(first, kept)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8, torch.bool])
def test_types_pass_unchanged(dtype):
    class Turn(nn.Module):
        def forward(self, x):
            return x.flip(0)

    x = torch.arange(6).reshape(3, 2).to(dtype)
    got = lathe.compile(Turn(), (x,), threads=1)(x)
    assert got.dtype == dtype and torch.equal(got, x.flip(0))


def test_sizes_that_depend_on_data():
    class Positive(nn.Module):
        def forward(self, x):
            return x[x > 0]

    x = torch.tensor([1.0, -2.0, 3.0])
    compiled = lathe.compile(Positive(), (x,), threads=1)
    assert torch.equal(compiled(x), x[x > 0])
    assert compiled(-x.abs()).shape == (0,)


def test_wrong_arguments_are_told(small, x):
    compiled = lathe.compile(small, (x,), threads=1)
    with pytest.raises(lathe.UsageError, match="expects float32, got float64"):
        compiled(x.double())
    with pytest.raises(lathe.UsageError, match="exported for the arguments"):
        compiled(x, x)
    with pytest.raises(lathe.UsageError):
        compiled(x[:2])
    with pytest.raises(lathe.UsageError, match="expects a tensor, got float"):
        compiled(1.0)
    with pytest.raises(lathe.UsageError, match="example inputs"):
        lathe.compile(small)


def test_an_exported_program_is_a_model_too(small, x, tmp_path):
    program = torch.export.export(small, (x,))
    close(lathe.compile(program, threads=1)(x)["out"], small(x)["out"].detach())
    lathe.build(program, tmp_path / "m.lathe")
    assert "out" in lathe.load(tmp_path / "m.lathe")(x.numpy())
    with pytest.raises(lathe.UsageError, match="export the module first"):
        lathe.build(small, tmp_path / "m.lathe")


def test_unsupported_operators_are_all_listed(x):
    class Strange(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x) + torch.special.i1e(x)

    with pytest.raises(lathe.UnsupportedError) as error:
        lathe.compile(Strange(), (x,))
    assert "bessel_j0" in str(error.value) and "i1e" in str(error.value) and "/tmp" not in str(error.value)


def test_gradients_are_an_error_where_they_are_wanted(small, x):
    y = lathe.compile(small, (x,), threads=1)(x.clone().requires_grad_())["out"]
    with pytest.raises(RuntimeError, match="computes no gradients"):
        y.sum().backward()


class TestBackend:
    """torch.compile(model, backend="lathe")"""

    @pytest.fixture(autouse=True)
    def fresh(self):
        torch._dynamo.reset()

    def compiled(self, function, **options):
        from lathe.pytorch import backend

        return torch.compile(function, backend=backend, options={"threads": 1} | options)

    def test_is_found_by_name(self):
        assert "lathe" in torch._dynamo.list_backends()

    @torch.no_grad()
    def test_runs_a_module(self, small, x):
        close(self.compiled(small, math="strict")(x)["out"], small(x)["out"])

    @torch.no_grad()
    def test_shapes_that_vary(self, small):
        compiled = self.compiled(small)
        for n in (3, 5, 9):
            x = torch.randn(n, 8)
            close(compiled(x)["out"], small(x)["out"])
            assert compiled(x)["rest"][2] == n

    @torch.no_grad()
    def test_changed_weights_count(self, small, x):
        compiled = self.compiled(small)
        compiled(x)
        small.second.bias.add_(1)
        close(compiled(x)["out"], small(x)["out"])

    @torch.no_grad()
    def test_a_graph_break_gives_two_engines(self, x):
        def broken(x):
            y = torch.relu(x) * 3
            torch._dynamo.graph_break()
            return y.sum(0)

        close(self.compiled(broken)(x), broken(x))

    @torch.no_grad()
    def test_unsupported_operators_are_torchs_error(self, x):
        def strange(x):
            return torch.special.bessel_j0(x) + torch.special.i1e(x)

        with pytest.raises(torch._dynamo.exc.BackendCompilerFailed) as error:
            self.compiled(strange)(x)
        assert "special_bessel_j0" in str(error.value) and "special_i1e" in str(error.value)

    def test_no_gradients(self, small, x):
        y = self.compiled(small)(x)["out"]
        with pytest.raises(RuntimeError, match="computes no gradients"):
            y.sum().backward()


def test_torch_is_not_loaded_unless_it_is_used():
    code = "import sys, lathe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
