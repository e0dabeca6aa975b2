"""Step 3.7."""

from headatlas.families.family import Family, TinyModel, add

_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_BOTH_ROPES = {"sliding_attention": _ROPE, "full_attention": _ROPE}

add(
    Family(
        "step3p7",
        tiny_model=TinyModel(
            config={
                "text_config": {
                    "layer_types": ["full_attention", "sliding_attention"],
                    "sliding_window": 8,
                    "num_sliding_attention_heads": 6,
                    "per_layer_config": {1: {"num_attention_heads": 6}},
                    "rope_parameters": _BOTH_ROPES,
                }
            },
            pixels={"pixel_values": (3, 56, 56)},
        ),
    ),
)
