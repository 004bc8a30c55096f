import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from dnn import Adam, Network, plotting

X, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(y))
X, y = X[order], y[order]
X_test, y_test, X, y = X[:360] / 16, y[:360], X[360:] / 16, y[360:]

net = Network([64, 24, 12, 10], activation="tanh", output="softmax", random_state=1)
net.fit(X, y, optimizer=Adam(3e-3), epochs=60, batch_size=32, alpha=1.0)
right = (net(X_test).argmax(axis=1) == y_test).mean()
print(f"test accuracy: {100 * right:.1f} %")

figure, ax = plt.subplots(figsize=(5, 5), layout="constrained")
plotting.weights(net, ax, shape=(8, 8), columns=6)
ax.set_title("weights of the first layer")
