"""What the user touches in Jupyter: magics, name analysis, display, binding and tracebacks."""
