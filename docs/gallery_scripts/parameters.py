import matplotlib.pyplot as plt

from dnn import SGD, Network
from dnn.demos.points import flower

X, y = flower()
X_val, y_val = flower(seed=2)

# Hyper-parameters: you choose them
rate, iterations, units = 1.2, 2000, 4

net = Network([2, units, 1], activation="tanh", output="sigmoid", random_state=0)
path = [net.params.copy()]
net.fit(
    X,
    y,
    optimizer=SGD(rate),
    epochs=iterations,
    batch_size=None,
    callbacks=[lambda event: path.append(event.net.params.copy())],
)
wrong = ((net(X_val)[:, 0] > 0.5) != y_val).mean()
print(f"{net.n_params} parameters found; error on new points: {100 * wrong:.1f} %")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.plot(path)  # parameters: training finds them; one line for each
ax.set_xlabel("iteration")
ax.set_title(f"{net.n_params} parameters during training")
