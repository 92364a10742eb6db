"""Everyday sounds made from sines and noise, and sentences spoken by a speech synthesiser.

Every sound is mono, float64, about [-1, 1], at `RATE_HZ`; chance comes from a generator.
"""

import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 24_000  # one of the rates that Opus takes

Sound: TypeAlias = NDArray[np.float64]


def times(seconds: float) -> Sound:
    """The time of each sample, in seconds."""
    return np.arange(round(seconds * RATE_HZ)) / RATE_HZ


def noise(seconds: float, low_hz: float, high_hz: float, generator: np.random.Generator) -> Sound:
    """Noise between two frequencies with soft edges, at a standard deviation of 1."""
    samples = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    rise = 1 / (1 + (low_hz / np.maximum(hertz, 1e-3)) ** 4)
    fall = 1 / (1 + (hertz / high_hz) ** 4)
    shaped = np.fft.irfft(spectrum * rise * fall, samples)
    return shaped / np.std(shaped)


def mix(length_s: float, parts: list[tuple[float, Sound]]) -> Sound:
    """Lay sounds over each other, each from its time in seconds on; what sticks out is cut."""
    track = np.zeros(round(length_s * RATE_HZ))
    for start_s, sound in parts:
        start = round(start_s * RATE_HZ)
        room = max(0, len(track) - start)
        track[start : start + len(sound)] += sound[:room]
    return track


def rain(generator: np.random.Generator, seconds: float = 5.0) -> Sound:
    """Steady rain: a broad hiss, and drops that each ring for a few milliseconds."""
    drops: list[tuple[float, Sound]] = []
    for start in generator.uniform(0, seconds, round(60 * seconds)):
        t = times(0.03)
        pitch = generator.uniform(1500, 6000)
        loud = generator.uniform(0.05, 0.5)
        drops.append((start, loud * np.sin(2 * np.pi * pitch * t) * np.exp(-t / 0.004)))
    return 0.16 * noise(seconds, 800, 9000, generator) + mix(seconds, drops)


def thunder(generator: np.random.Generator) -> Sound:
    """A crack, then a rumble that rolls away."""
    t = times(6.0)
    roll = 0.6 + 0.4 * np.abs(noise(6.0, 0.1, 2.5, generator))
    rumble = noise(6.0, 25, 160, generator) * roll * np.minimum(1, t / 0.4) * np.exp(-t / 2.2)
    crack = 0.7 * noise(6.0, 200, 5000, generator) * np.exp(-t / 0.12)
    return 0.4 * rumble + 0.5 * crack


