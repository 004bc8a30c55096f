import time

import matplotlib.pyplot as plt
import numpy as np

from dnn.course import compiled, loops, vectorized

X = np.random.default_rng(0).normal(size=(64, 200))
Y = np.ones((1, 200))


def seconds(course, X, Y):
    course.model(X, Y, [64, 20, 1], num_iterations=1)  # warms up
    began = time.perf_counter()
    course.model(X, Y, [64, 20, 1], num_iterations=5)
    return time.perf_counter() - began


taken = {
    "loops": seconds(loops, X.tolist(), Y.tolist()),
    "NumPy": seconds(vectorized, X, Y),
    "compiled": seconds(compiled, X, Y),
}
for name, each in taken.items():
    print(f"{name:9}{1000 * each:10.2f} ms for five steps")

figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.barh(list(taken), list(taken.values()))
ax.set_xlabel("seconds")
