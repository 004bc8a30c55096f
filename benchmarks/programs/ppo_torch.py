"""PPO in PyTorch, for the environments and settings of examples/ppo.py: the contender of three benchmarks."""

from itertools import pairwise

import numpy as np


def train(environment, continuous, settings, rng):
    """Learn with the same networks, batches, clipping and schedules as `ppo.train`, and return the actor."""
    import torch
    from torch import nn

    torch.manual_seed(int(rng.integers(2**31)))
    s, n_rows = settings, settings.n_copies * settings.n_steps

    def network(n_outputs):
        sizes = [environment.n_inputs, 64, 64]
        layers = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.Tanh())]
        return nn.Sequential(*layers, nn.Linear(64, n_outputs))

    def distribution(outputs):
        if continuous:
            mean, log_std = outputs.unbind(1)
            return torch.distributions.Normal(mean, log_std.exp(), validate_args=False)
        return torch.distributions.Categorical(logits=outputs, validate_args=False)

    actor = network(2 if continuous else environment.n_actions)
    with torch.no_grad():
        actor[-1].weight *= 0.01
    critic = network(1)
    adams = [torch.optim.Adam(net.parameters(), lr=s.rate) for net in (actor, critic)]
    n_updates = -(-s.total // n_rows)
    for update in range(n_updates):
        left = 1 - update / n_updates
        steps = []
        for _ in range(s.n_steps):
            seen = environment.observation
            with torch.no_grad():
                action = distribution(actor(torch.from_numpy(seen))).sample()
            steps.append((seen, action.numpy(), *environment.step(action.numpy())[1:]))
        seen, action, reward, terminated, truncated, reached = map(np.array, zip(*steps, strict=True))
        X, action = torch.from_numpy(seen.reshape(n_rows, -1)), torch.from_numpy(action.ravel())
        with torch.no_grad():
            value = critic(X).numpy().reshape(reward.shape)
            next_value = critic(torch.from_numpy(reached.reshape(n_rows, -1))).numpy().reshape(reward.shape)
            old = distribution(actor(X)).log_prob(action)
        surprise = reward + s.discount * next_value * ~terminated - value
        for t in reversed(range(len(surprise) - 1)):
            surprise[t] += s.discount * s.trace * ~(terminated | truncated)[t] * surprise[t + 1]
        advantages = torch.from_numpy(surprise.ravel().astype(np.float32))
        targets = torch.from_numpy((value + surprise).ravel().astype(np.float32))
        for adam in adams:
            adam.param_groups[0]["lr"] = s.rate * left
        for _ in range(s.epochs):
            for rows in torch.randperm(n_rows).split(s.batch_size):
                advantage = advantages[rows]
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                ratio = (distribution(actor(X[rows])).log_prob(action[rows]) - old[rows]).exp()
                clipped = ratio.clamp(1 - s.limit * left, 1 + s.limit * left)
                loss = -torch.min(ratio * advantage, clipped * advantage).mean()
                loss = loss + 0.5 * (critic(X[rows])[:, 0] - targets[rows]).square().mean()
                for adam in adams:
                    adam.zero_grad()
                loss.backward()
                for net, adam in zip((actor, critic), adams, strict=True):
                    nn.utils.clip_grad_norm_(net.parameters(), 0.5)
                    adam.step()
    return actor
