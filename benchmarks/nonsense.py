"""Queries that mean nothing: typed by hand to measure by, and made by chance to choose limits by.

The two share no text and no way of making: what was chosen on one is measured on the other. Noise
pictures and sounds of the two differ in seed, size and kind.
"""

import numpy as np

from omni_encoder import SAMPLE_RATE_HZ, MediaItem, Modality

KINDS = {Modality.TEXT: 3, Modality.IMAGE: 4, Modality.AUDIO: 3}
"""How many kinds of each modality are made by chance; they take turns."""

# Keys hit at random, syllables without a language, symbols, broken encodings.
TYPED = """
asdkjh qwlekj zmxnc | fghjk dfghj xcvbn | qzxj vvkp wwtr | lkjhgfdsa poiu | zxcv bnmm lkop
hjkl yuiop qaz | wsxedc rfvtgb | plokmij nuhb | jjjfkd slaaow | eiwoqp tyru
ghtyu bnvmc dkel | xx qq zz kk | vbnm,.- ghjk | aaaa ssss dddd ffff | oiuwer nmzx
klj lkj lkj klj | qpwoei ruty alsk | mznxbcv | tttrrr eeewww | dkfjgh slkdjf
wkrzt plfm | bcdfg hjklm npqrs | xkcdq zzyp | rtzu fghj vbnm | ppqqjj
blorfen taruk mipsil | vantorri quelbeth osimar | drimple fosk vundle | gratuvi menolka trisp
zopharni ulgreth
kelmo bastirup fenwick osh | norvalite | shumbra telenko varpiss | ombilaru | tirrefonk lasp
yundigar emosh pallitrine | crovenda misk | jarbuloon | fleeb dorgas | wexomi tarn ulish
quorvax nelbin | stramboli upen | hurnefa lodge-mip | ikkapuri voth | bemsil arturang
snorvle | gibbatrix pelune | aldorimex | vishtorple nang | thrumpafel
mibo tazu kelo pim | ra ru ri ro re | zub zab zib | lo wami su keto | nin non nan nun
pataka bodega-lu mirip | wo wu wi | tikitoru bababa | hesumi kalotrin | ebu abi obu
#@!%^ &*() | ~~~ ||| ~~~ | <<>> ;;:: | $$$$ %%%% | +-+-+- =_=
0x7f 0x9a 0x11 | 88120 44193 00271 | 3f9a7c1e | 17-99-41-08 | 9 9 9 8 8 1
a1b2c3d4e5 | id=8841&q=zz | %20%3F%2F | \\x00\\x1f\\x7f | eyJhbGciOi
q1w2e3r4 | zz9plural | k8s-xq-0193 | jpg__tmp~1 | lorem0 ipsumz dolorq
Ã¤Ã¶Ã¼ Ã | ï»¿ â€œâ€ | �� � ��� | ¤¦¬¶
dlrow olleh | ngis pots | yadsruht | rettub tunaep | hctiwdnas
the of and to | whereas hence thus | of of of | is which that | by for from at
uhm err hmm | lalala | tsk pff | brrrm ggg | mwahahz
xylo-vrit | przm | szcz brzg | nkosi-tlatl-ptz | qwertz
ththth shshsh | ngngng | eaoiu ieaou | yyy yyyy yy | w
|.| ..,, | ?!?!?! | (((())) | ---___---
foo qux zork bleen | grue florp | wibblish snarg | tove gimble mome | mimsy rath outgrabe
jhgf 5512 @@ kk | zr zr zr 0 | lk-09-mn | vv//ww//xx | oo0O0oO
"""


def typed_texts() -> list[str]:
    """Texts without meaning, typed by hand, without those that are repeated."""
    texts = [text.strip() for line in TYPED.strip().splitlines() for text in line.split(" | ")]
    return list(dict.fromkeys(text for text in texts if text))


def drawn_texts(*, count: int, seed: int) -> list[str]:
    """Texts without meaning, made by chance: random letters, syllables, and letters with digits."""
    generator = np.random.default_rng([seed, 5])
    letters, digits = list("abcdefghijklmnopqrstuvwxyz"), list("0123456789")
    onsets, vowels = list("bcdfghklmnprstvwz"), list("aeiou")
    texts: list[str] = []
    for number in range(count):
        words: list[str] = []
        for _ in range(generator.integers(1, 4)):
            if number % 3 == 0:
                word = "".join(generator.choice(letters, generator.integers(3, 9)))
            elif number % 3 == 1:
                pairs = range(generator.integers(2, 5))
                word = "".join(
                    f"{generator.choice(onsets)}{generator.choice(vowels)}" for _ in pairs
                )
            else:
                word = "".join(generator.choice([*letters, *digits], generator.integers(3, 9)))
            words.append(word)
        texts.append(" ".join(words))
    return texts


def noise_images(*, count: int, seed: int, side: int) -> list[MediaItem]:
    """Pictures of noise: grey or coloured, fine or in blots."""
    items: list[MediaItem] = []
    for number in range(count):
        generator = np.random.default_rng([seed, 6, number])
        grain = (1, 2, 4, 16)[number % 4]
        cells = -(-side // grain)
        shape = (cells, cells, 1 if number // 4 % 2 else 3)
        pixels = generator.integers(0, 256, shape, dtype=np.uint8)
        pixels = np.broadcast_to(pixels, (cells, cells, 3)).repeat(grain, 0).repeat(grain, 1)
        items.append(MediaItem(Modality.IMAGE, np.ascontiguousarray(pixels[:side, :side])))
    return items


def noise_sounds(*, count: int, seed: int, seconds: float) -> list[MediaItem]:
    """Sounds of noise whose power falls with frequency, more or less: white, pink and brown."""
    items: list[MediaItem] = []
    for number in range(count):
        generator = np.random.default_rng([seed, 7, number])
        samples = round(seconds * SAMPLE_RATE_HZ)
        spectrum = np.fft.rfft(generator.standard_normal(samples))
        hertz = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ), 20.0)
        noise = np.fft.irfft(spectrum / hertz ** (0.0, 0.5, 1.0)[number % 3], samples)
        loud = (0.9, 0.3, 0.05)[number // 3 % 3]
        noise = loud * noise / np.abs(noise).max()
        items.append(MediaItem(Modality.AUDIO, noise.astype(np.float32)))
    return items
