import matplotlib.pyplot as plt
import numpy as np

from dnn import SGD, Network

rng = np.random.default_rng(0)
X = rng.uniform(-0.2, 1.8, (40, 1))
y = 1.5 * X[:, 0] + 0.5 + 0.1 * rng.normal(size=40)

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for rate, momentum in ((0.02, 0.0), (0.5, 0.0), (1.04, 0.0), (0.02, 0.9)):
    net = Network([1, 1], dtype="float64")
    net.params[:] = -1.5, 2.5  # w, b
    path = [net.params.copy()]
    history = net.fit(
        X,
        y,
        optimizer=SGD(rate, momentum=momentum),
        epochs=60,
        batch_size=None,
        callbacks=[lambda event: path.append(event.net.params.copy())],
    )
    print(f"rate {rate:4}, momentum {momentum}: cost {history.loss[-1]:.4f}")
    ax.plot(*np.transpose(path), marker=".", label=f"rate {rate}, momentum {momentum}")
ax.set_xlabel("w")
ax.set_ylabel("b")
ax.legend()
