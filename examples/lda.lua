-- Topics of a corpus by latent Dirichlet allocation (collapsed Gibbs sampling), trained through the parameter server.
-- `luajit examples/lda.lua --help` lists the options.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"
local lda = require "epact.mcmc.lda"
local progress = require "epact.progress"

local o = epact.command.read {
  about = "Finds the topics of a corpus. Without options: the State of the Union addresses, 1790-2020.",
  { "data", "string", root .. "/examples/data/docword.sotu.txt.gz", "UCI bag of words, plain or gzip" },
  { "vocab", "string", "", "its words, one a line (default: vocab.* beside the data)" },
  { "text", "string", "", "a text file instead, one document a line" },
  { "topics", "count", 20, "number of topics" },
  { "sweeps", "count", 200, "Gibbs passes over the corpus" },
  { "alpha", "positive", nil, "prior of each topic in a document (default: 50 / topics)" },
  { "beta", "positive", 0.01, "prior of each word in a topic" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "staleness", "staleness", 1, "clocks a worker may run ahead (0: BSP, async)" },
  { "order", { "documents", "rotation" }, "documents", "each worker its documents, or blocks of words that go round" },
  { "blocks", "count", nil, "clocks a sweep (default: 32 of documents, or of words one a worker)" },
  { "every", "count", 10, "sweeps between two likelihoods" },
  { "start", { "random", "sequential" }, "random", "first topics: random, or sequential (sooner on short documents)" },
  { "seed", "integer", 1, "of the random numbers" },
  { "words", "count", 10, "words shown of a topic" },
  { "deterministic", "flag", false, "same bits for any placement of the workers (staleness 0)" },
  { "snapshot", "string", "", "directory for snapshots, from which --resume goes on" },
  { "snapshot-every", "count", 100, "clocks between two snapshots" },
  { "resume", "flag", false, "go on from the last snapshot, if there is one" },
  { "stats", "flag", false, "print what each table counted" },
  { "out", "string", "", "directory for the model: topics.tsv, counts.tsv, documents.N.tsv" },
}

local function load()
  if o.text ~= "" then return epact.text.corpus(o.text) end
  local vocab = o.vocab ~= "" and o.vocab or o.data:gsub("docword([^/]*)$", "vocab%1"):gsub("%.gz$", "")
  if vocab == o.data then error("give the words of " .. o.data .. " by --vocab", 0) end
  return epact.data.corpus(o.data, vocab)
end

local function train(corpus, vocabulary)
  return epact.run({ workers = o.workers, staleness = o.deterministic and 0 or o.staleness, seed = o.seed,
    deterministic = o.deterministic, resume = o.resume and "if any",
    snapshot = o.snapshot ~= "" and { every = o.snapshot_every, dir = o.snapshot } or nil }, function(w)
    local line = w.id == 0 and progress.new(o.sweeps)
    local model = lda.fit(w, corpus, {
      topics = o.topics, alpha = o.alpha, beta = o.beta, sweeps = o.sweeps, start = o.start, order = o.order,
      blocks = o.blocks, every = o.every, on_report = function(now)
        line:step(now.sweep, ("clock %d  %s tokens/s  log-likelihood %.4f"):format(w:now(),
          progress.amount(now.tokens * now.sweep / now.seconds), now.likelihood))
      end,
    })
    if line then line:done() end
    if o.out ~= "" then lda.save(w, model, vocabulary, o.out) end
    if w.id ~= 0 then return end
    return { topics = lda.topics(model, vocabulary, o.words), history = model.history,
      bytes = model.sampler:state_bytes() / math.max(1, model.sampler:tokens()) }
  end)
end

local function show(result, report)
  print()
  for _, topic in ipairs(result.topics) do
    print(("%5.1f %%  %s"):format(100 * topic.share, table.concat(topic.words, " ")))
  end
  local curve, last = {}, result.history[#result.history]
  for i, now in ipairs(result.history) do curve[i] = now.likelihood end
  local counts = report.tables["lda.counts"]
  print(("\nlog-likelihood per token %s %.4f"):format(epact.plot.sparkline(curve), last.likelihood))
  local stale = last.error and ("totals of topics wrong by %.2g of the tokens"):format(last.error)
    or ("staleness observed: mean %.2f, max %d"):format(counts.staleness_mean, counts.staleness_max)
  print(("%.1f s, %s tokens/s, %.1f bytes of sampler state a token; %s"):format(last.seconds,
    progress.amount(last.tokens * last.sweep / last.seconds), result.bytes, stale))
end

epact.command.main(function()
  if o.resume and o.snapshot == "" then error("--resume needs --snapshot DIR", 0) end
  local corpus, vocabulary = load()
  print(("%d documents, %d words, %s tokens; %d topics, %d workers, %s"):format(corpus.documents, corpus.words,
    progress.amount(tonumber(corpus.tokens)), o.topics, o.workers,
    o.order == "documents" and "staleness " .. tostring(o.staleness) or o.order))
  if o.out ~= "" then os.execute("mkdir -p '" .. o.out:gsub("'", "'\\''") .. "'") end
  local result, report = train(corpus, vocabulary)
  if not result then return end -- worker 0 is in another process
  show(result, report)
  if o.out ~= "" then print("model written to " .. o.out) end
  if o.stats then print(report) end
end)
