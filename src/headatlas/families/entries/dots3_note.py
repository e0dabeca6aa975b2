"""dots3."""

from headatlas.families.family import Family, TinyModel, add

add(
    Family(
        "dots3_note",
        tiny_model=TinyModel(
            config={
                "vision_config": {"adapter_in_dim": 64, "adapter_out_dim": 64},
                "audio_config": {"adapter_out_dim": 64, "adapter_input_size": 64, "hidden_size": 64},
            },
            image_settings={"temporal_patch_size": 1},
        ),
    ),
)
