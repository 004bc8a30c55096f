import matplotlib.pyplot as plt
import numpy as np

from dnn import Network


def f(a):
    return a**2


for nudge in (1, 0.1, 0.001):
    print(f"nudge {nudge}: slope {(f(2 + nudge) - f(2)) / nudge:.3f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
a = np.linspace(0, 4, 100)
left.plot(a, f(a))
left.plot(a, f(2) + 4 * (a - 2))  # the tangent: its slope is the derivative, 2 a
left.set_title("a² and its tangent at 2")

X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
net = Network([1, 1], output="sigmoid", init="zeros", dtype="float64")
cost, gradient = net.loss_and_gradient(X, y)  # the backward pass gives every slope
weights = np.linspace(-3, 3, 100)
costs = []
for net.params[0] in weights:
    costs.append(net.loss_and_gradient(X, y)[0])
right.plot(weights, costs)
right.plot([-1.5, 1.5], [cost - 1.5 * gradient[0], cost + 1.5 * gradient[0]])
right.set_title("cost of a network against a weight")
