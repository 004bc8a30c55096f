import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from dnn import Adam, Network

X, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(y))
X, y = X[order], y[order]
X_test, y_test, X, y = X[:400] / 16, y[:400], X[400:] / 16, y[400:]

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for units in (3, 10, 128):
    wrong = []
    for n in (30, 100, 300, 1000):
        net = Network([64, units, 10], output="softmax", random_state=0)
        net.fit(X[:n], y[:n], optimizer=Adam(5e-3), epochs=60_000 // n, batch_size=64)
        wrong.append(100 * (net(X_test).argmax(axis=1) != y_test).mean())
    print(f"{units:4} units: " + ", ".join(f"{each:.1f} %" for each in wrong))
    ax.loglog([30, 100, 300, 1000], wrong, marker="o", label=f"{units} hidden units")
ax.set_xlabel("training pictures")
ax.set_ylabel("test error, in %")
ax.legend()
