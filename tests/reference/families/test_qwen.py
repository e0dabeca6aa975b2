import pytest
import torch

from headatlas.reference.build import build_tokenizer
from headatlas.reference.families import FAMILIES
from headatlas.reference.tokens import scene_words

from .conftest import tiny


@pytest.fixture(scope="module")
def qwen():
    return FAMILIES["qwen2_5_vl"]


@pytest.fixture(scope="module")
def built(qwen):
    return qwen.model(build_tokenizer(scene_words(), qwen.form), tiny(qwen), 0)


def test_positions_are_rows_and_columns_of_the_board(qwen, built):
    ids = torch.zeros(2, 50, dtype=torch.long)
    positions = qwen.context(built, ids, 4, tiny(qwen))["position_ids"]
    assert positions.shape == (3, 1, 50)
    time, height, width = (positions[i, 0, 4:40].tolist() for i in range(3))
    assert time == [4] * 36
    assert height == [4 + cell // 6 for cell in range(36)]
    assert width == [4 + cell % 6 for cell in range(36)]
    assert positions[:, 0, 40:].tolist() == [list(range(10, 20))] * 3
    assert qwen.context(built, ids, None, tiny(qwen)) == {}


def test_rope_sections_fill_a_head(qwen):
    for shape in (qwen.shape, tiny(qwen)):
        config = qwen.config(shape, 600, 1, 2, build_tokenizer((), qwen.form))
        sections = config.text_config.rope_parameters["mrope_section"]
        assert 2 * sum(sections) == shape.width // shape.heads
        assert min(sections) > 0


def test_the_tower_has_windows_and_a_full_block(qwen, built):
    """A far cell is seen by the last block only: with its attention silenced, a change stays within the window of 3 x 3 cells."""
    from headatlas.heads import find_heads
    from headatlas.reference.losses import image_features

    torch.manual_seed(0)
    before = torch.randn(1, 3, 144, 144)
    after = before.clone()
    after[..., :24, :24] += 1

    def changed():
        with torch.no_grad():
            change = image_features(qwen, built, after, tiny(qwen)) - image_features(qwen, built, before, tiny(qwen))
        return change[0].norm(dim=-1).nonzero().flatten().tolist()

    assert changed() == list(range(36))
    last = find_heads(built).tower("V")[-1].module
    with torch.no_grad():
        last.weight.zero_()
    assert changed() == [row * 6 + column for row in range(3) for column in range(3)]


def test_patch_embedding_is_the_models_own_convolution(built):
    embed = built.model.visual.patch_embed
    patches = torch.randn(8, embed.proj.weight[0].numel())
    torch.testing.assert_close(embed.forward(patches), type(embed).forward(embed, patches), rtol=1e-4, atol=1e-5)