def sea_waves(generator: np.random.Generator) -> Sound:
    """Two waves that swell, break and run out over the sand."""
    t = times(8.0)
    swell = np.maximum(0, np.sin(np.pi * (t % 4) / 4)) ** 2
    body = noise(8.0, 60, 900, generator) * (0.25 + swell)
    foam = noise(8.0, 1500, 8000, generator) * np.roll(swell, RATE_HZ // 2) ** 2
    return 0.22 * body + 0.22 * foam


def birdsong(generator: np.random.Generator) -> Sound:
    """Phrases of chirps that glide down, by two birds."""
    parts: list[tuple[float, Sound]] = []
    for base_hz, phrase_s in ((4200, 1.1), (3100, 1.7)):
        for phrase in np.arange(0.1, 5.0, phrase_s):
            for note in range(int(generator.integers(3, 6))):
                t = times(0.11)
                start_hz = base_hz * generator.uniform(0.95, 1.25)
                glide = start_hz * (1 + 0.2 * np.exp(-t / 0.03)) + 150 * np.sin(2 * np.pi * 40 * t)
                chirp = np.sin(2 * np.pi * np.cumsum(glide) / RATE_HZ) * np.sin(np.pi * t / 0.11)
                parts.append((phrase + 0.16 * note, 0.4 * chirp))
    return mix(5.0, parts) + 0.004 * noise(5.0, 500, 4000, generator)


def heartbeat(generator: np.random.Generator, seconds: float = 3.6) -> Sound:
    """Lub-dub at 66 beats a minute."""
    parts: list[tuple[float, Sound]] = []
    for beat in np.arange(0.1, seconds, 60 / 66):
        for delay, pitch, loud in ((0.0, 52, 1.0), (0.32, 70, 0.65)):
            t = times(0.16)
            thump = np.sin(2 * np.pi * pitch * t) * np.exp(-t / 0.045) * np.minimum(1, t / 0.01)
            parts.append((beat + delay, 0.8 * loud * thump))
    return mix(seconds, parts) + 0.003 * noise(seconds, 20, 200, generator)


def church_bell(generator: np.random.Generator, strokes: int = 3) -> Sound:
    """A large bell struck every 1.8 seconds: inharmonic partials, of which the low ones ring on."""
    partials = (
        (0.5, 1.0, 3.5),
        (1.0, 0.9, 2.4),
        (1.19, 0.7, 2.0),
        (1.5, 0.5, 1.5),
        (2.0, 0.8, 1.3),
    )
    bright = ((2.66, 0.4, 0.8), (3.01, 0.3, 0.6), (4.17, 0.25, 0.4))
    t = times(4.0)
    stroke = np.zeros_like(t)
    for ratio, loud, decay_s in partials + bright:
        phase = generator.uniform(0, 2 * np.pi)
        stroke += loud * np.sin(2 * np.pi * 294 * ratio * t + phase) * np.exp(-t / decay_s)
    stroke = 0.15 * stroke * np.minimum(1, t / 0.004) * np.minimum(1, 2 * (4 - t))
    return mix(1.8 * strokes + 2.0, [(1.8 * i, stroke) for i in range(strokes)])


def clock_ticking(generator: np.random.Generator) -> Sound:
    """Tick and tock, twice a second."""
    parts: list[tuple[float, Sound]] = []
    for i, start in enumerate(np.arange(0.1, 5.0, 0.5)):
        t = times(0.05)
        pitch = 2600 if i % 2 else 2000
        ring = np.sin(2 * np.pi * pitch * t) + 0.6 * np.sin(2 * np.pi * 1.83 * pitch * t)
        snap = 0.5 * noise(0.05, 1000, 9000, generator)
        parts.append((start, 0.4 * (ring + snap) * np.exp(-t / 0.006)))
    return mix(5.0, parts) + 0.001 * noise(5.0, 100, 4000, generator)


def telephone_ring(generator: np.random.Generator) -> Sound:
    """An old telephone: two gongs struck in turn 20 times a second, for 1.6 seconds, twice."""
    parts: list[tuple[float, Sound]] = []
    for ring in (0.1, 2.6):
        for i, start in enumerate(np.arange(0, 1.6, 0.05)):
            t = times(0.35)
            pitch = 1050 if i % 2 else 1320
            gong = np.sin(2 * np.pi * pitch * t) + 0.5 * np.sin(2 * np.pi * 2.41 * pitch * t)
            loud = generator.uniform(0.12, 0.16)
            parts.append((ring + start, loud * gong * np.exp(-t / 0.12)))
    return mix(5.0, parts)


def siren(generator: np.random.Generator) -> Sound:
    """A siren that wails up and down every two seconds, with a little road noise."""
    t = times(6.0)
    hertz = 950 + 350 * np.sin(2 * np.pi * t / 2 - np.pi / 2)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE_HZ
    wail = sum(np.sin(k * phase) / k for k in range(1, 6))
    return 0.25 * wail + 0.02 * noise(6.0, 50, 600, generator)


def night_outside(generator: np.random.Generator) -> Sound:
    """27 seconds in three scenes: rain, then a church bell, then a heartbeat."""
    bell = np.pad(church_bell(generator, strokes=4), (0, RATE_HZ))
    return mix(27.0, [(0, rain(generator, 9.0)), (9.3, bell), (18.5, heartbeat(generator, 8.5))])


SOUNDS: dict[str, Callable[[np.random.Generator], Sound]] = {
    "rain.ogg": rain,
    "thunder.mp3": thunder,
    "sea-waves.ogg": sea_waves,
    "birdsong.flac": birdsong,
    "heartbeat.wav": heartbeat,
    "church-bell.mp3": church_bell,
    "clock-ticking.flac": clock_ticking,
    "telephone.m4a": telephone_ring,
    "siren.mp3": siren,
    "night-outside.mp3": night_outside,
}

SENTENCES = {
    "weather-report.mp3": (
        "espeak-ng",
        "Good morning. Heavy rain is expected on the coast this afternoon, with strong wind.",
    ),
    "train-announcement.m4a": (
        "flite",
        "The train to the harbour leaves from platform four in five minutes.",
    ),
    "shopping-list.ogg": (
        "espeak-ng",
        "Please buy two bottles of milk, a loaf of bread, six eggs and some apples.",
    ),
}


def speak(program: str, sentence: str) -> Sound:
    """Let `espeak-ng` or `flite` speak a sentence.

    Raises:
        FileNotFoundError: The program is not installed.
    """
    path = shutil.which(program)
    if path is None:
        raise FileNotFoundError(f"{program} is not installed")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        options = (
            ["-w", str(file), sentence] if program == "espeak-ng" else ["-t", sentence, str(file)]
        )
        subprocess.run([path, *options], check=True)  # noqa: S603  # our own words
        with wave.open(str(file)) as reader:
            rate: int = reader.getframerate()
            data: bytes = reader.readframes(reader.getnframes())
    samples = np.frombuffer(data, dtype="<i2").astype(np.float64) / 32768
    wanted: Sound = np.arange(0, len(samples) - 1, rate / RATE_HZ)
    return np.interp(wanted, np.arange(len(samples)), samples)
