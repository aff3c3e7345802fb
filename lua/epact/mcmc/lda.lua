--- Topic models: latent Dirichlet allocation by collapsed Gibbs sampling over the parameter server.
--
-- Every worker samples the topics z of its own documents with the exact SparseLDA kernel. In the order "documents" it
-- does so against its replica of the word-topic counts n_wk, whose integer table is on the server: what a worker
-- changed in a block of documents is published at its clock, and what the others changed comes back as changes, at most
-- `staleness` clocks late. In the order "rotation" blocks of words go round, each worker has one at a time, and only
-- the totals n_k are ever stale (`epact.mcmc.lda_orders`).
--
--   p(z = k | rest)  ~  (n_dk + alpha) (n_wk + beta) / (n_k + V beta)
--
-- With snapshots (an option of `epact.run`) training goes on where it was, from the topics of each worker's tokens;
-- with one worker, or in deterministic mode, with the bits an undisturbed run with the same snapshots would have had.
--
-- Sources: Griffiths and Steyvers 2004; Yao, Mimno and McCallum 2009.
-- @module epact.mcmc.lda

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local options = require "epact.options"
local orders = require "epact.mcmc.lda_orders"
local partition = require "epact.partition"

local lda = {}

local known = {
  topics = { "count", 20 },           -- K
  alpha = { "positive" },             -- of each topic; default 50 / K
  beta = { "positive", 0.01 },
  sweeps = { "count", 200 },
  order = { { "documents", "rotation" }, "documents" },
  fugue = { "boolean", false },       -- rotation: more passes over a block instead of waiting for who is slower
  blocks = { "count" },               -- clocks a sweep: of documents (32), or of words (rotation: one a worker)
  every = { "count", 10 },            -- sweeps between two likelihoods
  start = { { "random", "sequential" }, "random" },
  seed = { "integer" },
  name = { "string", "lda" },         -- of its tables; a second model of the same job needs another
  on_report = { "function" },         -- called by worker 0 with { sweep, likelihood, tokens, seconds }
}

-- Above this many bytes the table's rows are stored sparse.
local dense_limit = 256 * 2 ^ 20

local function check_corpus(corpus)
  if data.kind(corpus) ~= "corpus" then
    core.fail("lda.fit: corpus must be a corpus, got %s", options.show(corpus))
  end
  if corpus.words < 1 or corpus.documents < 1 then core.fail("lda.fit: the corpus is empty: %s", tostring(corpus)) end
end

local function count_words(corpus)
  local tokens = ffi.new("int64_t[?]", corpus.words)
  local word, count = corpus.word, corpus.count
  for i = tonumber(corpus.start[0]), tonumber(corpus.start[corpus.documents]) - 1 do
    if word[i] >= corpus.words then
      core.fail("lda.fit: the corpus has word %d, its vocabulary %d words", word[i], corpus.words)
    end
    tokens[word[i]] = tokens[word[i]] + count[i]
  end
  return tokens
end

-- All counts of the server's table into a sampler that has none.
local function take_counts(sampler, counts, words, topics)
  local row, start = ffi.new "int64_t[1]", ffi.new "uint32_t[2]"
  local col, value = ffi.new("uint32_t[?]", topics), ffi.new("int32_t[?]", topics)
  local section = { rows = 1, row = row, start = start, col = col, value = value }
  counts:fetch()
  for word = 0, words - 1 do
    local n = 0
    for topic = 0, topics - 1 do
      local count = counts:cell(word, topic)
      if count ~= 0 then col[n], value[n], n = topic, count, n + 1 end
    end
    row[0], start[1] = word, n
    if n > 0 then sampler:apply(section) end
  end
end

local function read_options(w, given)
  local o = options.read("lda.fit", given, known)
  local rotates = o.order == "rotation"
  o.alpha, o.blocks = o.alpha or 50 / o.topics, o.blocks or (rotates and w.workers or 32)
  if rotates and (o.blocks < w.workers or o.blocks > 65535) then
    core.fail("lda.fit: option 'blocks' must be in %d (the workers) .. 65535 for order \"rotation\", got %d", w.workers,
      o.blocks)
  end
  if not o.fugue then return o end
  if not rotates then core.fail("lda.fit: option 'fugue' is one of order \"rotation\", not of %q", o.order) end
  if w.deterministic then core.fail "lda.fit: option 'fugue' samples as time allows: not in a deterministic job" end
  if w.snapshots then core.fail "lda.fit: option 'fugue' samples as time allows: it has no snapshots" end
  return o
end

