"""Which families of VLMs are proven: tiny models of each, inputs for them, checks of every site, and the table."""

from headatlas.families.proof.build import FAMILIES, tiny_config, tiny_model
from headatlas.families.proof.family import FamilyReport, check_family
from headatlas.families.proof.inputs import InputMaker
from headatlas.families.proof.real import RealReport, check_real, write_real
from headatlas.families.proof.run import check_families, load, save
from headatlas.families.proof.show import describe, show
from headatlas.families.proof.table import markdown

__all__ = [
    "FAMILIES",
    "FamilyReport",
    "InputMaker",
    "RealReport",
    "check_families",
    "check_family",
    "check_real",
    "describe",
    "load",
    "markdown",
    "save",
    "show",
    "tiny_config",
    "tiny_model",
    "write_real",
]
