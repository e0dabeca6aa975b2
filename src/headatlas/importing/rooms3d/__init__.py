"""CLEVR and its kin: scene graphs, what can be asked of them, and the steps that lead to an answer.

Knows the scene form that CLEVR, Super-CLEVR and Spatial457 share; knows nothing of folders, images or importers' names.
"""
