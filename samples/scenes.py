"""Moving pictures drawn with Pillow: each scene gives the frame at a time between 0 and 1."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = (320, 240)

Colour = tuple[int, int, int]
Scene = Callable[[float], Image.Image]


def blend(a: Colour, b: Colour, share: float) -> Colour:
    """A colour that is `share` of the way from `a` to `b`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def vertical_gradient(top: Colour, bottom: Colour) -> Image.Image:
    """A frame that goes from one colour at the top to another at the bottom."""
    image = Image.new("RGB", SIZE)
    draw = ImageDraw.Draw(image)
    for y in range(SIZE[1]):
        draw.line([(0, y), (SIZE[0], y)], fill=blend(top, bottom, y / SIZE[1]))
    return image


def camera_move(
    photo: Image.Image, start: tuple[float, float, float], end: tuple[float, float, float]
) -> Scene:
    """Move and zoom a camera over a photo.

    Args:
        photo: What is looked at.
        start: Centre x and y and width of the view, as shares of the photo's width and height.
        end: The same at the end.
    """

    def frame(time: float) -> Image.Image:
        ease = 0.5 - 0.5 * math.cos(math.pi * time)
        x, y, width = (a + (b - a) * ease for a, b in zip(start, end, strict=True))
        view_w = min(width * photo.width, photo.height * SIZE[0] / SIZE[1])
        view_h = view_w * SIZE[1] / SIZE[0]
        left = min(max(0, x * photo.width - view_w / 2), photo.width - view_w)
        top = min(max(0, y * photo.height - view_h / 2), photo.height - view_h)
        box = (left, top, left + view_w, top + view_h)
        return photo.resize(SIZE, Image.Resampling.BICUBIC, box=box)

    return frame


def rocket_launch(time: float) -> Image.Image:
    """A white rocket climbs on a flame into a sky full of stars."""
    image = vertical_gradient((6, 8, 34), (40, 46, 110))
    draw = ImageDraw.Draw(image)
    for x, y in np.random.default_rng(7).uniform(0, 1, (90, 2)):
        spot = (int(x * SIZE[0]), int(y * SIZE[1] * 0.9))
        draw.ellipse([spot, (spot[0] + 1, spot[1] + 1)], fill=(235, 235, 255))
    draw.rectangle([0, 222, SIZE[0], SIZE[1]], fill=(46, 52, 46))
    x, base = 160, 218 - 330 * max(0.0, time - 0.12) ** 1.7
    flame = 34 + 8 * math.sin(60 * time)
    if time > 0.06:
        for width, length, colour in (
            (15, flame, (255, 120, 20)),
            (8, 0.65 * flame, (255, 230, 90)),
        ):
            draw.polygon([(x - width, base), (x + width, base), (x, base + length)], fill=colour)
        for puff in range(7):
            radius = 8 + 34 * time + 3 * (puff % 3)
            centre = (x + (puff - 3) * (16 + 34 * time), 226 - 4 * (puff % 2))
            draw.ellipse(
                [centre[0] - radius, centre[1] - radius * 0.6, centre[0] + radius, 245],
                fill=blend((150, 150, 155), (200, 200, 205), puff / 7),
            )
    draw.polygon([(x - 30, base), (x - 13, base - 34), (x - 13, base)], fill=(200, 40, 40))
    draw.polygon([(x + 30, base), (x + 13, base - 34), (x + 13, base)], fill=(200, 40, 40))
    draw.rectangle([x - 14, base - 84, x + 14, base], fill=(238, 238, 240))
    draw.polygon([(x - 14, base - 84), (x + 14, base - 84), (x, base - 124)], fill=(200, 40, 40))
    draw.ellipse([x - 8, base - 72, x + 8, base - 56], fill=(70, 140, 200), outline=(90, 90, 90))
    return image


def bouncing_ball(time: float) -> Image.Image:
    """A red ball bounces on a wooden floor; the last frame leads into the first."""
    image = Image.new("RGB", SIZE, (205, 228, 245))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 190, SIZE[0], SIZE[1]], fill=(170, 120, 70))
    height = 1 - (2 * (2 * time % 1) - 1) ** 2
    x, y = 160, 160 - 115 * height
    shadow = 34 - 14 * height
    draw.ellipse([x - shadow, 196, x + shadow, 206], fill=(130, 90, 50))
    squash = 1 - 0.18 * max(0, 1 - 6 * height)
    box = [x - 32 / squash, y + 32 - 64 * squash, x + 32 / squash, y + 32]
    draw.ellipse(box, fill=(214, 40, 40), outline=(140, 20, 20), width=2)
    draw.ellipse([x - 16, y - 18 * squash, x - 4, y - 8 * squash], fill=(255, 170, 170))
    return image


def sunrise(time: float) -> Image.Image:
    """The sun comes up over the sea, and the sky turns from violet to blue."""
    day = min(1.0, 1.25 * time)
    image = vertical_gradient(
        blend((40, 24, 80), (110, 180, 240), day), blend((230, 96, 60), (255, 226, 170), day)
    )
    draw = ImageDraw.Draw(image)
    y = 190 - 120 * time
    for radius, glow in ((56, 0.25), (46, 0.5), (36, 1.0)):
        colour = blend((255, 190, 110), (255, 240, 150), glow)
        draw.ellipse([160 - radius, y - radius, 160 + radius, y + radius], fill=colour)
    draw.rectangle([0, 158, SIZE[0], SIZE[1]], fill=blend((26, 34, 84), (30, 110, 170), day))
    for row in range(9):
        width = 14 + 9 * row
        shift = 7 * math.sin(9 * time + row)
        top = 162 + 8 * row
        draw.ellipse(
            [160 - width + shift, top, 160 + width + shift, top + 3],
            fill=blend((250, 170, 100), (255, 240, 190), day),
        )
    return image


