"""One training step of a deep network, as a first course on neural networks writes it, several times over.

`dnn.course.loops` is plain Python over lists, every index visible; `dnn.course.vectorized` is NumPy. The
functions have the same names, arguments and results: read them side by side.

The notation is the course's. Examples are columns: X is (n_x, m), n_x features of m examples, and Y (n_y, m).
Parameters are a dict, "W1" (n_1, n_x), "b1" (n_1, 1), "W2" (n_2, n_1), ...; the caches a list, one for each
layer. (The rest of dnn has examples as rows, so that W there is W.T here.)

The output layer is a sigmoid (yes or no; Y is 0 or 1) or a softmax (one class of n_y; the columns of Y are
one-hot).
"""
