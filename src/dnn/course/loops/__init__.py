"""The course in plain Python: matrices are lists of rows, and every index is visible.

In the formulas, j is a unit of the layer, k a unit of the previous layer, and i an example; m is the number
of examples. `dnn.course.vectorized` has the same functions in NumPy, `dnn.course.compiled` in the compiled
core.
"""

from ..checks import checked, lists
from . import activations, layers, training

leaky_relu = checked(activations.leaky_relu, lists)
leaky_relu_backward = checked(activations.leaky_relu_backward, lists)
relu = checked(activations.relu, lists)
relu_backward = checked(activations.relu_backward, lists)
sigmoid = checked(activations.sigmoid, lists)
sigmoid_backward = checked(activations.sigmoid_backward, lists)
softmax = checked(activations.softmax, lists)
tanh = checked(activations.tanh, lists)
tanh_backward = checked(activations.tanh_backward, lists)

L_model_backward = checked(layers.L_model_backward, lists)
L_model_forward = checked(layers.L_model_forward, lists)
compute_cost = checked(layers.compute_cost, lists)
dropout = checked(layers.dropout, lists)
dropout_backward = checked(layers.dropout_backward, lists)
linear_activation_backward = checked(layers.linear_activation_backward, lists)
linear_activation_forward = checked(layers.linear_activation_forward, lists)
linear_backward = checked(layers.linear_backward, lists)
linear_forward = checked(layers.linear_forward, lists)

initialize_adam = checked(training.initialize_adam, lists)
initialize_parameters = checked(training.initialize_parameters, lists)
initialize_velocity = checked(training.initialize_velocity, lists)
model = checked(training.model, lists)
optimize = checked(training.optimize, lists)
predict = checked(training.predict, lists)
propagate = checked(training.propagate, lists)
random_mini_batches = checked(training.random_mini_batches, lists)
update_parameters = checked(training.update_parameters, lists)
update_parameters_with_adam = checked(training.update_parameters_with_adam, lists)
update_parameters_with_momentum = checked(training.update_parameters_with_momentum, lists)
update_parameters_with_rmsprop = checked(training.update_parameters_with_rmsprop, lists)

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
