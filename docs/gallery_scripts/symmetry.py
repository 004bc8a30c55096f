import matplotlib.pyplot as plt
import numpy as np

from dnn import SGD, Full, Network, Normal
from dnn.demos.points import flower

X, y = flower()
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
for ax, (name, init) in zip(axes, {"all 0.5": Full(0.5), "random x 0.01": Normal(0.01)}.items()):
    net = Network([2, 4, 1], activation="tanh", output="sigmoid", init=init, random_state=2)
    path = [net.weights[0][0].copy()]  # the weights of four units for the first feature
    net.fit(
        X,
        y,
        optimizer=SGD(1.2),
        epochs=1500,
        batch_size=None,
        callbacks=[lambda event: path.append(event.net.weights[0][0].copy())],
    )
    right = ((net(X)[:, 0] > 0.5) == y).mean()
    print(f"{name}: {len(np.unique(path[-1]))} different units, {100 * right:.1f} % correct")
    ax.plot(path)
    ax.set_title(name)
    ax.set_xlabel("step")
