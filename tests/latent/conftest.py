import numpy as np
import pytest

from headatlas.activations import capture
from headatlas.cogvsr import CogVSR
from headatlas.cogvsr.schema import Box, SceneObject
from headatlas.heads import HeadSet
from headatlas.latent import MethodInputs


@pytest.fixture(scope="session")
def boxed_questions(tiny_questions):
    """The hand-made questions, their things with boxes, the car at the left of every other; four in split P, so that there is
    something to fit on."""
    left, right = Box(x0=0.1, y0=0.3, x1=0.4, y1=0.65), Box(x0=0.6, y0=0.3, x1=0.95, y1=0.65)
    made = []
    for i, (question, split) in enumerate(zip(tiny_questions, ("P", "P", "P", "P", "S", "T", "E", "E"), strict=True)):
        places = (left, right) if i % 2 else (right, left)
        things = tuple(
            SceneObject(id=k, cls=name, box=box)
            for k, (name, box) in enumerate(zip(("car", "arrow"), places, strict=True))
        )
        made.append(question.model_copy(update={"objects": things, "split": split}))
    return made


@pytest.fixture(scope="session")
def inputs(tiny_vlm, boxed_questions, tmp_path_factory):
    """What methods are fitted on: a tiny model, its activations, and three chosen heads; half of its answers are called wrong."""
    data = CogVSR.from_questions(boxed_questions, tmp_path_factory.mktemp("boxed") / "data")
    acts = capture(tiny_vlm, data, ("predict", "last", "all"), out=tmp_path_factory.mktemp("acts") / "a")
    right = np.arange(len(acts.steps)) % 2 == 0
    acts.steps["correct"] = right
    heads = {"spatial_perception": HeadSet("L0.H1 L1.H2"), "relational_reasoning": HeadSet("L1.H2 L1.H3")}
    return MethodInputs(tiny_vlm, data, acts, heads, fit_batch=2, batch_size=4)
