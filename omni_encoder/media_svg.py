"""Draws one SVG, in a process of its own.

`python -P media_svg.py WIDTH HEIGHT SECONDS < SVG > PNG`. A drawing can
make the renderer abort the whole interpreter. So this runs as a child, with limits on its memory
and time, and imports nothing but the renderer, to start in 30 ms of CPU time.
"""

import contextlib
import sys

MEMORY_BYTES = 2 << 30


def _limit(seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has none of it; the parent's time limit still holds
        return
    # macOS refuses some of them.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def main(arguments: list[str]) -> int:
    """Draw what comes on stdin; the exit code is 0, 1 for a bad drawing, 3 without a renderer."""
    width, height, seconds = (int(argument) for argument in arguments)
    _limit(seconds)
    try:
        import resvg_py
    except ImportError as error:
        sys.stderr.write(str(error))
        return 3
    drawing = sys.stdin.buffer.read().decode("utf-8", "replace")
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=drawing,
            background="#ffffff",
            width=width,
            height=height,
            dpi=96,  # without it sizes in mm or pt are refused; 96 is what CSS says
            skip_system_fonts="text" not in drawing,  # looking for them takes a third of the time
        )
    except ValueError as error:
        sys.stderr.write(str(error))
        return 1
    sys.stdout.buffer.write(png)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