def clock_hands(time: float) -> Image.Image:
    """The hands of a wall clock turn from ten past ten for two hours."""
    image = Image.new("RGB", SIZE, (190, 205, 190))
    draw = ImageDraw.Draw(image)
    x, y = 160, 120
    draw.ellipse([x - 108, y - 108, x + 108, y + 108], fill=(110, 66, 36))
    draw.ellipse([x - 98, y - 98, x + 98, y + 98], fill=(252, 250, 240), outline=(60, 40, 30))
    for mark in range(60):
        angle = math.tau * mark / 60
        inner = 80 if mark % 5 == 0 else 90
        draw.line(
            [
                (x + inner * math.sin(angle), y - inner * math.cos(angle)),
                (x + 94 * math.sin(angle), y - 94 * math.cos(angle)),
            ],
            fill=(30, 30, 30),
            width=4 if mark % 5 == 0 else 1,
        )
    minutes = 610 + 120 * time
    for turn, length, width in ((minutes / 720, 50, 8), (minutes / 60, 78, 5)):
        tip = (x + length * math.sin(math.tau * turn), y - length * math.cos(math.tau * turn))
        draw.line([(x, y), tip], fill=(20, 20, 20), width=width)
    draw.ellipse([x - 7, y - 7, x + 7, y + 7], fill=(160, 30, 30))
    return image


def snowfall(snowman: Image.Image) -> Scene:
    """Snow falls around a snowman."""
    figure = snowman.convert("RGB").resize((165, 165))
    mask = figure.convert("L").point([255 * (level < 250) for level in range(256)])
    ImageDraw.floodfill(mask, (82, 110), 255)  # the body is as white as the paper around it
    flakes = np.random.default_rng(3).uniform(0, 1, (110, 3))

    def frame(time: float) -> Image.Image:
        image = vertical_gradient((96, 118, 150), (176, 192, 212))
        draw = ImageDraw.Draw(image)
        draw.ellipse([-80, 186, 400, 320], fill=(240, 244, 250))
        image.paste(figure, (78, 48), mask)
        for x, y, speed in flakes:
            left = (x + 0.03 * math.sin(6 * time + 20 * speed)) * SIZE[0]
            top = (y + (1.5 + 2 * speed) * time) % 1 * SIZE[1]
            radius = 1 + 2.2 * speed
            draw.ellipse([left, top, left + 2 * radius, top + 2 * radius], fill="white")
        return image

    return frame


def bus_ride(bus: Image.Image) -> Scene:
    """A red bus drives along a street of houses."""
    figure = bus.convert("RGB").resize((170, 94))
    mask = figure.convert("L").point([255 * (level < 246) for level in range(256)])

    def frame(time: float) -> Image.Image:
        image = vertical_gradient((120, 185, 240), (220, 236, 250))
        draw = ImageDraw.Draw(image)
        for house in range(-1, 6):
            left = house * 92 - round(92 * time)
            wall = ((214, 180, 140), (200, 140, 120), (225, 214, 180))[house % 3]
            draw.rectangle([left, 84, left + 76, 172], fill=wall)
            draw.polygon([(left - 6, 84), (left + 82, 84), (left + 38, 46)], fill=(140, 60, 46))
            for column in (12, 48):
                draw.rectangle([left + column, 98, left + column + 16, 118], fill=(90, 130, 170))
            draw.rectangle([left + 30, 132, left + 46, 172], fill=(90, 60, 40))
        draw.rectangle([0, 172, SIZE[0], SIZE[1]], fill=(84, 86, 92))
        for dash in range(-1, 7):
            left = dash * 64 - round(256 * time) % 64
            draw.rectangle([left, 212, left + 34, 217], fill=(235, 235, 220))
        image.paste(figure, (round(-150 + 400 * time), 122), mask)
        return image

    return frame


def one_after_another(scenes: list[Scene]) -> Scene:
    """Play scenes in turn, each for the same time."""

    def frame(time: float) -> Image.Image:
        number = min(int(time * len(scenes)), len(scenes) - 1)
        return scenes[number](time * len(scenes) - number)

    return frame


def clips(media: Path) -> dict[str, tuple[Scene, float]]:
    """The scene and the length in seconds of each clip; some look at images in `media`."""

    def still(name: str) -> Image.Image:
        with Image.open(media / name) as image:
            return image.convert("RGB")

    snow, bus = snowfall(still("drawings/snowman.png")), bus_ride(still("drawings/red-bus.webp"))
    return {
        "cat-closeup.mp4": (
            camera_move(still("photos/cat.jpg"), (0.55, 0.5, 0.9), (0.6, 0.45, 0.5)),
            4.0,
        ),
        "raccoon.avi": (
            camera_move(still("photos/raccoon.jpg"), (0.35, 0.5, 0.7), (0.6, 0.4, 0.6)),
            4.0,
        ),
        "flight-through-galaxies.webm": (
            camera_move(still("photos/galaxies.jpg"), (0.5, 0.5, 1.0), (0.6, 0.6, 0.4)),
            4.0,
        ),
        "rocket-launch.mp4": (rocket_launch, 5.0),
        "bouncing-ball.gif": (bouncing_ball, 2.0),
        "sunrise.webm": (sunrise, 5.0),
        "clock-hands.mp4": (clock_hands, 4.0),
        "snowfall.mkv": (snow, 4.0),
        "bus-ride.mov": (bus, 5.0),
        "bus-then-snow-then-sunrise.mp4": (one_after_another([bus, snow, sunrise]), 27.0),
    }
