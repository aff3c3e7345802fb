-- A topic model of one's own by schedule, push and pull: documents stay with their worker, blocks of words go round, so
-- that no two workers ever change the counts of the same word; in a page of Lua, on any number of processes.
-- `luajit examples/strads_lda.lua --help` lists the options. `epact.mcmc.lda` is the same with kernels, and more.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"
local ffi = require "ffi"
local progress = require "epact.progress"

ffi.cdef "double lgamma(double);"

local o = epact.command.read {
  about = "Finds the topics of the State of the Union addresses, 1790-2020, or of another corpus.",
  { "data", "string", root .. "/examples/data/docword.sotu.txt.gz", "UCI bag of words, plain or gzip" },
  { "vocab", "string", root .. "/examples/data/vocab.sotu.txt", "its words, one a line" },
  { "topics", "count", 20, "number of topics" },
  { "alpha", "positive", 0.1, "prior of each topic in a document" },
  { "beta", "positive", 0.01, "prior of each word in a topic" },
  { "sweeps", "count", 50, "Gibbs passes over the corpus" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "seed", "integer", 1, "of the random numbers" },
  { "words", "count", 8, "words shown of a topic" },
}

-- log p of `total` draws that came out as `count[0 .. size - 1]`, under a symmetric Dirichlet prior.
local function log_dirichlet(count, size, prior, total)
  local lgamma = ffi.C.lgamma
  local sum = lgamma(size * prior) - lgamma(total + size * prior)
  for i = 0, size - 1 do
    if count[i] > 0 then sum = sum + lgamma(count[i] + prior) - lgamma(prior) end
  end
  return sum
end

