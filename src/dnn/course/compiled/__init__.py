"""The course in the compiled core: each function, and also a whole training run, is one call of the core.

`dnn.course.vectorized` has the formulas of the functions, which have the same names. Arrays are (features,
examples) too. The core has examples in rows, so that it reads X.T. If X.T is C-contiguous (X in Fortran
order), it is not copied, otherwise it is copied once per call. For X in float32 the functions compute in
float32, otherwise in float64.
"""

from ..checks import arrays, checked
from . import activations, layers, training

leaky_relu = checked(activations.leaky_relu, arrays)
leaky_relu_backward = checked(activations.leaky_relu_backward, arrays)
relu = checked(activations.relu, arrays)
relu_backward = checked(activations.relu_backward, arrays)
sigmoid = checked(activations.sigmoid, arrays)
sigmoid_backward = checked(activations.sigmoid_backward, arrays)
softmax = checked(activations.softmax, arrays)
tanh = checked(activations.tanh, arrays)
tanh_backward = checked(activations.tanh_backward, arrays)

L_model_backward = checked(layers.L_model_backward, arrays)
L_model_forward = checked(layers.L_model_forward, arrays)
compute_cost = checked(layers.compute_cost, arrays)
dropout = checked(layers.dropout, arrays)
dropout_backward = checked(layers.dropout_backward, arrays)
linear_activation_backward = checked(layers.linear_activation_backward, arrays)
linear_activation_forward = checked(layers.linear_activation_forward, arrays)
linear_backward = checked(layers.linear_backward, arrays)
linear_forward = checked(layers.linear_forward, arrays)

initialize_adam = checked(training.initialize_adam, arrays)
initialize_parameters = checked(training.initialize_parameters, arrays)
initialize_velocity = checked(training.initialize_velocity, arrays)
model = checked(training.model, arrays)
optimize = checked(training.optimize, arrays)
predict = checked(training.predict, arrays)
propagate = checked(training.propagate, arrays)
random_mini_batches = checked(training.random_mini_batches, arrays)
update_parameters = checked(training.update_parameters, arrays)
update_parameters_with_adam = checked(training.update_parameters_with_adam, arrays)
update_parameters_with_momentum = checked(training.update_parameters_with_momentum, arrays)
update_parameters_with_rmsprop = checked(training.update_parameters_with_rmsprop, arrays)

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
