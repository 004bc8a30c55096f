import warnings

import matplotlib.pyplot as plt

from dnn import SGD, Network, NoProgressWarning, Normal
from dnn.demos.points import flower

warnings.simplefilter("ignore", NoProgressWarning)  # one of them makes no progress
X, y = flower()
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, layout="constrained")
for ax, depth in zip(axes, (1, 5)):
    for name, init in {"x 0.01": Normal(0.01), "Xavier": "xavier", "x 10": Normal(10.0)}.items():
        net = Network([2, *[16] * depth, 1], activation="tanh", output="sigmoid", init=init, random_state=0)
        _, cache = net.forward(X)
        flat = sum((1 - A**2 < 0.1).mean() for A in cache.A[:-1]) / depth  # small slopes of tanh
        history = net.fit(X, y, optimizer=SGD(0.1, momentum=0.9), epochs=150, batch_size=50)
        print(f"{depth} layers, {name}: {100 * flat:.0f} % saturated, cost {history.loss[-1]:.3f}")
        ax.semilogy(history.loss, label=name)
    ax.set_title(f"hidden layers: {depth}")
    ax.set_xlabel("epoch")
axes[0].legend()
