"""The network of a first course on neural networks, three times over.

`dnn.course.loops` is plain Python over lists, every index visible; `dnn.course.vectorized` is NumPy, a line a
formula; `dnn.course.compiled` hands the caller's arrays to the compiled core. The functions have the same
names, arguments and results, and each of the three has them in the same three files: read them side by side.

- ``activations``: sigmoid, tanh, relu, leaky_relu, softmax, and their backwards;
- ``layers``: one layer and all of them, forward and backward, the cost, dropout;
- ``training``: first parameters, updates, mini-batches, logistic regression, the whole model.

The notation is the course's. Examples are columns: X is (n_x, m), n_x features of m examples, and Y (n_y, m).
Parameters are a dict, "W1" (n_1, n_x), "b1" (n_1, 1), "W2" (n_2, n_1), ...; the caches a list, one for each
layer. (The rest of dnn has examples as rows, so that W there is W.T here.)

The functions of the three packages look at their arguments first, and raise the same errors. Those in the
modules of the packages compute, and look at nothing.

The output layer is a sigmoid (yes or no; Y is 0 or 1, or a share between) or a softmax (one class of n_y; the
columns of Y are one-hot).
"""
