"""Granite Vision."""

from headatlas.families.family import Family, TinyModel, add

_LARGER_TILES = {"image_grid_pinpoints": [[128, 256], [256, 128]]}

add(
    Family(
        "granite4_vision",
        tiny_model=TinyModel(
            config={
                # Each projector needs a layer of its own: the second of two that write to one layer would overwrite the first.
                "text_config": {"num_hidden_layers": 5, "layer_types": ["attention"] * 5},
                "deepstack_layer_map": [[-1, 0]],
                "spatial_target_layers": [1, 2, 3, 4],
                "downsample_rate": "1/2",
                "vision_config": {"hidden_size": 128},
                **_LARGER_TILES,
            },
            image_settings=_LARGER_TILES,
            n_image_tokens=10,
        ),
    ),
)
