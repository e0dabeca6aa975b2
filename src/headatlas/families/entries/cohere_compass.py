"""Cohere Compass."""

from headatlas.families.family import Family, TinyModel, add

_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_BOTH_ROPES = {"sliding_attention": _ROPE, "full_attention": _ROPE}

add(
    Family(
        "cohere_compass",
        tiny_model=TinyModel(
            config_arguments={
                "text_config": {
                    "num_hidden_layers": 4,
                    "layer_types": ["sliding_attention", "full_attention"] * 2,
                    "rope_parameters": _BOTH_ROPES,
                }
            }
        ),
    ),
)
