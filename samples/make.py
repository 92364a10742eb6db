"""Makes the sounds, the speech and the clips of the sample collection anew.

`python samples/make.py [DIRECTORY]` writes into DIRECTORY, by default `samples/media`, whose photos
and drawings the clips are made of. The same seed gives the same sounds and frames; encoded bytes
differ between versions of FFmpeg. Speech needs espeak-ng and flite, and is left out without them.
"""

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from scenes import SIZE, Scene, clips
from sounds import RATE_HZ, SENTENCES, SOUNDS, Sound, speak

SEED = 2
FRAMES_PER_S = 12
AUDIO_CODECS = {
    ".wav": "pcm_s16le",
    ".flac": "flac",
    ".ogg": "libopus",
    ".mp3": "libmp3lame",
    ".m4a": "aac",
}
# Quality settings that keep a clip at about 15 kB a second.
VIDEO_CODECS = {
    ".mp4": ("libx264", {"crf": "30", "preset": "slow"}),
    ".mov": ("libx264", {"crf": "30", "preset": "slow"}),
    ".mkv": ("libx264", {"crf": "32", "preset": "slow"}),
    ".webm": ("libvpx-vp9", {"crf": "40", "b": "0"}),
    ".avi": ("mpeg4", {"b": "160000"}),
}


def write_sound(path: Path, sound: Sound, *, title: str) -> None:
    """Encode a sound at 0.6 of full scale, as lossy codecs overshoot, with a title as metadata."""
    scale = 0.6 * 32767 / float(np.max(np.abs(sound)))
    pcm = np.round(sound * scale).astype(np.int16)
    codec = AUDIO_CODECS[path.suffix]
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout="mono")
        assert isinstance(stream, av.AudioStream)
        if codec in ("libmp3lame", "aac", "libopus"):
            stream.bit_rate = 48_000
        container.metadata["title"] = title
        step = 1024
        for start in range(0, len(pcm), step):
            block = pcm[None, start : start + step]
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE_HZ, start
            frame.time_base = Fraction(1, RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def frames_of(scene: Scene, seconds: float) -> list[Image.Image]:
    """Render all frames of a scene."""
    count = round(seconds * FRAMES_PER_S)
    return [scene(i / count) for i in range(count)]


def write_clip(path: Path, frames: list[Image.Image]) -> None:
    """Encode frames as the path's suffix says; `.gif` becomes a looping animation."""
    if path.suffix == ".gif":
        small = [
            frame.resize((240, 180)).quantize(32, dither=Image.Dither.NONE) for frame in frames
        ]
        small[0].save(
            path, append_images=small[1:], duration=1000 // FRAMES_PER_S, loop=0, optimize=True
        )
        return
    codec, options = VIDEO_CODECS[path.suffix]
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=FRAMES_PER_S, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 2 * FRAMES_PER_S
        for image in frames:
            picture = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def title_of(name: str) -> str:
    """A title from a file name: `church-bell.mp3` gives `Church bell`."""
    return Path(name).stem.replace("-", " ").capitalize()


def make(media: Path) -> None:
    """Write all made files below `media`."""
    for folder in ("sounds", "speech", "clips"):
        (media / folder).mkdir(parents=True, exist_ok=True)
    for number, (name, sound) in enumerate(SOUNDS.items()):
        samples = sound(np.random.default_rng([SEED, number]))
        write_sound(media / "sounds" / name, samples, title=title_of(name))
    for name, (program, sentence) in SENTENCES.items():
        try:
            write_sound(media / "speech" / name, speak(program, sentence), title=title_of(name))
        except FileNotFoundError as error:
            print(f"left out {name}: {error}", file=sys.stderr)
    for name, (scene, seconds) in clips(media).items():
        write_clip(media / "clips" / name, frames_of(scene, seconds))


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "media")
