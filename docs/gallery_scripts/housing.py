import matplotlib.pyplot as plt
import numpy as np

from dnn import Adam, Network
from dnn.demos.housing import houses

table = houses()  # generated: area, rooms, age, distance, view, garden, and a price
X = (table.X - table.X.mean(axis=0)) / table.X.std(axis=0)
y = (table.y - table.y.mean()) / table.y.std()
X_test, y_test, X, y = X[:400], y[:400], X[400:], y[400:]

errors = {}
for name, sizes in {"linear": [6, 1], "hidden layer": [6, 32, 1]}.items():
    net = Network(sizes, random_state=0)
    net.fit(X, y, optimizer=Adam(3e-3), epochs=100, batch_size=32)
    errors[name] = np.sqrt(np.mean((net(X_test)[:, 0] - y_test) ** 2)) * table.y.std()
    print(f"{name:15} test error {errors[name]:5.0f} thousand dollars")

figure, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
ax.barh(list(errors), list(errors.values()))
ax.set_xlabel("test error, 1000 dollars")