--- Trains on this worker's share of `corpus`; every worker of the job calls it with the same arguments.
-- @param w the worker
-- @tparam epact.corpus corpus the whole corpus
-- @tparam ?table given `topics` (20), `alpha` (of each topic, 50/K), `beta` (0.01), `sweeps` (200), `order`
-- ("documents", "rotation"), `blocks` (clocks a sweep: 32 of documents; of words, one a worker), `fugue` (of a
-- rotation, false: who is faster samples its block again instead of waiting; not deterministic), `every` (sweeps
-- between likelihoods, 10), `start` ("random"; "sequential" draws a token's first topic given those before it: sooner
-- at a high likelihood where documents are short), `seed`, `name` (of its tables: "lda"), `on_report`
-- @treturn table `sampler`, `first` and `last` (this worker's documents), `options`, and on every worker `history`: a
-- list of `{ sweep, likelihood, tokens, seconds, error, extra }`, the joint log p(w, z) per token in nats; of a
-- rotation, `extra` is how many passes over its block a worker has made beyond the first, with `fugue`, the mean over
-- workers and rounds, and `error` is by how much workers' totals were wrong at the end of a round: sum over topics of
-- |n_k - that of all|, of the tokens, the mean over workers and the rounds since the last
function lda.fit(w, corpus, given)
  options.worker("lda.fit", w)
  check_corpus(corpus)
  local o = read_options(w, given)
  w:claim("lda.fit", o.name, true)
  local first, last = partition.share(corpus, w.id, w.workers)
  local tokens, word_tokens = tonumber(corpus.tokens), count_words(corpus)
  local order = orders[o.order] { w = w, o = o, corpus = corpus, first = first, last = last, tokens = tokens,
    word_tokens = word_tokens, seed = o.seed or w.seed, sparse = corpus.words * o.topics * 4 > dense_limit }
  local sampler, counts = order.sampler, order.counts
  local likelihood = w:table(o.name .. ".likelihood", { rows = o.sweeps, cols = 3, staleness = 0 })

  -- How far this worker is: `done` blocks of a sweep (-1: the first topics), `barriers` of its end. With the topics and
  -- what was measured that is its state; the counts are in the table.
  local at, history, begin, saved = { sweep = o.start == "random" and -1 or 0, done = 0, barriers = 0 }, {},
    core.C.epact_now(), false
  local resumed = w.snapshots and w:state(function() -- a worker keeps one state; without snapshots it may train more
    saved = true
    return { at = at, history = history, seconds = core.C.epact_now() - begin, topics = sampler:state(),
      order = order:state() }
  end, function(state)
    at, history, begin = state.at, state.history, begin - state.seconds
    sampler:restore(state.topics)
    order:restore(state.order)
  end)
  order:begin()

  -- A resumed run goes on from counts in this order; so does, after each saving, one that is not disturbed.
  local function tidy_if_saved()
    if saved then sampler:tidy() end
    saved = false
  end

  local function catch_up()
    order:catch_up()
    tidy_if_saved()
  end

  if resumed then
    take_counts(sampler, counts, corpus.words, o.topics)
    -- Nobody changes a count before all have read them. (Deterministic reads have no later ones.)
    if w.workers > 1 and not w.deterministic then w:barrier() end
    saved = true
    catch_up()
  end

  -- A barrier at the end of a sweep, unless it was passed before the job was resumed.
  local function barrier(number)
    if at.barriers >= number then return end
    at.barriers = number
    w:barrier()
  end

  -- The joint likelihood at a barrier: each worker adds its documents' half, the words' half is the same on all.
  local function measure(sweep)
    barrier(1)
    catch_up()
    if at.barriers < 2 then
      likelihood:inc(sweep, 0, sampler:log_likelihood_documents())
      local error, extra = order:error()
      likelihood:inc(sweep, 1, error / w.workers)
      likelihood:inc(sweep, 2, extra / w.workers)
    end
    barrier(2)
    tidy_if_saved()
    local joint = (likelihood:cell(sweep, 0) + sampler:log_likelihood_words()) / math.max(1, tokens)
    if order.shares then barrier(3) end -- the rows are read
    history[#history + 1] = { sweep = sweep + 1, likelihood = joint, tokens = tokens,
      seconds = core.C.epact_now() - begin, error = o.order == "rotation" and likelihood:cell(sweep, 1) or nil,
      extra = o.fugue and likelihood:cell(sweep, 2) or nil }
    if w.id == 0 and o.on_report then o.on_report(history[#history]) end
  end

  for sweep = at.sweep, o.sweeps - 1 do
    at.sweep = sweep
    local clocks = order:clocks(sweep)
    for i = at.done, clocks - 1 do
      order:visit(i, clocks, sweep)
      order:linger(sweep)
      order:publish()
      at.done = i + 1
      w:clock()
      catch_up()
    end
    if sweep < 0 then
      barrier(1)
      catch_up()
    elseif (sweep + 1) % o.every == 0 or sweep == o.sweeps - 1 then
      measure(sweep)
    end
    at.done, at.barriers = 0, 0
  end
  return { sampler = sampler, counts = counts, word_tokens = word_tokens, first = first, last = last,
    history = history, options = o }
end

-- Words of a topic by relevance: m log p(w|k) + (1-m) log(p(w|k) / p(w)), which sets back words that every topic has
-- (Sievert and Shirley 2014, whose readers liked m = 0.6 best).
local function relevant_words(model, topic, share_of, n, m)
  local words, total = model.sampler:top_words(topic, 50 * n), model.sampler:total(topic)
  for _, entry in ipairs(words) do
    local p = entry.count / total
    entry.relevance = m * math.log(p) + (1 - m) * math.log(p / share_of(entry.word))
  end
  table.sort(words, function(a, b)
    if a.relevance ~= b.relevance then return a.relevance > b.relevance end
    return a.word < b.word
  end)
  return words
end

--- The topics of a trained model as word lists, most frequent topic first: `{ topic, tokens, share, words = {...} }`.
-- @tparam table model from `lda.fit`
-- @tparam table vocabulary words by id, from 0
-- @tparam[opt=10] number n words of a topic
-- @tparam[opt=0.6] number relevance weight of a word's probability against its lift; 1: by count alone
function lda.topics(model, vocabulary, n, relevance)
  n = options.argument("lda.topics", "n", "count", n or 10)
  relevance = options.argument("lda.topics", "relevance", "fraction", relevance or 0.6)
  local list, total = {}, 0
  for topic = 0, model.options.topics - 1 do total = total + model.sampler:total(topic) end
  local function share_of(word) return tonumber(model.word_tokens[word]) / total end
  for topic = 0, model.options.topics - 1 do
    local words = {}
    for i, entry in ipairs(relevant_words(model, topic, share_of, n, relevance)) do
      if i <= n then words[i] = vocabulary[entry.word] end
    end
    local tokens = model.sampler:total(topic)
    list[topic + 1] = { topic = topic, tokens = tokens, share = tokens / math.max(1, total), words = words }
  end
  table.sort(list, function(a, b)
    if a.tokens ~= b.tokens then return a.tokens > b.tokens end
    return a.topic < b.topic
  end)
  return list
end

local function open(path)
  local file, reason = io.open(path, "w")
  if not file then core.fail("lda.save: %s [E_IO]", reason) end
  return file
end

local function save_documents(model, directory, id)
  local o = model.options
  local file = open(("%s/documents.%d.tsv"):format(directory, id))
  file:write("# document", "\t", "topic:share, largest first, shares of 1 % and more\n")
  for d = 0, model.last - model.first - 1 do
    local theta, order = model.sampler:theta(d), {}
    for k = 0, o.topics - 1 do
      if theta[k] >= 0.01 then order[#order + 1] = { k = k, share = theta[k] } end
    end
    table.sort(order, function(a, b) return a.share > b.share or (a.share == b.share and a.k < b.k) end)
    for i, entry in ipairs(order) do order[i] = ("%d:%.4f"):format(entry.k, entry.share) end
    file:write(model.first + d, "\t", table.concat(order, " "), "\n")
  end
  file:close()
end

--- Writes the model: every worker its `documents.<worker>.tsv` (mixtures), worker 0 `topics.tsv` (word lists) and
-- `counts.tsv` (word, topic, count: all that is needed to go on or to infer). The directory must exist.
function lda.save(w, model, vocabulary, directory)
  save_documents(model, directory, w.id)
  if w.id ~= 0 then return end
  local o = model.options
  local topics = open(directory .. "/topics.tsv")
  topics:write("# topic\tshare\twords\n")
  for _, entry in ipairs(lda.topics(model, vocabulary, 20)) do
    topics:write(("%d\t%.5f\t%s\n"):format(entry.topic, entry.share, table.concat(entry.words, " ")))
  end
  topics:close()
  local counts = open(directory .. "/counts.tsv")
  counts:write(("# topics %d alpha %.17g beta %.17g\n# word\ttopic:count\n"):format(o.topics, o.alpha, o.beta))
  for word = 0, #vocabulary do
    local cells = {}
    for topic, count in model.sampler:row(word) do cells[#cells + 1] = ("%d:%d"):format(topic, count) end
    if vocabulary[word] then counts:write(vocabulary[word], "\t", table.concat(cells, " "), "\n") end
  end
  counts:close()
end

return lda
