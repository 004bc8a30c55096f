"""A network hears which key of a telephone was pressed, from 10 milliseconds of noisy sound.

Each key is the sum of a low and a high tone (the standard ITU-T Q.23). The sound is synthetic: tones of that
standard at random phases in white noise, 8000 samples per second. The network gets the 80 samples as they
are, and its first layer becomes a bank of filters tuned to the seven tones. It is compared with

- logistic regression on the samples, which is hardly better than a guess (1 of 12), because the phase is
  random: the mean of any weighted sum of samples is 0 for every key;
- logistic regression on the magnitudes of the Fourier transform: of 10 ms it has a value every 100 Hz, but
  the lower tones are 73 to 89 Hz apart;
- a receiver that knows the tones and takes those of the largest energy, the most likely ones if each is alone
  (Kay 1998, "Fundamentals of statistical signal processing: detection theory", section 7.6).

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
    tones = np.sin(2 * np.pi * frequencies[:, :, None] * TIME + phases[:, :, None])
    noise = rng.standard_normal((n, N_SAMPLES)) * 10 ** (-np.broadcast_to(decibels, n)[:, None] / 20)
    return (tones.sum(axis=1) + noise).astype(np.float32), keys  # two tones of amplitude 1 have power 1


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


def spectra(filters, frequencies):
    """Return how strongly filters (N, N_SAMPLES) respond to tones of these frequencies (N, n)."""
    return np.abs(filters @ np.exp(-2j * np.pi * TIME[:, None] * frequencies))


def tuned(filters):
    """Return the filters in the order of the frequencies that they pass best, without unused ones.

    The L2 penalty of the training lets the weights of units that do not help go to 0.
    """
    used = filters[np.linalg.norm(filters, axis=1) > 0.3]
    return used[spectra(used, np.linspace(0, 2000, 512)).argmax(axis=1).argsort(kind="stable")]


def main(quick=True, seed=0):
    """Train the network and both logistic regressions, and count the right keys at several levels of noise.

    Parameters
    ----------
    quick : bool, default True
        True: 30,000 windows to learn from; False: 200,000.
    seed : int, default 0

    Returns
    -------
    dict
        decibels (n,); right: the share of right keys of each method at each of them (n,); filters: weights of
        the hidden units (n_units, N_SAMPLES); sound, key: a window at -3 dB and its key.
    """
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    n = 30_000 if quick else 200_000
    X, y = sounds(n, rng.uniform(-9, 9, n), rng)
    net = Network([N_SAMPLES, 128 if quick else 256, len(KEYS)], output="softmax", random_state=rng)
    net.fit(X, y, optimizer=Adam(2e-3), epochs=10 if quick else 20, batch_size=128, alpha=0.1)  # see `tuned`
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


def tell(found):
    """Return the results as a table."""
    levels = found["decibels"][::2]
    lines = [
        f"{'right keys, at a level over noise of':<42}" + "".join(f"{level:4.0f} dB" for level in levels)
    ]
    for name, shares in found["right"].items():
        lines.append(f"{name:<42}" + "".join(f"{share:7.1%}" for share in shares[::2]))
    return "\n".join(lines)


def draw(found):
    """Draw a window of sound, the right keys at each level of noise, some filters, and the spectra of all."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(8, 6), layout="constrained")
    (sound, right), (shapes, spectrum) = fig.subplots(2, 2, width_ratios=[1, 1.4])
    sound.plot(1000 * TIME, found["sound"], color="#0072B2", lw=1)
    sound.set(title=f"the key {found['key']}, at -3 dB", xlabel="milliseconds", yticks=[])
    styles = ("--", "#000000"), ("-", "#0072B2"), ("-", "#E69F00"), (":", "#CC79A7")
    for (style, color), (name, shares) in zip(styles, found["right"].items(), strict=True):
        right.plot(found["decibels"], 100 * np.array(shares), style, color=color, label=name, lw=2)
    right.set(title="right keys, in percent", xlabel="tones over noise, dB", ylim=(0, 102))
    right.legend(fontsize=8, loc=(0.3, 0.2))

    filters = tuned(found["filters"])
    for i, tone in enumerate((*LOW, *HIGH)):
        best = np.argmax(spectra(filters, [tone])[:, 0])
        shapes.plot(1000 * TIME, filters[best] / np.abs(filters[best]).max() - 2.3 * i, color="#0072B2", lw=1)
        shapes.text(10.2, -2.3 * i, f"{tone:.0f} Hz", va="center", fontsize=8)
    shapes.set(title="weights of 7 hidden units", xlabel="milliseconds", yticks=[], xlim=(-0.3, 12.2))
    magnitude = spectra(filters, np.linspace(0, 2000, 512))
    scaled = magnitude / magnitude.max(axis=1, keepdims=True)
    spectrum.imshow(
        scaled, aspect="auto", cmap="viridis", extent=(0, 2000, len(filters), 0), interpolation="none"
    )
    for tone in (*LOW, *HIGH):
        spectrum.axvline(tone, ymin=1, ymax=1.04, color="#D55E00", clip_on=False, lw=2)
    title = f"spectra of the {len(filters)} units in use; marks: the 7 tones\n"
    spectrum.set(title=title, xlabel="Hz", ylabel="unit", yticks=[])
    return fig


if __name__ == "__main__":
    found = main(quick=False)
    print(tell(found))
    draw(found).savefig("dnn-tones.png", dpi=150)
