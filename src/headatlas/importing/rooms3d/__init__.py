"""Scene graphs in the form of CLEVR, Super-CLEVR and Spatial457, questions about them, and the steps that lead to an answer."""
