"""Laws of every covered layer: its products and its curvature are those of per-sample gradients."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from catwise.core.errors import InputError
from catwise.influence.factors import fit_factors
from catwise.influence.layers import as_matrices, coverage, covered_layers
from catwise.influence.vectors import directional_derivatives, group_gradients
from catwise.influence.visits import visit_layers
from tests.helpers import small

N = 6
OPTIONS = {"damping": 0.1, "seed": 0, "batch_size": 4}


class Attend(nn.Module):
    """Attend to positions, of the input itself or from its first two."""

    def __init__(self, cross: bool = False, batch_first: bool = True, bias: bool = True):
        super().__init__()
        self.cross = cross
        self.attention = nn.MultiheadAttention(6, 2, bias=bias, batch_first=batch_first)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.attention.batch_first else x.transpose(0, 1)
        queries = x[:, :2] if self.attention.batch_first else y[:2]
        y = self.attention(queries if self.cross else y, y, y)[0]
        return y if self.attention.batch_first else y.transpose(0, 1)


class Windows(nn.Module):
    """Apply a linear layer to windows of each sample, by the function and by the module."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        windows = x.reshape(2 * len(x), -1, 6)
        hidden = nn.functional.linear(windows, self.first.weight, self.first.bias).tanh()
        return self.second(hidden).reshape(len(x), -1)


class Repeated(nn.Module):
    """Apply a layer twice, or two layers that share their parameters."""

    def __init__(self, tied: bool):
        super().__init__()
        self.first = nn.Conv1d(4, 4, 3, padding=1)
        self.inner = nn.Linear(6, 6)
        self.second, self.outer = self.first, self.inner
        if tied:
            self.second, self.outer = nn.Conv1d(4, 4, 3, padding=1), nn.Linear(6, 6)
            for one, two in ((self.first, self.second), (self.inner, self.outer)):
                two.weight, two.bias = one.weight, one.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(self.second(self.first(x).tanh())).tanh()[:, :3])


def transposed_linear():
    from transformers.pytorch_utils import Conv1D

    return Conv1D(5, 6)


def layer_norm_2d():
    from torchvision.models.convnext import LayerNorm2d

    return LayerNorm2d(4)


SEQUENCE, IMAGE = (4, 6), (4, 6, 5)
BODIES = {
    "grouped convolution": (lambda: nn.Conv2d(4, 6, 3, groups=2, padding=1), IMAGE),
    "depthwise convolution": (lambda: nn.Conv2d(4, 8, (3, 2), stride=2, groups=4), IMAGE),
    "depthwise, no bias": (lambda: nn.Conv2d(4, 4, 3, groups=4, bias=False), IMAGE),
    "circular padding": (
        lambda: nn.Conv2d(4, 3, 3, padding=(1, 2), padding_mode="circular"),
        IMAGE,
    ),
    "convolution 1d": (lambda: nn.Conv1d(4, 3, 3, stride=2, padding=2, dilation=2), SEQUENCE),
    "convolution 1d, same": (
        lambda: nn.Conv1d(4, 4, 3, padding="same", dilation=2, groups=2),
        SEQUENCE,
    ),
    "convolution 3d": (
        lambda: nn.Conv3d(2, 3, (2, 3, 2), stride=(1, 2, 1), padding=1),
        (2, 3, 5, 4),
    ),
    "layer norm": (lambda: nn.LayerNorm(6), SEQUENCE),
    "layer norm of two axes": (lambda: nn.LayerNorm((4, 6)), SEQUENCE),
    "layer norm, no bias": (lambda: nn.LayerNorm(6, bias=False), SEQUENCE),
    "rms norm": (lambda: nn.RMSNorm(6), SEQUENCE),
    "layer norm, channels first": (layer_norm_2d, IMAGE),
    "group norm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "batch norm": (lambda: nn.BatchNorm2d(4), IMAGE),
    "batch norm of features": (lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(24)), SEQUENCE),
    "attention": (Attend, SEQUENCE),
    "attention, positions first": (lambda: Attend(batch_first=False), SEQUENCE),
    "attention, other queries": (lambda: Attend(cross=True, bias=False), SEQUENCE),
    "attention, other queries first": (lambda: Attend(cross=True, batch_first=False), SEQUENCE),
    "encoder": (lambda: nn.TransformerEncoderLayer(6, 2, 7, batch_first=True), SEQUENCE),
    "windows": (Windows, SEQUENCE),
    "linear of transformers": (transposed_linear, SEQUENCE),
    "used twice": (lambda: Repeated(tied=False), SEQUENCE),
    "tied": (lambda: Repeated(tied=True), SEQUENCE),
}


