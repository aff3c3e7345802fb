--- Readers of data files, and the data sets they return.
--
-- Every reader takes plain or gzip files and raises an error that names file and line. Ids count from 0 in the result.
-- The data sets (see `epact.data.object`) have `:slice(first, last)`, `:close()`, and print themselves.
-- @module epact.data
-- @usage
-- local X, y = epact.data.libsvm "rcv1.svm"
-- for i = 0, X.rows - 1 do loss = loss + (X:dot(i, w) - y[i]) ^ 2 end

local ffi = require "ffi"
local core = require "epact.core"
local object = require "epact.data.object"
local options = require "epact.options"
local C = core.C

local data = { kind = object.kind, export = object.export, import = object.import }

local header_code = {
  [true] = C.EPACT_HEADER_PRESENT, [false] = C.EPACT_HEADER_NONE, detect = C.EPACT_HEADER_DETECT,
}

local function header(where, value)
  if header_code[value] == nil then
    core.fail("%s: option 'header' must be true, false or \"detect\", got %s", where, options.show(value))
  end
  return header_code[value]
end

local function check_path(where, path)
  return options.argument(where, "path", "string", path)
end

local function output(kind) return ffi.new("epact_" .. kind .. " *[1]") end

local constructor = {
  sparse = C.epact_sparse_new, dense = C.epact_dense_new, corpus = C.epact_corpus_new, ratings = C.epact_ratings_new,
  edges = C.epact_edges_new,
}

