--- Topic models: latent Dirichlet allocation by collapsed Gibbs sampling over the parameter server.
--
-- Every worker samples the topics z of its own documents with the exact SparseLDA kernel against its replica of the
-- word-topic counts n_wk. The counts' integer table is on the server; what a worker changed in a block of documents is
-- published at its clock, and what the others changed comes back as changes, at most `staleness` clocks late.
--
--   p(z = k | rest)  ~  (n_dk + alpha) (n_wk + beta) / (n_k + V beta)
--
-- Sources: Griffiths and Steyvers 2004; Yao, Mimno and McCallum 2009.
-- @module epact.mcmc.lda

local ffi = require "ffi"
local core = require "epact.core"
local options = require "epact.options"
local partition = require "epact.partition"
local Sampler = require "epact.kernel.lda"

local lda = {}

local known = {
  topics = { "count", 20 },           -- K
  alpha = { "positive" },             -- of each topic; default 50 / K
  beta = { "positive", 0.01 },
  sweeps = { "count", 200 },
  blocks = { "count", 16 },           -- clocks a sweep: how finely workers exchange changes
  every = { "count", 10 },            -- sweeps between two likelihoods
  start = { { "sequential", "random" }, "sequential" },
  seed = { "integer" },
  on_report = { "function" },         -- called by worker 0 with { sweep, likelihood, tokens, seconds }
}

-- Above this many bytes the table's rows are stored sparse.
local dense_limit = 64 * 2 ^ 20

local function count_words(corpus)
  local tokens = ffi.new("int64_t[?]", corpus.words)
  local word, count = corpus.word, corpus.count
  for i = tonumber(corpus.start[0]), tonumber(corpus.start[corpus.documents]) - 1 do
    tokens[word[i]] = tokens[word[i]] + count[i]
  end
  return tokens
end

--- Trains on this worker's share of `corpus`; every worker of the job calls it with the same arguments.
-- @param w the worker
-- @tparam epact.corpus corpus the whole corpus
-- @tparam ?table given `topics` (20), `alpha` (of each topic, 50/K), `beta` (0.01), `sweeps` (200), `blocks` (clocks a
-- sweep, 16), `every` (sweeps between likelihoods, 10), `start` ("sequential", "random"), `seed`, `on_report`
-- @treturn table `sampler`, `first` and `last` (this worker's documents), `options`, and on every worker `history`:
-- a list of `{ sweep, likelihood, tokens, seconds }`, the joint log p(w, z) per token in nats
function lda.train(w, corpus, given)
  local o = options.read("lda.train", given, known)
  o.alpha = o.alpha or 50 / o.topics
  local first, last = partition.share(corpus, w.id, w.workers)
  local documents = last - first
  local tokens = tonumber(corpus.tokens)
  local sparse = corpus.words * o.topics * 4 > dense_limit

  local counts = w:table("lda.counts", { rows = corpus.words, cols = o.topics, type = "i32", sparse = sparse,
    sparse_updates = true, changes = true })
  local likelihood = w:table("lda.likelihood", { rows = o.sweeps, cols = 1, staleness = 0 })
  local sampler = Sampler { documents = corpus:slice(first, last), first_document = first, topics = o.topics,
    alpha = o.alpha, beta = o.beta, word_tokens = count_words(corpus), seed = o.seed or w.seed }

  local function publish()
    counts:inc_many(sampler:changes())
    w:clock()
  end
  local function catch_up()
    for section in counts:changes() do sampler:apply(section) end
  end

  -- The joint likelihood at a barrier: each worker adds its documents' half, the words' half is the same on all.
  local history, begin = {}, core.C.epact_now()
  local function measure(sweep)
    w:barrier()
    catch_up()
    likelihood:inc(sweep, 0, sampler:log_likelihood_documents())
    w:barrier()
    local joint = (likelihood:cell(sweep, 0) + sampler:log_likelihood_words()) / math.max(1, tokens)
    history[#history + 1] = { sweep = sweep + 1, likelihood = joint, tokens = tokens,
      seconds = core.C.epact_now() - begin }
    if w.id == 0 and o.on_report then o.on_report(history[#history]) end
  end

  if o.start == "random" then
    sampler:start(0, documents)
    publish()
    w:barrier()
    catch_up()
  end
  for sweep = 0, o.sweeps - 1 do
    for block = 0, o.blocks - 1 do
      local from, to = math.floor(documents * block / o.blocks), math.floor(documents * (block + 1) / o.blocks)
      sampler:sweep(from, to, sweep)
      publish()
      catch_up()
    end
    if (sweep + 1) % o.every == 0 or sweep == o.sweeps - 1 then measure(sweep) end
  end
  return { sampler = sampler, counts = counts, first = first, last = last, history = history, options = o }
end

--- The topics of a trained model as word lists, most frequent topic first: `{ topic, share, words = {...} }`.
-- @tparam table model from `lda.train`
-- @tparam table vocabulary words by id, from 0
-- @tparam[opt=10] number n
function lda.topics(model, vocabulary, n)
  local list, total = {}, 0
  for topic = 0, model.options.topics - 1 do
    local words = {}
    for i, top in ipairs(model.sampler:top_words(topic, n or 10)) do words[i] = vocabulary[top.word] end
    list[topic + 1] = { topic = topic, tokens = model.sampler:total(topic), words = words }
    total = total + list[topic + 1].tokens
  end
  for _, entry in ipairs(list) do entry.share = entry.tokens / math.max(1, total) end
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