@pytest.fixture(params=BODIES)
def case(request):
    """A model with random weights in all its layers, and samples."""
    body, shape = BODIES[request.param]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.randn(N, *shape, dtype=torch.float64)
        model = nn.Sequential(body().double(), nn.Tanh(), nn.Flatten())
        model.append(nn.Linear(model(x).shape[1], 3).double())  # and gives batch norm statistics
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
    return model.eval(), (x, torch.arange(N) % 3)


def parameters(model):
    return {name: part.detach() for name, part in model.named_parameters()}


def gradients(model, x, label):
    """Differentiate the loss of one sample by torch.func: a matrix for each layer."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)

    def loss(theta):
        # tied parameters are given once, for all their names
        return nn.functional.cross_entropy(functional_call(model, theta, x[None]), label[None])

    found = grad(loss)(parameters(model))
    torch.backends.mha.set_fastpath_enabled(before)
    return as_matrices(covered_layers(model, norms=True), found)


def test_all_parameters_are_covered(case):
    assert coverage(case[0], covered_layers(case[0], norms=True)) == 1


def test_products_with_directions_are_those_of_per_sample_gradients(case):
    model, (x, labels) = case
    layers = covered_layers(model, norms=True)
    v = group_gradients(model, (x, labels), labels, 3, batch_size=5, layers=layers)
    found = directional_derivatives(model, (x, labels), v, batch_size=4)
    for n in range(N):
        matrices = gradients(model, x[n], labels[n])
        expected_k = sum((v[name] * matrix).sum((1, 2)) for name, matrix in matrices.items())
        torch.testing.assert_close(found[n], expected_k, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ekfac", "diagonal"])
def test_eigenvalues_are_second_moments_of_per_sample_gradients(case, kind):
    model, (x, labels) = case
    fitted = fit_factors(model, (x, labels), kind=kind, draw="every", norms=True, **OPTIONS)
    with torch.no_grad():
        probability_nk = model(x).softmax(1)
    moments = {name: torch.zeros_like(part["eigenvalues"]) for name, part in fitted.layers.items()}
    for n in range(N):
        for label in range(3):
            for name, matrix in gradients(model, x[n], torch.tensor(label)).items():
                basis = fitted.layers[name]
                if kind == "ekfac":
                    groups = basis["outputs"].shape[0] if basis["outputs"].dim() == 3 else 1
                    matrix = (
                        basis["outputs"].mT @ matrix.unflatten(0, (groups, -1)) @ basis["inputs"]
                    )
                    matrix = matrix.flatten(0, 1)
                moments[name] += probability_nk[n, label] / N * matrix.square()
    for name, part in fitted.layers.items():
        torch.testing.assert_close(part["eigenvalues"], moments[name], rtol=1e-8, atol=1e-14)


def test_solving_inverts_the_matrix_of_each_group(case):
    model, train = case
    fitted = fit_factors(model, train, kind="ekfac", draw="every", norms=True, **OPTIONS)
    v = {name: torch.randn_like(part["eigenvalues"])[None] for name, part in fitted.layers.items()}
    solved = fitted.solve(v)
    for name, part in fitted.layers.items():
        outputs, inputs = (
            basis if basis.dim() == 3 else basis[None]
            for basis in (part["outputs"], part["inputs"])
        )
        damped = part["eigenvalues"] + 0.1 * part["eigenvalues"].mean()
        found = solved[name][0].unflatten(0, (len(outputs), -1))
        wanted = v[name][0].unflatten(0, (len(outputs), -1))
        scales = damped.unflatten(0, (len(outputs), -1))
        for group in range(len(outputs)):
            basis = torch.kron(outputs[group], inputs[group])
            dense = N * basis @ torch.diag(scales[group].flatten()) @ basis.T
            torch.testing.assert_close(
                dense @ found[group].flatten(), wanted[group].flatten(), rtol=1e-7, atol=1e-9
            )


@pytest.mark.parametrize("kind", ["ekfac", "kfac"])
def test_a_group_of_a_convolution_is_a_convolution(kind):
    """Fit a grouped convolution, and each of its groups as a layer of its own."""

    class Split(nn.Module):
        def __init__(self, whole: nn.Conv2d):
            super().__init__()
            self.parts = nn.ModuleList(nn.Conv2d(2, 3, 3) for _ in range(2))
            for part, weight, bias in zip(
                self.parts, whole.weight.chunk(2), whole.bias.chunk(2), strict=True
            ):
                part.weight, part.bias = nn.Parameter(weight), nn.Parameter(bias)

        def forward(self, x: Tensor) -> Tensor:
            halves = zip(self.parts, x.chunk(2, dim=1), strict=True)
            return torch.cat([part(half) for part, half in halves], dim=1)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.randn(N, 4, 5, 5, dtype=torch.float64)
        whole = nn.Conv2d(4, 6, 3, groups=2).double()
        head = nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Linear(54, 3).double())
    train = x, torch.arange(N) % 3
    one, two = (
        fit_factors(nn.Sequential(body, head), train, kind=kind, **OPTIONS).layers
        for body in (whole, Split(whole))
    )
    eigenvalues = torch.cat([two[f"0.parts.{group}"]["eigenvalues"] for group in range(2)])
    torch.testing.assert_close(one["0"]["eigenvalues"], eigenvalues, rtol=1e-8, atol=1e-14)


class Odd(nn.Module):
    """Have parts that cannot be covered: a recurrent one, a free parameter, a layer for all."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5))
        self.table = nn.Linear(1, 5)
        self.unused = nn.Linear(9, 9)
        self.memory = nn.GRU(6, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.table(torch.ones(1, 1, dtype=x.dtype))
        return self.head(self.memory(x)[0][:, -1] * self.scale + shared)


def test_what_is_not_covered_is_left_out_with_a_warning_that_names_it():
    model, train = Odd().double(), (torch.randn(8, 4, 6).double(), torch.arange(8) % 3)
    words = (
        r"left out of the influence: the model itself \(Odd\), table \(Linear\), "
        r"unused \(Linear\), memory \(GRU\); 5\.66 % of the parameters stay covered"
    )
    with pytest.warns(UserWarning, match=words):
        fitted = fit_factors(model, train, kind="ekfac", **OPTIONS)
    assert fitted.names == ["head"]
    assert coverage(model, names=fitted.names) == 18 / sum(p.numel() for p in model.parameters())


def test_a_weight_that_is_also_used_in_another_way_is_left_out():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x).tanh() @ self.first.weight)

    with pytest.warns(UserWarning, match=r"left out of the influence: first \(Linear\); 33\.3 %"):
        fitted = fit_factors(
            Tied(), (torch.randn(8, 6), torch.arange(8) % 3), kind="ekfac", **OPTIONS
        )
    assert fitted.names == ["last"]


