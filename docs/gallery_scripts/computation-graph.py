import matplotlib.pyplot as plt

from dnn import Network

# Forward pass: u = bc, v = a + u, J = 3v
a, b, c = 5, 3, 2
u = b * c
v = a + u
J = 3 * v
# Backward pass: each slope is the slope to its right, times the local slope
dJ_dv = 3
dJ_du = dJ_da = dJ_dv * 1
dJ_db = dJ_du * c
dJ_dc = dJ_du * b
print(f"J = {J}; dJ/da = {dJ_da}, dJ/db = {dJ_db}, dJ/dc = {dJ_dc}")

# A network and its slopes for one example
net = Network([2, 3, 1], activation="tanh", output="sigmoid", random_state=2)
figure, ax = plt.subplots(figsize=(8, 4.5))
net.draw((0.5, -1.0), 1).on(ax)
