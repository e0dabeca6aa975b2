from headatlas import reference
from headatlas.vlm.shipped import SHIPPED


def test_reference_models_are_found_by_name():
    assert set(reference.names()) <= set(SHIPPED)
    assert SHIPPED["ref-llava"] == reference.path("ref-llava")
