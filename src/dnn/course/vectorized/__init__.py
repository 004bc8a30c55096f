"""The course in NumPy: a matrix is one array, and a layer one product.

`dnn.course.loops` has the same functions with every index visible, `dnn.course.compiled` in the core; m is
the number of examples.
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
