"""Check families with their own processor classes, around small models saved and loaded like any checkpoint."""

from headatlas._moved import old_names
from headatlas.proof.processor.build import (
    build_model,
    build_processor,
    build_tokenizer,
    processor_families,
    tiny_processor_of,
    write_checkpoint,
)
from headatlas.proof.processor.check import SIZES, ProcessorReport, check_processor

__all__ = [
    "SIZES",
    "ProcessorReport",
    "build_model",
    "build_processor",
    "build_tokenizer",
    "check_processor",
    "processor_families",
    "tiny_processor_of",
    "write_checkpoint",
]


__getattr__ = old_names(__name__)
