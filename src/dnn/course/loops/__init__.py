"""The course in plain Python: matrices are lists of rows, and every index is visible.

In the formulas j is a unit of the layer, k a unit of the layer before, i an example; m is the number of
examples. `dnn.course.vectorized` has the same functions in NumPy, `dnn.course.compiled` in the core.
"""

from .activations import (
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    tanh,
    tanh_backward,
)
from .layers import (
    L_model_backward,
    L_model_forward,
    compute_cost,
    dropout,
    dropout_backward,
    linear_activation_backward,
    linear_activation_forward,
    linear_backward,
    linear_forward,
)
from .training import (
    initialize_adam,
    initialize_parameters,
    initialize_velocity,
    model,
    optimize,
    predict,
    propagate,
    random_mini_batches,
    update_parameters,
    update_parameters_with_adam,
    update_parameters_with_momentum,
    update_parameters_with_rmsprop,
)

__all__ = [
    "L_model_backward",
    "L_model_forward",
    "compute_cost",
    "dropout",
    "dropout_backward",
    "initialize_adam",
    "initialize_parameters",
    "initialize_velocity",
    "leaky_relu",
    "leaky_relu_backward",
    "linear_activation_backward",
    "linear_activation_forward",
    "linear_backward",
    "linear_forward",
    "model",
    "optimize",
    "predict",
    "propagate",
    "random_mini_batches",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "tanh",
    "tanh_backward",
    "update_parameters",
    "update_parameters_with_adam",
    "update_parameters_with_momentum",
    "update_parameters_with_rmsprop",
]
