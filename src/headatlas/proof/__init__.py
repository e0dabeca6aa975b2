"""Check that HeadAtlas finds, reads and edits the heads of every model family of transformers, on small random models."""

from headatlas._moved import old_names
from headatlas.proof.build import MODEL_TYPES, tiny_config, tiny_model
from headatlas.proof.inputs import InputMaker
from headatlas.proof.processor import ProcessorReport, check_processor, write_checkpoint
from headatlas.proof.prove import FamilyReport, check_family
from headatlas.proof.run import check_families, load, save
from headatlas.proof.show import describe, show
from headatlas.proof.table import markdown

__all__ = [
    "MODEL_TYPES",
    "FamilyReport",
    "InputMaker",
    "ProcessorReport",
    "check_families",
    "check_family",
    "check_processor",
    "describe",
    "load",
    "markdown",
    "save",
    "show",
    "tiny_config",
    "tiny_model",
    "write_checkpoint",
]


__getattr__ = old_names(__name__)
