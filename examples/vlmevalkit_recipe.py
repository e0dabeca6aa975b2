"""A model of VLMEvalKit that answers with a head recipe.

Copy this file next to `vlmeval/config.py`, import it there, and add to `supported_VLM`:

    "Qwen2.5-VL-3B-recipe": partial(Qwen2VLRecipe, model_path="Qwen/Qwen2.5-VL-3B-Instruct",
                                    recipe="runs/mine/recipes/gain.recipe", use_custom_prompt=False)

VLMEvalKit loads the checkpoint's own dtype, bfloat16, so the recipe must have been made in bfloat16, too
(`headatlas activate --dtype bfloat16`). Read against the source of August 2026; not run: the class refuses to start without
a GPU and flash-attention.
"""

from vlmeval.vlm.qwen2_vl import Qwen2VLChat

import headatlas as ha


class Qwen2VLRecipe(Qwen2VLChat):
    """Qwen2-VL or Qwen2.5-VL with a head recipe in force."""

    def __init__(self, model_path: str, recipe: str, **options):
        super().__init__(model_path=model_path, **options)
        self.headatlas = ha.VLM(
            model_path, self.model, self.processor
        )  # kept: the recipe is in force as long as it lives
        self.headatlas.keep_recipe(ha.HeadRecipe.load(recipe))
