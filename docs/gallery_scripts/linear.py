import matplotlib.pyplot as plt
import numpy as np

from dnn import Adam, Network, plotting
from dnn.demos.points import flower

X, y = flower()
figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for ax, activation in zip(axes, ("identity", "tanh")):
    net = Network([2, 20, 20, 1], activation=activation, output="sigmoid", dtype="float64", random_state=0)
    net.fit(X, y, optimizer=Adam(0.02), epochs=200, batch_size=100)
    right = ((net(X)[:, 0] > 0.5) == y).mean()
    print(f"{activation}: {100 * right:.1f} % correct")
    plotting.boundary(net, X, y, ax)
    if activation == "identity":  # the product of three layers is one layer
        W = net.weights[0] @ net.weights[1] @ net.weights[2]
        b = (net.biases[0] @ net.weights[1] + net.biases[1]) @ net.weights[2] + net.biases[2]
        print("one layer gives the same outputs:", np.allclose(1 / (1 + np.exp(-(X @ W + b))), net(X)))