local function train(w, corpus)
  ffi.cdef "double lgamma(double);" -- a worker is a Lua of its own
  local topics, words, blocks, rng = o.topics, corpus.words, w.workers, w:rng()
  local mine = w:shard(corpus)
  local in_words = w:table("words", { rows = words, cols = topics, type = "i32", staleness = 0 })  -- n_wk
  local everywhere = w:table("totals", { rows = 1, cols = topics, type = "i64", staleness = 0 })   -- n_k
  local totals = ffi.new("double[?]", topics)
  local in_document, document, topic = {}, {}, {} -- n_dk; of each token, by its word

  for d = 0, mine.documents - 1 do
    in_document[d] = ffi.new("double[?]", topics)
    for i = tonumber(mine.start[d]), tonumber(mine.start[d + 1]) - 1 do
      local word = mine.word[i]
      document[word], topic[word] = document[word] or {}, topic[word] or {}
      for _ = 1, mine.count[i] do
        local k = rng:below(topics)
        table.insert(document[word], d)
        table.insert(topic[word], k)
        in_document[d][k] = in_document[d][k] + 1
        in_words:inc(word, k, 1)
        everywhere:inc(0, k, 1)
      end
    end
  end
  local block = {} -- of this worker's words
  for b = 0, blocks - 1 do block[b] = {} end
  for word = 0, words - 1 do
    if document[word] then table.insert(block[word % blocks], word) end
  end
  w:barrier()
  for k = 0, topics - 1 do totals[k] = everywhere:cell(0, k) end

  -- p(z = k | rest) ~ (n_dk + alpha) (n_wk + beta) / (n_k + V beta)
  local below = ffi.new("double[?]", topics)
  local function draw(n_d, n_w)
    local sum, k = 0, 0
    for j = 0, topics - 1 do
      sum = sum + (n_d[j] + o.alpha) * (n_w[j] + o.beta) / (totals[j] + words * o.beta)
      below[j] = sum
    end
    local u = rng:uniform() * sum
    while k < topics - 1 and below[k] <= u do k = k + 1 end
    return k
  end

  -- In stratum s this worker has the words of block (w.id + s) mod blocks, and tells how it changed the totals.
  local n, change, partial = ffi.new("double[?]", topics), ffi.new("int32_t[?]", topics), ffi.new("double[?]", topics)
  local function add(n_d, k, one)
    n_d[k], n[k], totals[k], partial[k] = n_d[k] + one, n[k] + one, totals[k] + one, partial[k] + one
  end
  local function push(vars)
    local list = block[(w.id + vars[1]) % blocks]
    in_words:fetch(list) -- all at once
    ffi.fill(partial, 8 * topics)
    for _, word in ipairs(list) do
      local row, z = in_words:get(word), topic[word]
      for k = 0, topics - 1 do n[k] = row[k] end
      for t, d in ipairs(document[word]) do
        add(in_document[d], z[t], -1)
        z[t] = draw(in_document[d], n)
        add(in_document[d], z[t], 1)
      end
      for k = 0, topics - 1 do change[k] = n[k] - row[k] end
      in_words:inc_row(word, change)
    end
    return partial
  end

  -- This worker's own changes are in its totals already.
  local line = w.id == 0 and progress.new(o.sweeps)
  local function pull(_, sum, phase)
    for k = 0, topics - 1 do totals[k] = totals[k] + sum[k] - partial[k] end
    if line and (phase + 1) % blocks == 0 then line:step((phase + 1) / blocks) end
  end

  local strata = epact.sched.rotation { blocks = blocks, seed = w.seed }
  epact.strads(w, { variables = blocks, phases = o.sweeps * blocks, batch = 1, width = topics, push = push, pull = pull,
    schedule = function() return { (strata:next()) } end })
  if line then line:done() end

  -- log p(z), of each worker's documents, and log p(w | z), whose topics are dealt to the workers.
  local likelihood, column = w:table("likelihood", { rows = 1, cols = 1, staleness = 0 }), ffi.new("double[?]", words)
  for d = 0, mine.documents - 1 do
    local tokens = 0
    for k = 0, topics - 1 do tokens = tokens + in_document[d][k] end
    likelihood:inc(0, 0, log_dirichlet(in_document[d], topics, o.alpha, tokens))
  end
  local shown = {}
  in_words:fetch()
  for k = 0, topics - 1 do
    for word = 0, words - 1 do column[word] = in_words:cell(word, k) end
    if k % w.workers == w.id then likelihood:inc(0, 0, log_dirichlet(column, words, o.beta, totals[k])) end
    local best = {}
    for word = 0, words - 1 do best[word + 1] = word end
    table.sort(best, function(a, b) return column[a] > column[b] or (column[a] == column[b] and a < b) end)
    shown[k + 1] = { share = totals[k] / tonumber(corpus.tokens), words = {} }
    for i = 1, math.min(o.words, words) do shown[k + 1].words[i] = best[i] end
  end
  w:barrier()
  return { topics = shown, likelihood = likelihood:cell(0, 0) / tonumber(corpus.tokens) }
end

epact.command.main(function()
  local corpus, vocabulary = epact.data.corpus(o.data, o.vocab)
  local run = { workers = o.workers, seed = o.seed }
  local own = epact.run(run, function(w) return train(w, corpus) end)
  local kernels = epact.run(run, function(w)
    local model = epact.mcmc.lda.fit(w, corpus, { topics = o.topics, alpha = o.alpha, beta = o.beta, sweeps = o.sweeps,
      order = "rotation", every = o.sweeps })
    return model.history[#model.history].likelihood
  end)
  if require("epact.cluster").place().rank > 0 then return end
  table.sort(own.topics, function(a, b) return a.share > b.share end)
  for _, topic in ipairs(own.topics) do
    for i, word in ipairs(topic.words) do topic.words[i] = vocabulary[word] end
    print(("%5.1f %%  %s"):format(100 * topic.share, table.concat(topic.words, " ")))
  end
  local row = "%-42s %8.4f"
  print()
  print(row:format("log-likelihood per token, this page", own.likelihood))
  print(row:format("epact.mcmc.lda, by the same rotation", kernels))
end)
