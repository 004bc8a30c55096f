import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from dnn import SGD, Network

X, y = load_digits(return_X_y=True)
chosen = np.isin(y, (3, 8))
X, y = X[chosen] / 16, y[chosen] == 3  # is it a 3 or an 8?

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for rate in (1.0, 0.1, 0.01):
    net = Network([64, 1], output="sigmoid", init="zeros", random_state=0)
    history = net.fit(X, y, optimizer=SGD(rate), epochs=500, batch_size=None)
    right_ones = ((net(X)[:, 0] > 0.5) == y).mean()
    print(f"rate {rate:4}: cost {history.loss[-1]:.3f}, {100 * right_ones:.1f} % correct")
    left.plot(history.loss, label=f"rate {rate}")
    if rate == 1.0:  # a weight for each pixel forms a picture
        right.imshow(net.weights[0].reshape(8, 8), cmap="PuOr")
left.set_xlabel("step")
left.set_ylabel("cost")
left.legend()
right.set_title("weights of the unit")
