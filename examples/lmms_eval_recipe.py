"""A model of lmms-eval that answers with a head recipe.

Copy this file to `lmms_eval/models/simple/qwen2_5_vl_recipe.py`, add `"qwen2_5_vl_recipe": "Qwen25VLRecipe"` to
`AVAILABLE_SIMPLE_MODELS` in `lmms_eval/models/__init__.py`, and run

    lmms_eval --model qwen2_5_vl_recipe --tasks ... \
        --model_args pretrained=Qwen/Qwen2.5-VL-3B-Instruct,recipe=runs/mine/recipes/gain.recipe

lmms-eval loads the model in bfloat16, so the recipe must have been made in bfloat16, too (`headatlas activate --dtype bfloat16`).
Run with lmms-eval 0.7.3 and ref-qwen.
"""

from lmms_eval.api.registry import register_model
from lmms_eval.models.simple.qwen2_5_vl import Qwen2_5_VL

import headatlas as ha


@register_model("qwen2_5_vl_recipe")
class Qwen25VLRecipe(Qwen2_5_VL):
    """Qwen2.5-VL with a head recipe in force."""

    def __init__(self, pretrained: str, recipe: str, **options):
        super().__init__(pretrained=pretrained, **options)
        self.headatlas = ha.VLM(
            pretrained, self.model, self.processor
        )  # kept: the recipe is in force as long as it lives
        self.headatlas.keep_recipe(ha.HeadRecipe.load(recipe))
