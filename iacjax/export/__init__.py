"""Trained policies for other stacks: a file of NumPy alone, and ONNX."""
