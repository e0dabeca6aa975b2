"""Scene graphs in the form of CLEVR, Super-CLEVR and Spatial457: read them, ask questions about them, and derive steps."""
