"""A network hears which key of a telephone was pressed, from 10 milliseconds of noisy sound.

Each key is the sum of a low and a high tone (the standard ITU-T Q.23). The sound is synthetic: tones of that
standard at random phases, with white noise, sampled 8000 times per second. The network gets the 80 samples as
they are, and its first layer becomes a bank of filters tuned to the seven tones. It is compared with

- logistic regression on the samples, which can only guess: at a random phase each sample is as often positive as
  negative, whatever the key, so that a weighted sum of samples tells nothing;
- logistic regression on the magnitudes of the Fourier transform, whose frequencies are 100 Hz apart here, more
  than the lower tones (73 to 89 Hz);
- the receiver that knows the tones, and takes those of the largest energy: the most likely ones if the two tones
  are heard apart (Kay 1998, "Fundamentals of statistical signal processing: detection theory", section 7.6).

Run it: ``dnn demo tones`` or ``python examples/tones.py`` (10 seconds; needs scikit-learn).
"""

import numpy as np

from dnn import Adam, Network

LOW, HIGH = (
    np.array([697.0, 770, 852, 941]),
    np.array([1209.0, 1336, 1477]),
)  # Hz, rows and columns of the keys
KEYS = "123456789*0#"
N_SAMPLES, SAMPLE_RATE = 80, 8000
TIME = np.arange(N_SAMPLES) / SAMPLE_RATE
DECIBELS = np.arange(-9, 7.0, 1.5)  # power of the tones over that of the noise, for the tests


def sounds(n, decibels, rng):
    """Return n windows of sound (n, N_SAMPLES), float32, and their keys (n,)."""
    keys = rng.integers(0, len(KEYS), n)
    frequencies = np.column_stack([LOW[keys // 3], HIGH[keys % 3]])
    phases = rng.uniform(0, 2 * np.pi, (n, 2))
    tones = [
        np.sin(2 * np.pi * f[:, None] * TIME + p[:, None])
        for f, p in zip(frequencies.T, phases.T, strict=True)
    ]
    noise = rng.standard_normal((n, N_SAMPLES)) * 10 ** (-np.broadcast_to(decibels, n)[:, None] / 20)
    return (tones[0] + tones[1] + noise).astype(
        np.float32
    ), keys  # the power of two tones of amplitude 1 is 1


def energies(X, frequencies):
    """Return the energy of each tone in each window (N, n): of its projection on the sines of all phases."""
    found = []
    for f in frequencies:
        waves = np.stack([np.cos(2 * np.pi * f * TIME), np.sin(2 * np.pi * f * TIME)], axis=1)
        found.append(((X @ np.linalg.qr(waves)[0]) ** 2).sum(axis=1))
    return np.stack(found, axis=1)


def receiver(X):
    """Return the key of the low and the high tone of the largest energy in each window (N,)."""
    return 3 * energies(X, LOW).argmax(axis=1) + energies(X, HIGH).argmax(axis=1)


def magnitudes(X):
    """Return the magnitudes of the Fourier transform of each window (N, N_SAMPLES / 2 + 1)."""
    return np.abs(np.fft.rfft(X)).astype(np.float32)


def spectra(filters, n=512):
    """Return n frequencies up to 2000 Hz, and the magnitudes (n_filters, n) of filters at these."""
    frequencies = np.linspace(0, 2000, n)
    return frequencies, np.abs(filters @ np.exp(-2j * np.pi * TIME[:, None] * frequencies))


def main(quick=True, seed=0):
    """Train the network and both logistic regressions, and count the right keys at several levels of noise.

    Parameters
    ----------
    quick : bool, default True
        True: 30,000 windows to learn from; False: 400,000.
    seed : int, default 0

    Returns
    -------
    dict
        decibels (n,); right: the share of right keys of each method at each of them (n,); filters: the weights
        of the hidden units (n_units, N_SAMPLES); sound, key: a window at -3 dB and its key.
    """
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    n = 30_000 if quick else 400_000
    X, y = sounds(n, rng.uniform(-9, 9, n), rng)
    net = Network([N_SAMPLES, 128 if quick else 256, len(KEYS)], output="softmax", random_state=rng)
    net.fit(X, y, optimizer=Adam(2e-3), epochs=10, batch_size=128)
    some = slice(5_000 if quick else 50_000)
    raw = LogisticRegression().fit(X[some], y[some])
    fourier = LogisticRegression(max_iter=1000).fit(magnitudes(X[some]), y[some])
    methods = {
        "receiver that knows the tones": receiver,
        "network, 80 samples": lambda X: net(X).argmax(axis=1),
        "logistic regression, Fourier magnitudes": lambda X: fourier.predict(magnitudes(X)),
        "logistic regression, 80 samples": raw.predict,
    }
    right = {name: [] for name in methods}
    for decibels in DECIBELS:
        X, y = sounds(2_000 if quick else 10_000, decibels, rng)
        for name, method in methods.items():
            right[name].append(np.mean(method(X) == y))
    X, y = sounds(1, -3, rng)
    return {
        "decibels": DECIBELS,
        "right": right,
        "filters": net.weights[0].T.copy(),
        "sound": X[0],
        "key": KEYS[y[0]],
    }
