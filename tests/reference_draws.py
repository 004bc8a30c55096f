"""The oracle of random draws: the generator Philox4x32-10, and what is made of its words, in NumPy.

Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC11: the generator is a
function of a key of 64 bits and a counter of 128 bits. Here the key is the seed; the counter is the number of
the call (high half) and a number that counts within the call (low half).
"""

import numpy as np

LANES = 16  # counters of a block, whose 4 x 16 words are in the order of the output word first


def philox(counters, key):
    """Return the four words (n, 4) for each counter (n, 4); key: two words."""
    c = [counters[:, i].astype(np.uint64) for i in range(4)]
    k = [np.uint64(key[0]), np.uint64(key[1])]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(q >> np.uint64(32)) ^ c[1] ^ k[0], q & low, (p >> np.uint64(32)) ^ c[3] ^ k[1], p & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return np.stack(c, axis=1).astype(np.uint32)


def words(seed, call, n):
    """Return the first n words of a call."""
    n_blocks = -(-n // (4 * LANES))
    index = np.arange(n_blocks * LANES, dtype=np.uint64)
    counters = np.empty((len(index), 4), np.uint32)
    counters[:, 0], counters[:, 1] = index & np.uint64(0xFFFFFFFF), index >> np.uint64(32)
    counters[:, 2], counters[:, 3] = call % 2**32, call // 2**32
    drawn = philox(counters, (seed % 2**32, seed // 2**32))
    return drawn.reshape(n_blocks, LANES, 4).transpose(0, 2, 1).ravel()[:n]


def bernoulli(seed, call, logits):
    """Return 1 with the probability sigmoid(logit), otherwise 0.

    The less likely one of the two is drawn if u is below its probability: both tails have full precision.
    """
    u = ((words(seed, call, logits.size) >> np.uint32(1)) + 0.5) * 2.0**-31
    z = logits.ravel().astype(np.float64)
    a = np.exp(-np.abs(z))
    return ((z > 0) != (u < a / (1 + a))).astype(logits.dtype).reshape(logits.shape)


def normal(seed, call, n, dtype):
    """Return n standard normal values by Box and Muller (1958): a radius and an angle give two values."""
    if np.dtype(dtype) == np.float32:
        blocks = -(-n // 64)
        w = words(seed, call, 64 * blocks).reshape(blocks, 2, 32)
        u = (((w[:, 0] >> np.uint32(1)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-31)).astype(
            float
        )
        turns = w[:, 1] * 2.0**-32
    else:
        blocks = -(-n // 32)
        w = words(seed, call, 64 * blocks).astype(np.uint64).reshape(blocks, 2, 32)
        w = (w[:, 0] | w[:, 1] << np.uint64(32)).reshape(blocks, 2, 16)
        u = (w[:, 0] >> np.uint64(12)) * 2.0**-52 + 2.0**-53
        turns = (w[:, 1] >> np.uint64(10)) * 2.0**-54
    radius = np.sqrt(-2 * np.log(u))
    pairs = np.stack([radius * np.cos(2 * np.pi * turns), radius * np.sin(2 * np.pi * turns)], axis=1)
    return pairs.ravel()[:n].astype(dtype)


def rbm_step(W, c, b, chains, rows, rate, n_steps, persistent, seed, step):
    """Train a restricted Boltzmann machine on a batch, in place: CD-k, or PCD-k if persistent."""

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    n, call = len(rows), 2 * n_steps * step
    h_data = sigmoid(rows @ W.T + c)
    state = chains[:n]
    if not persistent:
        state = bernoulli(seed, call, rows @ W.T + c)
        call += 1
    for k in range(n_steps):
        v = bernoulli(seed, call, state @ W + b)
        logits = v @ W.T + c
        if persistent or k + 1 < n_steps:
            state = bernoulli(seed, call + 1, logits)
        call += 2
    h_chain = sigmoid(logits)
    if persistent:
        chains[:n] = state
    W += rate / n * (h_data.T @ rows - h_chain.T @ v)
    c += rate / n * (h_data.sum(axis=0) - h_chain.sum(axis=0))
    b += rate / n * (rows.sum(axis=0) - v.sum(axis=0))