class Sorted(nn.Module):
    """Read texts in the order of their lengths, as packed ones of a recurrent layer are."""

    def __init__(self):
        super().__init__()
        self.inside, self.last = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor, lengths_n: Tensor) -> Tensor:
        order = lengths_n.argsort(stable=True, descending=True)
        return self.last(self.inside(x[order]).tanh()[order.argsort()])


@pytest.mark.parametrize("lengths", ["falling", "rising", "random"])
def test_a_layer_that_sees_samples_in_another_order_is_left_out(lengths, rng):
    n = 40
    lengths_n = {"falling": range(n, 0, -1), "rising": range(n), "random": rng.permutation(n)}
    inputs = torch.randn(n, 6), torch.tensor([*lengths_n[lengths]])
    with pytest.warns(UserWarning, match=r"left out of the influence: inside \(Linear\)"):
        fitted = fit_factors(Sorted(), (*inputs, torch.arange(n) % 3), kind="identity", **OPTIONS)
    assert fitted.names == ["last"]


def test_a_layer_may_be_called_by_keyword():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.turned, self.last = nn.Conv1d(2, 3, 1), nn.Linear(12, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.turned(input=x).tanh().flatten(1))

    train = (torch.randn(8, 2, 4), torch.arange(8) % 3)
    assert fit_factors(Named(), train, kind="identity", **OPTIONS).names == ["turned", "last"]


def test_a_model_without_any_covered_layer_is_refused():
    with pytest.raises(InputError, match="expected a layer that influence covers, such as Linear"):
        covered_layers(nn.Sequential(nn.BatchNorm2d(3)))
    hidden = nn.Sequential(nn.GRU(6, 3, batch_first=True))
    with pytest.raises(InputError, match="expected a layer that influence covers"):
        fit_factors(hidden, (torch.randn(8, 4, 6), torch.arange(8)), kind="ekfac", **OPTIONS)


def test_factors_of_another_model_are_named():
    fitted = fit_factors(small.conv_net(), small.images(8), kind="identity", **OPTIONS)
    with pytest.raises(InputError, match="curvature: expected layers of this model; got '3'"):
        group_gradients(
            nn.Sequential(nn.Linear(2, 3)),
            (torch.zeros(2, 2), torch.arange(2)),
            torch.arange(2),
            2,
            batch_size=2,
            layers=fitted.names[1:],
        )


def test_norms_are_covered_on_request_alone():
    model = small.conv_net()
    assert "1" not in covered_layers(model)
    assert "1" in covered_layers(model, norms=True)
    assert coverage(model, covered_layers(model, norms=True)) == 1 > coverage(model)


def test_the_wrong_sample_of_a_window_is_named():
    model, x = Windows().double(), torch.zeros(3, 4, 6).double()
    x[1, 3] = torch.nan
    with pytest.raises(InputError, match=r"got others for sample 41 in layer second"):
        visit_layers(
            model,
            covered_layers(model),
            lambda: model(x).sum(),
            lambda *_: None,
            torch.tensor([40, 41, 42]),
        )
