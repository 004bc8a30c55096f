import matplotlib.pyplot as plt
import numpy as np

from dnn import SGD, Network
from dnn.demos.points import moons

X, y = moons(200, noise=0.25, seed=1)
X_val, y_val = moons(500, noise=0.25, seed=2)  # for the selection
X_test, y_test = moons(2000, noise=0.25, seed=3)  # used only once

rates, lengths = (0.01, 0.03, 0.1, 0.3), (5, 20, 80)
wrong, nets = np.zeros((4, 3)), {}
for i, rate in enumerate(rates):
    for j, epochs in enumerate(lengths):
        net = Network([2, 16, 16, 1], output="sigmoid", random_state=0)
        net.fit(X, y, optimizer=SGD(rate, momentum=0.9), epochs=epochs, batch_size=16)
        wrong[i, j] = 100 * ((net(X_val)[:, 0] > 0.5) != y_val).mean()
        nets[i, j] = net
best = np.unravel_index(wrong.argmin(), wrong.shape)
test = 100 * ((nets[best](X_test)[:, 0] > 0.5) != y_test).mean()
print(f"best: rate {rates[best[0]]}, {lengths[best[1]]} epochs; error {wrong[best]:.1f} %, test {test:.1f} %")

figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
figure.colorbar(ax.imshow(wrong, cmap="cividis_r"), label="validation error, in %")
ax.set_xticks(range(3), lengths)
ax.set_yticks(range(4), rates)
ax.set_xlabel("epochs")
ax.set_ylabel("learning rate")
