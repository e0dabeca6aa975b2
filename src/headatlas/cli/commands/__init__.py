"""The commands, one file for each; every module here is imported when the command line is built.

They import what they need inside their functions, so that `headatlas --help` stays fast.
"""
