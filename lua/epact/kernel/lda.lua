--- The SparseLDA sampler as an object: one worker's documents and its replica of the word-topic counts.
-- @module epact.kernel.lda

local ffi = require "ffi"
local core = require "epact.core"
local C = core.C
local check = core.check

local methods = {}
local class = { __index = methods }

--- Independent uniform topics for documents [first, last) of this worker.
function methods:start(first, last)
  check(C.epact_lda_start(self.handle, first, last), "lda start")
end

--- One Gibbs pass over documents [first, last) of this worker.
function methods:sweep(first, last, sweep)
  check(C.epact_lda_sweep(self.handle, first, last, sweep), "lda sweep")
end

--- The same for the tokens of one block of words, in all documents of this worker (or [first, last) of them).
function methods:start_block(block)
  check(C.epact_lda_start_block(self.handle, 0, self.documents, block), "lda start")
end

function methods:sweep_block(block, sweep, first, last)
  check(C.epact_lda_sweep_block(self.handle, first or 0, last or self.documents, block, sweep), "lda sweep")
end

local word_out, topic_out = ffi.typeof "const uint32_t *[1]", ffi.typeof "const uint32_t *[1]"
local delta_out = ffi.typeof "const int32_t *[1]"

--- What the last passes changed, as `table:inc_many` takes it; then forgotten.
-- @usage topics:inc_many(sampler:changes())
function methods:changes()
  local word, topic, delta = word_out(), topic_out(), delta_out()
  local n = tonumber(C.epact_lda_changes(self.handle, word, topic, delta))
  C.epact_lda_clear_changes(self.handle)
  return n, word[0], topic[0], delta[0]
end

--- Adds what other workers changed: a section of `table:changes()`.
function methods:apply(section)
  check(C.epact_lda_apply(self.handle, section.rows, section.row, section.start, section.col,
    section.value), "lda apply")
end

--- The topics of this worker's tokens, as a string for `restore`.
function methods:state()
  return ffi.string(C.epact_lda_topics(self.handle), self:tokens() * ffi.sizeof "uint16_t")
end

--- Takes over topics from `state`; the counts come from tables that hold them already, by `apply`.
function methods:restore(state)
  local tokens = #state / ffi.sizeof "uint16_t"
  check(C.epact_lda_restore(self.handle, ffi.cast("const uint16_t *", state), tokens, 0), "lda restore")
end

--- Puts the counts into an order that depends on nothing but them, as after a resumption.
function methods:tidy() C.epact_lda_tidy(self.handle) end

--- Log p(w | z) of the whole replica, in nats.
function methods:log_likelihood_words() return C.epact_lda_log_likelihood_words(self.handle) end
--- Log p(z) of this worker's documents, in nats.
function methods:log_likelihood_documents() return C.epact_lda_log_likelihood_documents(self.handle) end
--- Compares every count with the topics they count; an error on the first mismatch.
function methods:check() check(C.epact_lda_check(self.handle), "lda check") end
--- This worker's tokens.
function methods:tokens() return tonumber(C.epact_lda_tokens(self.handle)) end
--- Tokens of each topic as this sampler knows them, an int64_t array by topic: a view.
function methods:totals() return C.epact_lda_totals(self.handle) end
--- Sets them, for samplers that share the counts.
function methods:set_totals(totals) check(C.epact_lda_set_totals(self.handle, totals), "lda totals") end
--- Tokens of a topic in the replica.
function methods:total(topic) return tonumber(C.epact_lda_totals(self.handle)[topic]) end
--- Bytes of memory the sampler uses, of shared counts its part.
function methods:state_bytes() return tonumber(C.epact_lda_state_bytes(self.handle)) + self.shared_bytes end

--- The `n` most frequent words of a topic: a list of `{ word = id, count = n }`.
function methods:top_words(topic, n)
  local word, count = ffi.new("uint32_t[?]", n), ffi.new("uint32_t[?]", n)
  local found, list = tonumber(C.epact_lda_top_words(self.handle, topic, n, word, count)), {}
  check(found, "top_words")
  for i = 1, found do list[i] = { word = word[i - 1], count = count[i - 1] } end
  return list
end

--- Iterates over (topic, count) of a word, largest first.
function methods:row(word)
  local topic, count = self.topic_buffer, self.count_buffer
  local n = check(tonumber(C.epact_lda_row(self.handle, word, topic, count)), "row")
  local i = -1
  return function()
    i = i + 1
    if i < n then return topic[i], count[i] end
  end
end

--- The topic mixture of document `d` of this worker: (n_dk + alpha) / (n_d + K alpha), by topic from 0.
-- The array is reused by the next call.
function methods:theta(d)
  check(C.epact_lda_theta(self.handle, d, self.theta_buffer), "theta")
  return self.theta_buffer
end

function class:__tostring()
  return ("epact.lda sampler <%d tokens, %d topics, %.1f bytes a token>"):format(self:tokens(), self.topics,
    self:state_bytes() / math.max(1, self:tokens()))
end

--- @tparam table o `documents` (a corpus, this worker's), `first_document` (its place in the whole), `topics`, `alpha`
-- (of each topic), `beta`, `word_tokens` (int64_t array: tokens of each word in the whole corpus), `seed`; `blocks` and
-- `block` (uint16_t array: of each word); `memory`, a function that gives the samplers of a process the same zeroed
-- bytes to share the counts in, `sharers` their number, and `lay_out`, true for one of them
return function(o)
  local docs = o.documents
  local offset = tonumber(docs.start[0]) -- a slice's rows begin inside the whole
  local start = ffi.new("int64_t[?]", docs.documents + 1)
  for d = 0, docs.documents do start[d] = docs.start[d] - offset end
  local raw = ffi.new("epact_lda_options", {
    documents = docs.documents, start = start, word = docs.word + offset, count = docs.count + offset,
    words = docs.words, topics = o.topics, alpha = o.alpha, beta = o.beta, word_tokens = o.word_tokens,
    first_document = o.first_document, seed = o.seed, record = o.memory and 0 or 1, blocks = o.blocks or 1,
    block = o.block, lay_out = o.lay_out and 1 or 0,
  })
  local memory, bytes = nil, 0
  if o.memory then
    bytes = check(tonumber(C.epact_lda_shared_bytes(raw)), "lda")
    memory = o.memory(bytes)
    raw.shared, memory = memory, core.adopt("void *", core.address(memory))
  end
  local handle = core.own(C.epact_lda_new(raw), nil, "lda")
  return setmetatable({
    handle = handle, memory = memory, shared_bytes = bytes / (o.sharers or 1),
    documents = docs.documents, topics = o.topics, theta_buffer = ffi.new("double[?]", o.topics),
    topic_buffer = ffi.new("uint32_t[?]", o.topics), count_buffer = ffi.new("uint32_t[?]", o.topics),
  }, class)
end
