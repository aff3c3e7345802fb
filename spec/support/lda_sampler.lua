--- Helpers of the LDA specs: small samplers, and what they hold as Lua tables.

local ffi = require "ffi"
local core = require "epact.core"
local rng = require "epact.rng"
local C = core.C

local lda_support = {}

ffi.cdef "double lgamma(double x);"
local lgamma = ffi.C.lgamma

--- A sampler over `documents`, each a list of words, one token a pair.
function lda_support.sampler(documents, given)
  local options = ffi.new("epact_lda_options", {
    documents = #documents, words = 1, topics = 2, alpha = 0.3, beta = 0.2, seed = 7, record = 1,
  })
  local start, word = ffi.new("int64_t[?]", #documents + 1), {}
  for d, list in ipairs(documents) do
    for _, w in ipairs(list) do word[#word + 1] = w end
    start[d] = #word
  end
  local words = ffi.new("uint32_t[?]", #word + 1, word)
  options.start, options.word = start, words
  local keep
  for name, value in pairs(given) do
    if name == "word_tokens" then keep = ffi.new("int64_t[?]", #value, value); value = keep end
    options[name] = value
  end
  local pointer = C.epact_lda_new(options)
  if pointer == nil then error(ffi.string(C.epact_error_message()), 2) end
  return core.own(pointer), keep
end

function lda_support.sweeps(lda, documents, first, last)
  for sweep = first, last do core.check(C.epact_lda_sweep(lda, 0, documents, sweep)) end
end

--- Random documents of 0 .. longest - 1 words below `words`.
function lda_support.random_documents(documents, words, longest, seed)
  local random, list = rng(seed), {}
  for d = 1, documents do
    list[d] = {}
    for i = 1, random:below(longest) do list[d][i] = random:below(1 + random:below(words)) end
  end
  return list
end

--- n[topic][word] of a word-topic replica, read through epact_lda_row.
function lda_support.replica(lda, words, topics)
  local topic, count, n = ffi.new("uint32_t[?]", topics), ffi.new("uint32_t[?]", topics), {}
  for k = 0, topics - 1 do n[k] = {} end
  for w = 0, words - 1 do
    for k = 0, topics - 1 do n[k][w] = 0 end
    for i = 0, core.check(tonumber(C.epact_lda_row(lda, w, topic, count))) - 1 do n[topic[i]][w] = count[i] end
  end
  return n
end

function lda_support.totals(lda, topics)
  local list = {}
  for k = 0, topics - 1 do list[k + 1] = tonumber(C.epact_lda_totals(lda)[k]) end
  return list
end

function lda_support.topics_of(lda)
  local list = {}
  for i = 0, tonumber(C.epact_lda_tokens(lda)) - 1 do list[i + 1] = C.epact_lda_topics(lda)[i] end
  return list
end

--- Both halves of log p(w, z) by the formula, from documents and one list of topics.
function lda_support.log_joint(documents, z, words, topics, alpha, beta)
  local n_wk, n_k, at, of_documents, of_words = {}, {}, 0, 0, 0
  for k = 0, topics - 1 do n_wk[k], n_k[k] = {}, 0 end
  for _, list in ipairs(documents) do
    local n_dk = {}
    for _, w in ipairs(list) do
      at = at + 1
      local k = z[at]
      n_dk[k], n_k[k], n_wk[k][w] = (n_dk[k] or 0) + 1, n_k[k] + 1, (n_wk[k][w] or 0) + 1
    end
    of_documents = of_documents + lgamma(topics * alpha) - lgamma(topics * alpha + #list)
    for _, n in pairs(n_dk) do of_documents = of_documents + lgamma(alpha + n) - lgamma(alpha) end
  end
  for k = 0, topics - 1 do
    of_words = of_words + lgamma(words * beta) - lgamma(words * beta + n_k[k])
    for _, n in pairs(n_wk[k]) do of_words = of_words + lgamma(beta + n) - lgamma(beta) end
  end
  return of_words, of_documents
end

--- Applies recorded changes of one sampler to another, a row a word.
function lda_support.exchange(from, to)
  local word, topic = ffi.new "const uint32_t *[1]", ffi.new "const uint32_t *[1]"
  local delta = ffi.new "const int32_t *[1]"
  local n = tonumber(C.epact_lda_changes(from, word, topic, delta))
  local by_word = {}
  for i = 0, n - 1 do
    local changes = by_word[word[0][i]] or {}
    by_word[word[0][i]] = changes
    changes[topic[0][i]] = (changes[topic[0][i]] or 0) + delta[0][i]
  end
  local row, start, col, value = {}, { 0 }, {}, {}
  for w, changes in pairs(by_word) do
    row[#row + 1] = w
    for k, d in pairs(changes) do col[#col + 1], value[#value + 1] = k, d end
    start[#start + 1] = #col
  end
  core.check(C.epact_lda_apply(to, #row, ffi.new("int64_t[?]", #row + 1, row), ffi.new("uint32_t[?]", #start, start),
    ffi.new("uint32_t[?]", #col + 1, col), ffi.new("int32_t[?]", #value + 1, value)))
  return n
end

return lda_support
