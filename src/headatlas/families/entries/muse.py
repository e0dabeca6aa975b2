"""Muse Glimmer and Spark."""

from headatlas.families.family import Family, TinyModel, add

add(
    Family("muse_glimmer", tiny_model=TinyModel(config={"out_hidden_size": 256})),
    Family(
        "muse_spark",
        tiny_model=TinyModel(
            config={
                "out_hidden_size": 256,
                "audio_config": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "out_hidden_size": 64},
            }
        ),
    ),
)
