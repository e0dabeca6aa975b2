"""Chameleon, Emu3 and Apertus, which turn pictures into discrete codes."""

import torch

from headatlas.families.family import Family, TinyModel, add
from headatlas.families.parts import square

_CODES = range(8)
_MORE_CODES = range(24)

add(
    Family(
        "apertus1p5",
        tiny_model=TinyModel(
            config={
                "image_token_id": 100,
                "audio_token_id": 99,
                "image_token_offset": 101,
                "audio_token_offset": 109,
                "vision_config": {"codebook_size": 8, "base_channels": 32, "embed_dim": 32, "latent_channels": 32},
                "audio_config": {"codebook_size": 8, "hidden_size": 64, "codebook_dim": 64},
            },
            image_token=100,
            discrete=True,
        ),
    ),
    Family(
        "chameleon",
        tiny_model=TinyModel(
            config={
                "vocabulary_map": {"<image>": 100, **{f"IMGIMG{'ABCDEFGH'[i]}Z": 101 + i for i in _CODES}},
                "vq_config": {"num_embeddings": 8, "resolution": 64},
            },
            image_settings={"size": {"shortest_edge": 64}, "crop_size": square(64)},
            image_token=100,
            n_image_tokens=16,
        ),
    ),
    Family(
        "emu3",
        tiny_model=TinyModel(
            config={
                "vocabulary_map": {
                    "<image>": 100,
                    "<|extra_200|>": 101,
                    **{f"<|visual token {i:06d}|>": 102 + i for i in _MORE_CODES},
                },
                "vq_config": {"codebook_size": 24, "hidden_size": 128},
            },
            pixels={"pixel_values": (3, 64, 64), "image_sizes": lambda rows: torch.tensor([[64, 64]] * rows)},
            image_token=100,
            idle={"model.vqmodel.decoder": "it generates pictures and is not used to read them"},
            discrete=True,
        ),
    ),
)
