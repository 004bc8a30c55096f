import matplotlib.pyplot as plt
import numpy as np

from dnn import SGD, Network

hours = np.array([[0.5], [1.0], [1.5], [2.0], [2.5], [3.0], [3.5], [4.0]])
passed = np.array([0, 0, 1, 0, 1, 1, 0, 1])

net = Network([1, 1], output="sigmoid", init="zeros", dtype="float64")
before = net.losses(hours, passed)  # one for each example
history = net.fit(hours, passed, optimizer=SGD(0.5), epochs=300, batch_size=None)
after = net.losses(hours, passed)
print("losses before:", before.round(2))
print("losses after: ", after.round(2))
print(f"cost before: {before.mean():.3f}, after: {after.mean():.3f}")

figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
ax.bar(range(8), after, color=["#0072B2" if each else "#D55E00" for each in passed])
ax.axhline(before.mean(), color="black", linestyle="--", label="cost before")
ax.axhline(after.mean(), color="black", label="cost after")
ax.set_xticks(range(8), hours[:, 0])
ax.set_xlabel("hours of study")
ax.set_ylabel("loss")
ax.legend()
