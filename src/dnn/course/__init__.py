"""The network of a first course on neural networks, written three ways.

`dnn.course.loops` is plain Python over lists, with every index visible; `dnn.course.vectorized` uses NumPy,
with a line for each formula; `dnn.course.compiled` passes the caller's arrays to the compiled core. The
functions have the same names, arguments and results, in the same three files of each package, so that you can
read them side by side.

- ``activations``: sigmoid, tanh, relu, leaky_relu, softmax, and their backward functions;
- ``layers``: the forward and backward pass of one layer and of all layers, the cost, dropout;
- ``training``: initialization, updates, mini-batches, logistic regression, the whole model.

The notation is that of the course. Examples are columns: X is (n_x, m), n_x features of m examples, and Y is
(n_y, m). The parameters are a dict: "W1" (n_1, n_x), "b1" (n_1, 1), "W2" (n_2, n_1), .... The caches are a
list with one cache for each layer. (In the rest of dnn, examples are rows, so that W there is W.T here.)

The functions of the three packages validate their arguments first and raise the same errors. The functions in
the modules of the packages only compute.

The output layer is a sigmoid (yes or no; Y is 0 or 1, or a probability) or a softmax (one class of n_y; the
columns of Y are one-hot).
"""
