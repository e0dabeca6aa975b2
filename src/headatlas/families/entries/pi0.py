"""pi0."""

from headatlas.families.family import Family, TinyModel, add

add(
    Family(
        "pi0",
        tiny_model=TinyModel(
            refused="a robot's policy: it maps pictures, text and its state to actions and gives no logits over words to compare"
        ),
    ),
)
