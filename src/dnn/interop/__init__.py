"""Models in the forms of other libraries and languages: ONNX, C source, scikit-learn, PyTorch, Keras."""
