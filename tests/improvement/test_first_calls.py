"""What a model, its samples or its loss do not fit is one line before the work."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from catwise.core.errors import InputError
from catwise.core.losses import per_sample_loss, with_logits
from catwise.diagnosis import diagnose, load_diagnosis
from tests.helpers.diagnoses import CLASSES, diagnosis, noisy


class Padded(nn.Module):
    """Return three other outputs, then the logits, and the inputs beside them."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return torch.cat([9 * x[:, :3], self.model(x)], dim=1), x


def last_three(model, batch):
    return model(batch[0])[0][:, 3:]


def binary(model, batch):
    """Compute the binary cross entropy of a single output."""
    outputs_n = model(batch[0])[:, 0]
    return F.binary_cross_entropy_with_logits(outputs_n, batch[1].double(), reduction="none")


def said(match, *given, **options):
    with pytest.raises(InputError, match=match) as caught:
        diagnose(*given, **options)
    assert "\n" not in str(caught.value)


def two_classes():
    """Return training and query samples of two classes."""
    return [(x, (y > 0).long()) for x, y in noisy()[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["loss", "probability", "margin", per_sample_loss])
def test_losses_and_predictions_go_by_the_logits_that_are_given(tmp_path, measure):
    model, train, query = noisy()
    found = diagnose(Padded(model), train, query, CLASSES, batch_size=50, logits=last_three)
    np.testing.assert_allclose(found.p_nk, diagnosis().p_nk, rtol=1e-9, atol=1e-12)  # rounding
    np.testing.assert_array_equal(found.predicted_n, diagnosis().predicted_n)
    expected = diagnosis().ask(query, measure=measure).p_nk
    found.save(tmp_path)
    options = {"batch_size": 50, "logits": last_three}
    loaded = load_diagnosis(tmp_path, found.fitted.model, train, **options)
    for one in (found, loaded):
        np.testing.assert_allclose(
            one.ask(query, measure=measure).p_nk, expected, rtol=1e-9, atol=1e-12
        )


def test_a_loss_of_ones_own_is_left_as_it_is():
    assert with_logits(print, last_three) is print


def test_outputs_that_are_no_logits_of_the_classes_are_one_line():
    one, parts = nn.Linear(4, 1).double(), two_classes()
    match = r"^model: expected logits of 2 classes, \(8, 2\); got "
    said(rf"{match}\(8, 1\); give logits=", one, *parts, "ab")
    said(rf"{match}\(8,\); give logits=", nn.Sequential(one, nn.Flatten(0)), *parts, "ab")

    said(rf"{match}\(8, 1\); give logits=", one, *parts, "ab", loss=binary)

    class Squeezed(nn.Linear):
        def forward(self, x):
            return super().forward(x).squeeze()

    said(
        r"^model: expected logits of a batch of one sample, \(1, 2\); got \(2,\)$",
        Squeezed(4, 2).double(),
        *parts,
        "ab",
    )
    said("got tuple; give logits=", Padded(noisy()[0]), *noisy()[1:], CLASSES)


def test_a_single_output_is_diagnosed_by_a_column_of_zeros():
    """The cross entropy of the logits 0 and z is the binary one of z."""
    torch.manual_seed(0)
    one, parts = nn.Linear(4, 1).double(), two_classes()
    options = {"logits": lambda model, batch: F.pad(model(batch[0]), (1, 0))}
    found = diagnose(one, *parts, "ab", **options)
    expected = diagnose(one, *parts, "ab", loss=binary, **options)
    np.testing.assert_allclose(found.p_nk, expected.p_nk, rtol=1e-9, atol=1e-12)  # rounding
    assert set(found.predicted_n) == {0, 1}


def test_outputs_without_a_class_are_not_predicted():
    torch.manual_seed(0)
    model = nn.Linear(4, 9).double()
    found = diagnose(model, *noisy()[1:], CLASSES)
    logits_nk = model(noisy()[1][0])
    assert (logits_nk.argmax(1) > 2).any()
    np.testing.assert_array_equal(found.predicted_n, logits_nk[:, :3].argmax(1))


@pytest.mark.slow
def test_probabilities_in_place_of_logits_are_warned_of():
    model, *parts = noisy()
    with pytest.warns(UserWarning, match="look like probabilities; return logits, or their log"):
        diagnose(nn.Sequential(model, nn.Softmax(1)), *parts, CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diagnose(nn.Sequential(model, nn.LogSoftmax(1)), *parts, CLASSES)


def test_the_training_samples_are_no_query_samples():
    model, train, query = noisy()
    words = (
        "^query: expected samples that the model was not trained on; got {} of {} with the inputs"
    )
    for rows in (slice(None), torch.arange(239, -1, -1), slice(50, None)):
        again = tuple(part[rows] for part in train)
        match = words.format(len(again[1]), len(again[1]))
        said(match, model, train, again, CLASSES)
        said(match, model, list(zip(*train, strict=True)), again, CLASSES)  # a Dataset
        with pytest.raises(InputError, match=match):
            diagnosis().ask(again)
    both = tuple(torch.cat([one[:30], other]) for one, other in zip(train, query, strict=True))
    said(words.format(30, 150), model, train, both, CLASSES)
    by_name = {"input": train[0], "label": train[1]}
    diagnose(model, by_name, (query[0].repeat(2, 1), train[1]), CLASSES)  # labels alone are no sign


def test_inputs_that_repeat_by_chance_are_no_training_samples():
    """A few are taken, and as many as there are among the training samples themselves."""
    model, train, query = noisy()
    few = tuple(torch.cat([one[:2], other]) for one, other in zip(train, query, strict=True))
    diagnose(model, train, few, CLASSES)
    diagnose(model, *((x.sign(), y) for x, y in (train, query)), CLASSES)  # 16 different inputs


def test_a_training_set_of_one_class_is_one_line():
    model, train, query = noisy()
    one = tuple(part[train[1] == 1] for part in train)
    said(
        "^train: expected samples of two classes or more; got b & <i>$", model, one, query, CLASSES
    )


def test_labels_in_words_are_one_line():
    model, train, query = noisy()
    match = "got one of <U1; encode labels as 0 to K - 1$"
    said(match, model, (train[0], np.array(list("abc") * 80)), query, CLASSES)


@pytest.mark.parametrize("name", ["train", "query"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:, :2], r"float64 \(8, 2\): mat1 and mat2 shapes cannot be multiplied"),
        (lambda x: x.to(torch.uint8), r"uint8 \(8, 4\): .*dtype"),
        (lambda x: {"features": x}, r"features float64 \(8, 4\): .*keyword argument 'features'$"),
    ],
)
def test_inputs_that_the_model_does_not_take_are_one_line(name, change, words):
    model, *parts = noisy()
    parts = {"train": parts[0], "query": parts[1]}
    x, y = parts[name]
    changed = change(x)
    parts[name] = changed | {"labels": y} if isinstance(changed, dict) else (changed, y)
    match = rf"^model: expected a model that takes the inputs of {name}; got {words}"
    said(match, model, parts["train"], parts["query"], CLASSES)


def test_a_loss_that_is_no_value_for_each_sample_is_one_line():
    match = "^loss: expected a function of .model, batch.; got CrossEntropyLoss: .*Sequential$"
    said(match, *noisy(), CLASSES, loss=nn.CrossEntropyLoss())

    def mean(model, batch):
        return per_sample_loss(model, batch).mean()

    match = r": expected a value for each of 8 samples, \(8,\); got \(\); leave the mean out$"
    said(f"^loss{match}", *noisy(), CLASSES, loss=mean)
    with pytest.raises(InputError, match=f"^measure{match}"):
        diagnosis().ask(noisy()[2], measure=mean)


def test_a_model_and_classes_that_are_none_are_one_line():
    model, *parts = noisy()
    said("^model: expected a torch module; got dict$", {}, *parts, CLASSES)
    said("^classes: expected the names of two or more; got 3$", model, *parts, 3)
    said("^classes: expected the names of two or more; got .'a'.$", model, *parts, [np.str_("a")])
