"""The course in the compiled core: a function is a call on the caller's arrays, a training one call in all.

`dnn.course.vectorized` says with the same names what each of them computes. Arrays are (features, examples)
as there. The core has examples in rows: X.T, which is not copied where it is C-contiguous (X in Fortran
order), and otherwise once a call. X in float32 is computed with in float32, all else in float64.
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
