import copy
import json
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

from headatlas.errors import HeadAtlasError
from headatlas.vlm import VLM, load_vlm
from headatlas.vlm.identity import checksum, differences, fingerprint, weights_digest, written_date


@pytest.fixture
def own(tiny_vlm_dir):
    return load_vlm(tiny_vlm_dir, device="cpu")


def changed(vlm, change):
    before = vlm.identity
    change(vlm)
    now = vlm.identity
    assert fingerprint(now) == vlm.fingerprint
    return {key for key in {*before, *now} if before.get(key) != now.get(key)}


class Adapter(nn.Module):
    """As peft's layers tell of themselves."""

    def __init__(self, base):
        super().__init__()
        self.base_layer, self.lora = base, nn.Linear(2, 2)
        self.active_adapters, self.disable_adapters, self.merged_adapters, self.scaling = ["a"], False, [], {"a": 2.0}

    def forward(self, x):
        return self.base_layer(x)


def adapt(vlm):
    attention = vlm.model.model.language_model.layers[0].self_attn
    attention.o_proj = Adapter(attention.o_proj)


def set_on(path, name, value):
    def change(vlm):
        owner = vlm
        for part in path.split("."):
            owner = getattr(owner, part)
        setattr(owner, name, value)

    return change


def one_value(vlm):
    vlm.model.model.language_model.layers[1].mlp.up_proj.weight.data[3, 5] += 1e-4  # not seen by tensor._version


def swap_rows(vlm):
    weight = vlm.model.lm_head.weight.data
    weight[[0, 1]] = weight[[1, 0]].clone()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (one_value, {"weights"}),
        (swap_rows, {"weights"}),
        # rotary frequencies lose digits, which they do not where a model is loaded in bfloat16
        (lambda vlm: vlm.model.to(torch.bfloat16), {"weights", "dtype", "set_by_hand"}),
        (adapt, {"weights", "architecture", "adapters"}),
        (set_on("processor", "chat_template", "Briefly. {{ messages }}"), {"chat_template"}),
        (set_on("processor", "chat_template", "{{ strftime_now('%d %b %Y') }}"), {"chat_template", "date"}),
        (set_on("processor.image_processor", "image_mean", (0.1, 0.1, 0.1)), {"image_processor.image_mean"}),
        (set_on("processor.image_processor", "resample", 0), {"image_processor.resample"}),
        (set_on("processor", "patch_size", 8), {"processor.patch_size"}),
        (set_on("model.config", "image_seq_length", 7), {"config"}),
        (set_on("model.generation_config", "eos_token_id", 3), {"end_ids"}),
        (lambda vlm: vlm.tokenizer.add_tokens(["brandnew"]), {"tokenizer"}),
        (lambda vlm: setattr(vlm.tokenizer, "eos_token", "<pad>"), {"tokenizer", "end_ids"}),
    ],
)
def test_whatever_changes_an_answer_changes_its_part(own, change, parts):
    assert changed(own, change) == parts


def test_an_adapter_that_is_switched_off_later_is_noticed(own):
    adapt(own)
    adapter = own.model.model.language_model.layers[0].self_attn.o_proj
    assert changed(own, lambda vlm: setattr(adapter, "disable_adapters", True)) == {"adapters"}
    assert changed(own, lambda vlm: adapter.scaling.update(a=1.0)) == {"adapters"}


def test_running_the_model_and_its_tokenizer_changes_nothing(own, tiny_questions):
    def use(vlm):
        vlm.answer(tiny_questions[0].images[0], "What colour is the car?", 2)
        vlm.tokenizer(["a", "a b c"], padding=True, truncation=True, max_length=9)

    assert changed(own, use) == set()


def test_it_is_the_same_in_another_process_and_folder(tiny_vlm_dir, tmp_path, own):
    folder = shutil.copytree(tiny_vlm_dir, tmp_path / "elsewhere")
    code = (
        "import json; from headatlas.vlm import load_vlm; "
        f"print(json.dumps(load_vlm({str(folder)!r}, device='cpu').identity))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(told.splitlines()[-1]) == own.identity


def test_differences_are_told_in_one_line():
    then, now = {"dtype": "float32", "date": "a", "same": "x"}, {"dtype": "bfloat16", "adapters": "y", "same": "x"}
    assert differences(then, now) == (
        "adapters (not set before, y now), date (a before, not set now), dtype (float32 before, bfloat16 now)"
    )
    assert differences(then, then) == ""


def test_the_date_is_in_the_formats_that_the_template_writes():
    assert written_date("no date") == ""
    assert written_date("{{ strftime_now('%Y') }}").isdigit()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8, torch.bool, torch.float64])
def test_a_checksum_sees_every_value_and_its_place(dtype):
    torch.manual_seed(0)
    values = (torch.randn(3, 4099) > 0).to(dtype)
    base = checksum(values)
    assert checksum(values.clone()) == base == checksum(values.t().contiguous().t())
    for at in ((0, 0), (1, 2000), (2, 4098)):
        other = values.clone()
        other[at] = 1 - other[at].int()
        assert checksum(other) != base
    assert checksum(values[[1, 0, 2]]) != base
    assert checksum(values[:, 1:]) != base  # a view that does not begin at a multiple of four bytes


def test_a_checksum_of_few_or_no_values():
    assert len({checksum(torch.zeros(n, dtype=torch.int8)) for n in (1, 2, 3)}) == 3
    assert checksum(torch.zeros(0)) == checksum(torch.zeros(0, dtype=torch.bfloat16))


def test_a_fingerprint_can_be_fixed_by_hand(own):
    assert VLM("x", own.model, own.processor, "0").fingerprint == "0"


def test_a_model_without_values_is_refused(own):
    with pytest.raises(HeadAtlasError, match="must have values, got one on the meta device"):
        weights_digest(copy.deepcopy(own.model).to("meta"))


class Opaque(torch.Tensor):
    """A tensor subclass that computes, but whose values cannot be read."""

    @staticmethod
    def __new__(cls, values):
        return torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=values.dtype)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.detach.default:
            return args[0]
        raise NotImplementedError(f"{func} of Opaque")


def test_weights_of_tensor_subclasses_are_read_through_or_refused():
    from torch.testing._internal.two_tensor import TwoTensor

    values = torch.arange(12.0).reshape(3, 4)
    wrapped = checksum(TwoTensor(values, values + 1))
    assert wrapped == checksum(TwoTensor(values.clone(), values + 1))
    assert wrapped != checksum(TwoTensor(values, values + 2))
    with pytest.raises(HeadAtlasError, match=r"got Opaque \(.*load the model without"):
        checksum(Opaque(values))
