import matplotlib.pyplot as plt
import numpy as np

from dnn import SGD, Network, Normal, plotting
from dnn.demos.points import flower

X, y = flower()
figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
for ax, units in zip(axes, (1, 4, 20)):
    net = Network(
        [2, units, 1],
        activation="tanh",
        output="sigmoid",
        init=Normal(0.01),
        dtype="float64",
        random_state=np.random.RandomState(2),  # as in the course
    )
    net.fit(X, y, optimizer=SGD(1.2), epochs=5000, batch_size=None)
    right = 100 * ((net(X)[:, 0] > 0.5) == y).mean()
    print(f"{units:2} hidden units: {right:.2f} % correct")
    plotting.boundary(net, X, y, ax)
    ax.set_title(f"{units} hidden: {right:.1f} %")
