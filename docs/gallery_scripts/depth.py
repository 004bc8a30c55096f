import matplotlib.pyplot as plt
import numpy as np

from dnn import Adam, Network


def zigzag(x):
    for _ in range(3):
        x = 1 - np.abs(2 * x - 1)  # a fold
    return 2 * x - 1


x = np.random.default_rng(1).uniform(size=2000)
across = np.linspace(0, 1, 801)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
for ax, hidden in zip(axes, ([99], [11, 11, 11])):
    net = Network([1, *hidden, 1], random_state=3)
    net.fit(np.sqrt(12) * (x[:, None] - 0.5), zigzag(x), optimizer=Adam(5e-3), epochs=100, batch_size=64)
    curve = net(np.sqrt(12) * (across[:, None] - 0.5))[:, 0]
    error = np.sqrt(np.mean((curve - zigzag(across)) ** 2))
    print(f"{hidden}: {net.n_params} parameters, error {error:.3f}")
    ax.plot(across, zigzag(across), color="lightgray", linewidth=4)
    ax.plot(across, curve)
    ax.set_title(f"hidden layers: {hidden}")
