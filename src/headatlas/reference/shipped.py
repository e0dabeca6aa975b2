"""Register the reference models, so that `load_vlm` finds them by name."""

from headatlas.reference import names, path
from headatlas.vlm.shipped import SHIPPED

for _name in names():
    SHIPPED.add(_name, path(_name))
