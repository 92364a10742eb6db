#!/usr/bin/env bash
# Indexes the sample collection and asks it a few questions; each command is shown as it runs.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMNIDEX_COLLECTION="${OMNIDEX_COLLECTION:-build/demo}"

show() {
    local word line='$'
    for word in "$@"; do
        [[ "$word" == *" "* ]] && word="\"$word\""
        line+=" $word"
    done
    printf '\n%s\n' "$line"
    "$@"
}
say() {
    printf '\n# %s\n' "$1"
}

say "Index a folder of text, images, audio and video"
show omnidex index samples/media
show omnidex status

say "Words to anything"
show omnidex search "a cat looking at the camera" -k 5
say "Words to video: the hit says where in the file"
show omnidex search "snow falls on a snowman" --to video -k 3
say "Words to sound"
show omnidex search "rain" --to audio -k 3
say "A picture to text"
show omnidex search --image samples/media/drawings/pizza-slice.svg --to text -k 3
say "A sound to pictures and video"
show omnidex search --audio samples/media/sounds/clock-ticking.flac --to image,video -k 3
say "A video to pictures, and words that steer it"
show omnidex search --video samples/media/clips/bus-ride.mov --text "red" --to image -k 3
say "JSON for programs"
show omnidex search "a rocket" -k 1 --json
