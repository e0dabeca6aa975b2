"""The blocks of the section on sweeps, one file for each kind of sweep."""
