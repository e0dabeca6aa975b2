"""Inkling 2."""

from headatlas.families.family import Family, TinyModel, add
from headatlas.families.parts import square

add(
    Family("inkling2", tiny_model=TinyModel(image_settings={"size": square(40)})),
    Family(
        "inkling2_loop",
        tiny_model=TinyModel(
            config={
                "text_config": {
                    "num_hidden_layers": 4,
                    "layer_types": ["hybrid_sliding", "hybrid"] * 2,
                    "n_layers_per_attn_res_block": 1,
                    "loop_layer_index_start": 1,
                    "loop_layer_index_end": 3,
                }
            },
            image_settings={"size": square(40)},
        ),
    ),
)
