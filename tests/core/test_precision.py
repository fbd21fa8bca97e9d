import pytest
import torch

from catwise.core import precision
from catwise.core.errors import InputError
from catwise.core.precision import has_bfloat16, resolve_precision


@pytest.mark.parametrize("fast", [False, True])
def test_auto_is_bfloat16_where_it_is_fast(monkeypatch, fast):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: fast)
    assert resolve_precision("auto", "cpu") == ("bfloat16" if fast else "float32")
    assert resolve_precision("float32", "cpu") == "float32"
    assert resolve_precision("tf32", "cuda") == "tf32"


def test_bfloat16_is_refused_where_it_is_only_imitated(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: device == "cuda")
    assert resolve_precision("bfloat16", "cuda") == "bfloat16"
    with pytest.raises(
        InputError, match=r"precision: expected auto, .*no bfloat16; got 'bfloat16'"
    ):
        resolve_precision("bfloat16", "cpu")


def test_convolutions_too_are_whole_in_float32_and_the_setting_is_put_back():
    before = torch.backends.cudnn.allow_tf32
    for kind in ("float32", "tf32"):
        with precision.precision(kind, "cpu"):
            assert torch.backends.cudnn.allow_tf32 == (kind == "tf32")
        assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize("feature", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_either_feature_of_a_processor_is_enough(monkeypatch, feature):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name == feature)
    assert has_bfloat16("cpu")
    monkeypatch.setattr(torch.cpu, feature, lambda: False)
    assert not has_bfloat16("cpu")