--- A zeroed data set to fill through its arrays, before any other thread sees it.
-- @tparam string kind "sparse" (then rows, cols, count), "dense" (rows, cols), "corpus" (documents, words, pairs),
-- "ratings" (users, items, count) or "edges" (vertices, count, 1 for weighted and 0 for not)
-- @tparam number ... the sizes
function data.new(kind, ...)
  local new = constructor[kind]
  if not new then core.fail("data.new: no kind of data set is called %s", options.show(kind)) end
  for i = 1, select("#", ...) do options.argument("data.new", "size", "index", (select(i, ...))) end
  local sizes = { ... }
  local out = output(kind)
  sizes[#sizes + 1] = out
  core.check(new(unpack(sizes)), "data.new")
  return object.wrap(kind, out[0])
end

-- A vocabulary as a Lua list from 0; frees the C one.
local function to_list(vocabulary)
  local list = {}
  for i = 0, tonumber(vocabulary.words) - 1 do
    local first = vocabulary.start[i]
    list[i] = ffi.string(vocabulary.text + first, vocabulary.start[i + 1] - first)
  end
  C.epact_release(vocabulary)
  return list
end
data.to_list = to_list

--- Reads libsvm (svmlight) files: `label index:value ...`, indices increasing.
-- @tparam string path
-- @tparam ?table given `base`: the first index in the file, 1 (default) or 0; `cols`: number of columns (default: the
-- largest index)
-- @treturn epact_sparse features, `rows x cols`
-- @treturn epact_dense labels, `rows x 1`
function data.libsvm(path, given)
  check_path("data.libsvm", path)
  local read = options.read("data.libsvm", given, { base = { { 0, 1 }, 1 }, cols = { "count", 0 } })
  local features, labels = output "sparse", output "dense"
  local rule = ffi.new("epact_libsvm_options", read)
  core.check(C.epact_libsvm_read(path, rule, features, labels), "data.libsvm")
  return object.wrap("sparse", features[0]), object.wrap("dense", labels[0])
end

--- Reads a list of words, one a line.
-- @treturn table word by id, from 0
function data.vocabulary(path)
  check_path("data.vocabulary", path)
  local vocabulary = output "vocabulary"
  core.check(C.epact_vocabulary_read(path, vocabulary), "data.vocabulary")
  return to_list(vocabulary[0])
end

--- Reads a UCI bag of words.
-- @tparam string docword the file of `document word count` lines
-- @tparam ?string vocab the file of words
-- @treturn epact_corpus
-- @treturn ?table word by id, from 0
function data.corpus(docword, vocab)
  options.argument("data.corpus", "docword", "string", docword)
  if vocab ~= nil then options.argument("data.corpus", "vocab", "string", vocab) end
  local out = output "corpus"
  core.check(C.epact_corpus_read(docword, out), "data.corpus")
  local corpus = object.wrap("corpus", out[0])
  if not vocab then return corpus end
  local words = data.vocabulary(vocab)
  if #words + 1 ~= corpus.words then
    core.fail("data.corpus: %s has %d words, but %s announces %d [E_PARSE]", vocab, #words + 1, docword,
      corpus.words)
  end
  return corpus, words
end

--- Writes a UCI bag of words, compressed when the name ends in `.gz`.
-- @tparam string docword
-- @tparam ?string vocab
-- @tparam epact_corpus corpus
-- @tparam ?table words word by id, from 0
function data.write_corpus(docword, vocab, corpus, words)
  options.argument("data.write_corpus", "docword", "string", docword)
  if data.kind(corpus) ~= "corpus" then
    core.fail("data.write_corpus: corpus must be a corpus, got %s", options.show(corpus))
  end
  if vocab then
    options.argument("data.write_corpus", "vocab", "string", vocab)
    options.argument("data.write_corpus", "words", "table", words)
    for i = 0, corpus.words - 1 do
      if type(words[i]) ~= "string" or words[i]:find "^%s*$" or words[i]:find "[\n%z]" then
        core.fail("data.write_corpus: word %d must be text of one line, got %s", i, options.show(words[i]))
      end
    end
  end
  core.check(C.epact_corpus_write(corpus, docword), "data.write_corpus")
  if not vocab then return end
  local file, reason = io.open(vocab, "w")
  local written = file
  if file then
    written, reason = file:write(words[0] or "", "\n", table.concat(words, "\n"), #words > 0 and "\n" or "")
    local closed, close_reason = file:close()
    if written and not closed then written, reason = nil, close_reason end
  end
  if not written then core.fail("data.write_corpus: cannot write %s: %s [E_IO]", vocab, tostring(reason)) end
end

--- Reads ratings: `user item value`, separated by commas, tabs, blanks or `::`; a timestamp behind is ignored.
-- @tparam string path
-- @tparam ?table given `base`: the first id in the file, 0 (default) or 1; `users`, `items`: sizes that all ids must
-- keep to (default: from the largest ids); `header`: true, false or "detect"; `duplicates`: "refuse" or "keep"
-- @treturn epact_ratings in the order of the file
function data.ratings(path, given)
  check_path("data.ratings", path)
  local read = options.read("data.ratings", given, {
    base = { { 0, 1 }, 0 }, users = { "count", 0 }, items = { "count", 0 }, header = { "any", "detect" },
    duplicates = { { "refuse", "keep" }, "refuse" },
  })
  local rule = ffi.new("epact_ratings_options", {
    base = read.base, users = read.users, items = read.items, header = header("data.ratings", read.header),
    keep_duplicates = read.duplicates == "keep",
  })
  local out = output "ratings"
  core.check(C.epact_ratings_read(path, rule, out), "data.ratings")
  return object.wrap("ratings", out[0])
end

--- Reads an edge list: `source target [weight]`; lines that begin with `#` or `%` are comments.
-- @tparam string path
-- @tparam ?table given `base`: the first vertex in the file, 0 (default) or 1; `vertices`: their number (default: the
-- largest id); `duplicates`: "refuse" (default) or "keep"
-- @treturn epact_edges in the order of the file
function data.edges(path, given)
  check_path("data.edges", path)
  local read = options.read("data.edges", given, {
    base = { { 0, 1 }, 0 }, vertices = { "count", 0 }, duplicates = { { "refuse", "keep" }, "refuse" },
  })
  local rule = ffi.new("epact_edges_options", {
    base = read.base, vertices = read.vertices, keep_duplicates = read.duplicates == "keep",
  })
  local out = output "edges"
  core.check(C.epact_edges_read(path, rule, out), "data.edges")
  return object.wrap("edges", out[0])
end

-- The number of the column that `label` (a number from 0, or a name) means.
local function label_column(label, names, cols)
  local column = label
  if type(label) == "string" then
    for i = 0, cols - 1 do
      if names[i] == label then column = i break end
    end
    if column == label then core.fail("data.csv: no column is named '%s'", label) end
  end
  if type(column) ~= "number" or column % 1 ~= 0 or column < 0 or column >= cols then
    core.fail("data.csv: option 'label' must be a column in 0 .. %d or a name, got %s", cols - 1, options.show(label))
  end
  return column
end

-- The names without the one that was split off.
local function without(names, column)
  local rest, next_id = {}, 0
  for i = 0, #names do
    if i ~= column then rest[next_id], next_id = names[i], next_id + 1 end
  end
  return rest
end

--- Reads numbers in columns.
-- @tparam string path
-- @tparam ?table given `separator`: `","`, `";"`, tab or blank (default: as in the first line); `header`: true, false
-- or "detect" (a first line without numbers); `label`: the column (from 0, or a name) to be returned on its own
-- @treturn epact_dense the table, without the label
-- @treturn ?epact_dense the label, `rows x 1`; nil when none was asked for
-- @treturn ?table name of each column of the table, from 0; nil when the file has no header
function data.csv(path, given)
  check_path("data.csv", path)
  local read = options.read("data.csv", given, {
    separator = { { ",", ";", "\t", " " } }, header = { "any", "detect" }, label = { "any" },
  })
  local rule = ffi.new("epact_csv_options", {
    separator = read.separator and read.separator:byte() or 0, header = header("data.csv", read.header),
  })
  local out, names_out = output "dense", output "vocabulary"
  core.check(C.epact_csv_read(path, rule, out, names_out), "data.csv")
  local X, y = object.wrap("dense", out[0])
  local names = to_list(names_out[0])
  if read.label ~= nil then
    local column = label_column(read.label, names, X.cols)
    local label = output "dense"
    core.check(C.epact_dense_split(out[0], column, label), "data.csv")
    X.cols_, X.value = out[0].cols_, out[0].value
    y = object.wrap("dense", label[0])
    if names[0] then names = without(names, column) end
  end
  return X, y, names[0] and names or nil
end

return data
