"""Shrinking keeps the kinds of layers and the relations between sizes, and gives special tokens ids that fit."""

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.proof import tiny_config
from headatlas.proof.shrink import HEADS, VOCAB, shrink


def text(**more):
    return {
        "model_type": "text",
        "hidden_size": 4096,
        "num_hidden_layers": 6,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 32000,
        **more,
    }


def test_the_first_layer_of_each_kind_is_kept_and_indices_follow():
    kinds = ["slide", "slide", "full", "slide", "slide", "full"]
    tiny = shrink(text(layer_types=kinds, cross_attention_layers=[4], per_layer_config={"5": {"head_dim": 9}}))
    assert tiny["num_hidden_layers"] == 4
    assert tiny["layer_types"] == ["slide", "full", "slide", "full"]
    assert tiny["cross_attention_layers"] == [2]
    assert list(tiny["per_layer_config"]) == [3]


def test_one_kind_keeps_two_layers():
    assert shrink(text())["num_hidden_layers"] == 2


@pytest.mark.parametrize(("default", "kept"), [(8, 2), (32, 2), (1, 1)])
def test_grouped_queries_stay_and_multi_query_stays_one(default, kept):
    assert shrink(text(num_key_value_heads=default))["num_key_value_heads"] == kept


def test_head_size_keeps_its_relation_to_the_width():
    assert shrink(text())["head_dim"] * HEADS == 64
    assert shrink(text(head_dim=256))["head_dim"] * HEADS != 64


def test_latent_attention_keeps_its_sums():
    mla = text(
        kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, qk_head_dim=192, head_dim=64
    )
    tiny = shrink(mla)
    assert tiny["qk_head_dim"] == tiny["qk_rope_head_dim"] + tiny["qk_nope_head_dim"]
    assert tiny["head_dim"] == tiny["qk_rope_head_dim"]
    assert tiny["num_key_value_heads"] == HEADS


def test_rotary_sections_fill_half_a_head():
    tiny = shrink(text(rope_parameters={"mrope_section": [16, 24, 24]}))
    assert sum(tiny["rope_parameters"]["mrope_section"]) == tiny["head_dim"] // 2


def test_special_tokens_fit_and_equal_ones_stay_equal():
    inner = text(image_token_id=31999, eos_token_id=[2, 30000])
    tiny = shrink({"model_type": "whole", "text_config": inner, "image_token_index": 31999, "bos_token_id": 1})
    assert tiny["image_token_index"] == tiny["text_config"]["image_token_id"] < VOCAB
    assert tiny["text_config"]["eos_token_id"][0] == 2
    assert tiny["text_config"]["eos_token_id"][1] not in (30000, tiny["image_token_index"])
    assert tiny["bos_token_id"] == 1


def test_changes_are_merged_last_and_the_default_is_not_touched():
    default = {"model_type": "whole", "text_config": text()}
    tiny = shrink(default, {"text_config": {"hidden_size": 7}})
    assert tiny["text_config"]["hidden_size"] == 7
    assert tiny["text_config"]["num_attention_heads"] == HEADS
    assert default["text_config"] == text()


def test_real_families_keep_their_mixture():
    assert tiny_config("gemma3").text_config.layer_types == ["sliding_attention", "full_attention"]
    assert set(tiny_config("qwen3_5").text_config.layer_types) == {"linear_attention", "full_attention"}
    assert tiny_config("qwen2_5_vl").vision_config.fullatt_block_indexes == [1]
    assert tiny_config("mllama").text_config.cross_attention_layers == [1]


def test_unknown_family_is_told():
    with pytest.raises(HeadAtlasError, match="must be a model type"):
        tiny_config("no_such_family")
