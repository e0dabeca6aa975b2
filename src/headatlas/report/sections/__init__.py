"""The sections of the report, one module for each group; every module here is imported when a report is built.

A section takes a `Run` and returns a `Section`. Where a table has no rows it says why instead of failing.
"""
