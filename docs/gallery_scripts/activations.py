import matplotlib.pyplot as plt

from dnn import SGD, Network
from dnn.demos.points import moons

X, y = moons(400)
figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name in ("sigmoid", "tanh", "relu", "leaky_relu"):
    net = Network([2, 16, 16, 16, 16, 16, 1], activation=name, output="sigmoid", random_state=0)
    history = net.fit(X, y, optimizer=SGD(0.1, momentum=0.9), epochs=200, batch_size=50)
    right = ((net(X)[:, 0] > 0.5) == y).mean()
    print(f"{name:10} cost {history.loss[-1]:.3f}, {100 * right:.1f} % correct")
    ax.semilogy(history.loss, label=name)
ax.set_xlabel("epoch")
ax.set_ylabel("cost")
figure.legend(loc="outside lower center", ncols=4)
