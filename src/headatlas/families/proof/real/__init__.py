"""The real processor classes of the families people use, around tiny models: built, saved, loaded and checked."""

from headatlas.families.proof.real.build import real_model, real_processor, real_tokenizer, write_real
from headatlas.families.proof.real.check import SIZES, RealReport, check_real
from headatlas.families.proof.real.entry import Real
from headatlas.families.proof.real.families import REAL

__all__ = [
    "REAL",
    "SIZES",
    "Real",
    "RealReport",
    "check_real",
    "real_model",
    "real_processor",
    "real_tokenizer",
    "write_real",
]
